"""An open deployment: its configuration, registry, authority and publisher, put together once."""

import contextlib
from datetime import timedelta
from functools import cached_property
from typing import Self

from motte.config import Config, load
from motte.deployment import Deployment
from motte.errors import ConfigError, MotteError
from motte.files import check_private
from motte.fleet.authority import Authority, FileSigner
from motte.fleet.bundle import Endpoint, Examples
from motte.fleet.identity import Clock, Identity, SystemClock
from motte.fleet.registry import Registry
from motte.fleet.service import Bundles, Enrolment, Fleet, current_actor
from motte.plane.examples import examples_for
from motte.plane.operations import Operations
from motte.plane.process import announced_address
from motte.plane.publisher import Publisher

__all__ = ["ControlPlane"]


class ControlPlane:
    """Everything a command can do with one deployment."""

    def __init__(
        self, deployment: Deployment, *, clock: Clock | None = None, half_made: bool = False
    ) -> None:
        """Opens ``deployment``; one that is half made only for the command that completes it."""
        if deployment.unfinished.exists() and not half_made:
            raise ConfigError(
                f"the deployment in {deployment.root} is only half made",
                hint=f"complete it with `motte up --directory {deployment.root}`",
            )
        self.deployment = deployment
        self.clock = clock or SystemClock()
        self.config: Config = load(deployment.config_file)
        check_private(deployment.state, folder=True)
        self.registry = open_registry(deployment, self.config, self.clock)
        self.publisher = Publisher(deployment, self.config, self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.registry.close()

    @cached_property
    def fleet(self) -> Fleet:
        """The identities."""
        return Fleet(self.registry)

    @cached_property
    def operations(self) -> Operations:
        """Changes that connected clients feel at once."""
        return Operations(self.fleet, self.publisher)

    @cached_property
    def authority(self) -> Authority:
        """The fleet's authority; opening it reads its private key."""
        signer = FileSigner(self.deployment.authority)
        return Authority(signer, fleet=self.config.fleet.name, clock=self.clock)

    @cached_property
    def enrolment(self) -> Enrolment:
        """Makes credentials."""
        listener = self.config.listener
        port = listener.port
        if port == 0 and (announced := announced_address(self.deployment)) is not None:
            port = announced[1]
        bundles = Bundles(self.deployment.bundles, Endpoint(listener.host, port), self._examples)
        lifetime = timedelta(days=self.config.certificates.identity_days)
        return Enrolment(self.registry, self.authority, bundles=bundles, lifetime=lifetime)

    def _examples(self, identity: Identity) -> Examples:
        with contextlib.suppress(MotteError):
            return examples_for(self.publisher.policy_in_force(), identity)
        return Examples()


def open_registry(deployment: Deployment, config: Config, clock: Clock) -> Registry:
    """The registry of a deployment."""
    return Registry(
        deployment.registry, fleet=config.fleet.name, clock=clock, actor=current_actor()
    )
