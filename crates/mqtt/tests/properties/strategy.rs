//! Arbitrary valid packets of both versions and both senders.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use motte_mqtt::{
    Acknowledgement, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, LastWill,
    Packet, PacketId, Password, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    Sender, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, UserProperties, topic,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// A packet, who sends it and in which version.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) sender: Sender,
    pub(crate) version: ProtocolVersion,
    pub(crate) packet: Packet,
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let version = prop_oneof![Just(ProtocolVersion::V311), Just(ProtocolVersion::V5)];
    let sender = prop_oneof![Just(Sender::Client), Just(Sender::Server)];
    (sender, version).prop_flat_map(|(sender, version)| {
        let is_v5 = version == ProtocolVersion::V5;
        let packet = match sender {
            Sender::Client => client_packet(is_v5).boxed(),
            Sender::Server => server_packet(is_v5).boxed(),
        };
        packet.prop_map(move |packet| Sent {
            sender,
            version,
            packet,
        })
    })
}

fn client_packet(is_v5: bool) -> impl Strategy<Value = Packet> {
    let mut kinds = vec![
        connect(is_v5)
            .prop_map(|packet| Packet::Connect(Box::new(packet)))
            .boxed(),
        publish(is_v5, false).prop_map(Packet::Publish).boxed(),
        acknowledgement(is_v5),
        subscribe(is_v5).prop_map(Packet::Subscribe).boxed(),
        unsubscribe(is_v5).prop_map(Packet::Unsubscribe).boxed(),
        Just(Packet::PingReq).boxed(),
        disconnect(is_v5, true).prop_map(Packet::Disconnect).boxed(),
    ];
    if is_v5 {
        kinds.push(auth(true).prop_map(Packet::Auth).boxed());
    }
    prop::strategy::Union::new(kinds)
}

fn server_packet(is_v5: bool) -> impl Strategy<Value = Packet> {
    let mut kinds = vec![
        connack(is_v5)
            .prop_map(|packet| Packet::ConnAck(Box::new(packet)))
            .boxed(),
        publish(is_v5, true).prop_map(Packet::Publish).boxed(),
        acknowledgement(is_v5),
        suback(is_v5).prop_map(Packet::SubAck).boxed(),
        unsuback(is_v5).prop_map(Packet::UnsubAck).boxed(),
        Just(Packet::PingResp).boxed(),
    ];
    if is_v5 {
        kinds.push(disconnect(true, false).prop_map(Packet::Disconnect).boxed());
        kinds.push(auth(false).prop_map(Packet::Auth).boxed());
    }
    prop::strategy::Union::new(kinds)
}

/// The reason codes that `is_legal` lets through.
fn reason(is_legal: impl Fn(&ReasonCode) -> bool) -> impl Strategy<Value = ReasonCode> {
    let codes: Vec<ReasonCode> = (0..=u8::MAX)
        .filter_map(ReasonCode::from_byte)
        .filter(is_legal)
        .collect();
    prop::sample::select(codes)
}

/// What 5.0 has and 3.1.1 has not; now and then left out in 5.0 too.
fn in_v5<S: Strategy>(is_v5: bool, strategy: S) -> impl Strategy<Value = S::Value>
where
    S::Value: Default + Clone,
{
    prop_oneof![
        if is_v5 { 3 } else { 0 } => strategy,
        1 => Just(S::Value::default()),
    ]
}

fn text() -> impl Strategy<Value = ByteString> {
    "[a-zA-Z0-9 #+/$é€😀\u{FEFF}]{0,12}".prop_map(ByteString::from)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn topic_name() -> impl Strategy<Value = ByteString> {
    "[a-z$é€]{1,6}(/[a-z0-9 é]{0,4}){0,5}".prop_map(ByteString::from)
}

fn topic_filter() -> impl Strategy<Value = ByteString> {
    r"(\$share/[a-z]{1,4}/)?(\+|[a-z]{1,4})(/(\+|[a-z0-9é]{0,4})){0,4}(/#)?".prop_map(ByteString::from)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<PacketId>()
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ]
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..4)
}

fn subscription_identifier() -> impl Strategy<Value = NonZeroU32> {
    (1..=268_435_455_u32).prop_map(|number| NonZeroU32::new(number).unwrap())
}

/// Message properties without alias and subscription identifiers, as a will has them.
fn message_properties() -> impl Strategy<Value = PublishProperties> {
    let rest = (of(topic_name()), of(data()), user_properties(), of(text()));
    (of(any::<bool>()), of(any::<u32>()), rest).prop_map(
        |(payload_is_utf8, message_expiry_interval, rest)| {
            let (response_topic, correlation_data, user_properties, content_type) = rest;
            PublishProperties {
                payload_is_utf8,
                message_expiry_interval,
                topic_alias: None,
                response_topic,
                correlation_data,
                user_properties,
                subscription_identifiers: Vec::new(),
                content_type,
            }
        },
    )
}

/// A payload that is what its properties say.
fn payload(properties: &PublishProperties, data: Bytes, text: &ByteString) -> Bytes {
    if properties.payload_is_utf8 == Some(true) {
        text.as_bytes().clone()
    } else {
        data
    }
}

fn publish(is_v5: bool, by_server: bool) -> impl Strategy<Value = Publish> {
    let alias = in_v5(is_v5, of(any::<NonZeroU16>()));
    let identifiers = in_v5(is_v5 && by_server, vec(subscription_identifier(), 0..4));
    let flags = (any::<bool>(), qos(), any::<bool>(), any::<bool>());
    let content = (topic_name(), data(), text(), packet_id());
    (
        flags,
        content,
        in_v5(is_v5, message_properties()),
        alias,
        identifiers,
    )
        .prop_map(
            |(
                (dup, qos, retain, hide_topic),
                (topic, data, text, packet_id),
                message,
                alias,
                identifiers,
            )| {
                let properties = PublishProperties {
                    topic_alias: alias,
                    subscription_identifiers: identifiers,
                    ..message
                };
                let is_acknowledged = qos != QoS::AtMostOnce;
                Publish {
                    dup: dup && is_acknowledged,
                    qos,
                    retain,
                    topic: if hide_topic && alias.is_some() {
                        ByteString::new()
                    } else {
                        topic
                    },
                    packet_id: is_acknowledged.then_some(packet_id),
                    payload: payload(&properties, data, &text),
                    properties,
                }
            },
        )
}

fn will(is_v5: bool) -> impl Strategy<Value = Box<LastWill>> {
    let message = in_v5(is_v5, message_properties());
    let delay = in_v5(is_v5, any::<u32>());
    (topic_name(), data(), text(), qos(), any::<bool>(), delay, message).prop_map(
        |(topic, data, text, qos, retain, delay_interval, properties)| {
            let payload = payload(&properties, data, &text);
            Box::new(LastWill {
                topic,
                payload,
                qos,
                retain,
                delay_interval,
                properties,
            })
        },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let numbers = (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
    );
    let switches = (of(any::<bool>()), of(any::<bool>()));
    (numbers, switches, user_properties(), of((text(), of(data())))).prop_map(
        |(numbers, switches, user_properties, authentication)| ConnectProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: switches.0,
            request_problem_information: switches.1,
            user_properties,
            authentication_method: authentication.as_ref().map(|(method, _)| method.clone()),
            authentication_data: authentication.and_then(|(_, data)| data),
        },
    )
}

fn connect(is_v5: bool) -> impl Strategy<Value = Connect> {
    let session = (any::<bool>(), any::<u16>(), text());
    (
        session,
        of(will(is_v5)),
        of(text()),
        of(data()),
        in_v5(is_v5, connect_properties()),
    )
        .prop_map(
            move |((clean_start, keep_alive, client_id), will, username, password, properties)| Connect {
                protocol_version: if is_v5 {
                    ProtocolVersion::V5
                } else {
                    ProtocolVersion::V311
                },
                clean_start,
                keep_alive,
                client_id,
                will,
                // 3.1.1 has no password without a user name.
                password: password.filter(|_| is_v5 || username.is_some()).map(Password),
                username,
                properties,
            },
        )
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
    );
    let switches = proptest::array::uniform4(of(any::<bool>()));
    let texts = proptest::array::uniform5(of(text()));
    let maximum_qos = of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]);
    (
        numbers,
        switches,
        texts,
        maximum_qos,
        of(any::<u16>()),
        user_properties(),
        of(data()),
    )
        .prop_map(
            |(numbers, switches, texts, maximum_qos, server_keep_alive, user_properties, data)| {
                let [
                    assigned,
                    reason_string,
                    response_information,
                    server_reference,
                    method,
                ] = texts;
                ConnAckProperties {
                    session_expiry_interval: numbers.0,
                    receive_maximum: numbers.1,
                    maximum_qos,
                    retain_available: switches[0],
                    maximum_packet_size: numbers.2,
                    assigned_client_identifier: assigned,
                    topic_alias_maximum: numbers.3,
                    reason_string,
                    user_properties,
                    wildcard_subscription_available: switches[1],
                    subscription_identifiers_available: switches[2],
                    shared_subscription_available: switches[3],
                    server_keep_alive,
                    response_information,
                    server_reference,
                    authentication_method: method,
                    authentication_data: data,
                }
            },
        )
}

fn connack(is_v5: bool) -> impl Strategy<Value = ConnAck> {
    let reason = reason(move |reason| {
        let return_code = ReasonCode::from_connect_return_code(reason.connect_return_code());
        if is_v5 {
            reason.is_legal_in_connack()
        } else {
            return_code == Some(*reason)
        }
    });
    (any::<bool>(), reason, in_v5(is_v5, connack_properties())).prop_map(
        |(session_present, reason, properties)| ConnAck {
            session_present: session_present && reason == ReasonCode::Success,
            reason,
            properties,
        },
    )
}

/// One of the four acknowledgements.
fn acknowledgement(is_v5: bool) -> BoxedStrategy<Packet> {
    type Wrap = fn(Acknowledgement) -> Packet;
    type IsLegal = fn(&ReasonCode) -> bool;
    let kinds: [(Wrap, IsLegal); 4] = [
        (Packet::PubAck, ReasonCode::is_legal_in_puback),
        (Packet::PubRec, ReasonCode::is_legal_in_puback),
        (Packet::PubRel, ReasonCode::is_legal_in_pubrel),
        (Packet::PubComp, ReasonCode::is_legal_in_pubrel),
    ];
    let kinds = kinds.map(|(wrap, is_legal)| {
        let reason = reason(move |reason| is_legal(reason) && (is_v5 || *reason == ReasonCode::Success));
        let explanation = in_v5(is_v5, (of(text()), user_properties()));
        (packet_id(), reason, explanation)
            .prop_map(move |(packet_id, reason, (reason_string, user_properties))| {
                wrap(Acknowledgement {
                    packet_id,
                    reason,
                    reason_string,
                    user_properties,
                })
            })
            .boxed()
    });
    prop::strategy::Union::new(kinds).boxed()
}

fn subscribe_filter(is_v5: bool) -> impl Strategy<Value = SubscribeFilter> {
    let handling = prop_oneof![
        Just(RetainHandling::Send),
        Just(RetainHandling::SendIfNew),
        Just(RetainHandling::DoNotSend)
    ];
    let options = in_v5(is_v5, (any::<bool>(), any::<bool>(), handling));
    (topic_filter(), qos(), options).prop_map(
        |(filter, qos, (no_local, retain_as_published, retain_handling))| {
            // Not on a shared subscription (MQTT-3.8.3-4).
            let no_local = no_local && topic::shared(&filter).is_none();
            SubscribeFilter {
                filter,
                qos,
                no_local,
                retain_as_published,
                retain_handling,
            }
        },
    )
}

fn subscribe(is_v5: bool) -> impl Strategy<Value = Subscribe> {
    let filters = vec(subscribe_filter(is_v5), 1..4);
    let identifier = in_v5(is_v5, of(subscription_identifier()));
    (packet_id(), filters, identifier, in_v5(is_v5, user_properties())).prop_map(
        |(packet_id, filters, subscription_identifier, user_properties)| Subscribe {
            packet_id,
            filters,
            subscription_identifier,
            user_properties,
        },
    )
}

fn unsubscribe(is_v5: bool) -> impl Strategy<Value = Unsubscribe> {
    (
        packet_id(),
        vec(topic_filter(), 1..4),
        in_v5(is_v5, user_properties()),
    )
        .prop_map(|(packet_id, filters, user_properties)| Unsubscribe {
            packet_id,
            filters,
            user_properties,
        })
}

fn suback(is_v5: bool) -> impl Strategy<Value = SubAck> {
    let reason = reason(move |reason| {
        if is_v5 {
            reason.is_legal_in_suback()
        } else {
            reason.is_suback_return_code()
        }
    });
    let explanation = in_v5(is_v5, (of(text()), user_properties()));
    (packet_id(), vec(reason, 1..5), explanation).prop_map(
        |(packet_id, reasons, (reason_string, user_properties))| SubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        },
    )
}

fn unsuback(is_v5: bool) -> impl Strategy<Value = UnsubAck> {
    let reasons = vec(
        reason(ReasonCode::is_legal_in_unsuback),
        if is_v5 { 1..5 } else { 0..1 },
    );
    let explanation = in_v5(is_v5, (of(text()), user_properties()));
    (packet_id(), reasons, explanation).prop_map(|(packet_id, reasons, (reason_string, user_properties))| {
        UnsubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        }
    })
}

fn disconnect(is_v5: bool, by_client: bool) -> impl Strategy<Value = Disconnect> {
    let reason = reason(move |reason| {
        reason.is_legal_in_disconnect(by_client) && (is_v5 || *reason == ReasonCode::Success)
    });
    let expiry = in_v5(is_v5 && by_client, of(any::<u32>()));
    let reference = in_v5(is_v5 && !by_client, of(text()));
    let explanation = in_v5(is_v5, (of(text()), user_properties()));
    (reason, expiry, reference, explanation).prop_map(
        |(reason, session_expiry_interval, server_reference, (reason_string, user_properties))| Disconnect {
            reason,
            session_expiry_interval,
            reason_string,
            user_properties,
            server_reference,
        },
    )
}

fn auth(by_client: bool) -> impl Strategy<Value = Auth> {
    let reason = reason(move |reason| reason.is_legal_in_auth(by_client));
    (reason, text(), of(data()), of(text()), user_properties()).prop_map(
        |(reason, method, authentication_data, reason_string, user_properties)| Auth {
            reason,
            authentication_method: Some(method),
            authentication_data,
            reason_string,
            user_properties,
        },
    )
}
