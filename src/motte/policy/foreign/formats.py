"""What can be read of other brokers, by name."""

from enum import StrEnum

__all__ = ["Format"]


class Format(StrEnum):
    """What can be read."""

    MOSQUITTO_ACL = "mosquitto-acl"
    MOSQUITTO_DYNSEC = "mosquitto-dynsec"
    EMQX = "emqx"
    AWS_IOT = "aws-iot"
    HIVEMQ = "hivemq"
