//! A broker in memory with clients that speak packets: the world of the playbooks.
#![allow(dead_code, reason = "every playbook uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use motte_broker::{Broker, BrokerSettings, ConnectionId, InstallReport, MemoryStore, Store, Transmit};
use motte_guard::{CertificateFacts, Guard, GuardSettings, KeyKind, Now, evidence};
use motte_mqtt::{
    Acknowledgement, ConnAck, Connect, ConnectProperties, Decoded, Decoder, LastWill, Limits, Packet,
    PacketId, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Sender,
    Subscribe, SubscribeFilter, encode,
};
use motte_policy::Snapshot;
use serde_json::{Value, json};

pub(crate) const FLEET: &str = "home";
pub(crate) const START: Duration = Duration::from_secs(1_800_000_000);
const BUDGET: usize = 64 * 1024;

/// Devices that talk to themselves under `dev/<id>/…`, and a service that sees and commands all.
pub(crate) fn policy() -> Value {
    json!([
        {
            "name": "device", "line": 1,
            "match": {"kind": "device", "id": null, "attributes": {"group": "dev"}},
            "publish": [
                {"topic": "dev/{device}/tel", "qos": 2, "retain": true, "will": true, "line": 2},
                {"topic": "peer/+/inbox", "qos": 2, "retain": true, "will": true, "line": 3}
            ],
            "subscribe": [
                {"topic": "dev/{device}/cmd", "qos": 2, "line": 4},
                {"topic": "peer/{device}/inbox", "qos": 2, "line": 5}
            ],
            "deny": [], "wildcards": false,
            "limits": {"messages_per_second": 100_000, "message_burst": 100_000, "inflight": 10, "queue_messages": 100}
        },
        {
            "name": "backend", "line": 10,
            "match": {"kind": "service", "id": "backend", "attributes": {}},
            "publish": [{"topic": "dev/+/cmd", "qos": 2, "retain": true, "will": true, "line": 11}],
            "subscribe": [{"topic": "dev/#", "qos": 2, "line": 12}],
            "deny": [],
            "wildcards": true,
            "limits": {"inflight": 100}
        },
        {
            "name": "crew", "line": 20,
            "match": {"kind": "service", "id": null, "attributes": {"crew": "yes"}},
            "publish": [{"topic": "dev/+/tel", "qos": 2, "retain": true, "will": true, "line": 21}],
            "subscribe": [{"topic": "dev/+/tel", "qos": 2, "line": 22}],
            "deny": [], "wildcards": true, "share": ["crew", "other"],
            "limits": {"inflight": 10, "queue_messages": 20, "connections": 1000, "sessions": 1000}
        }
    ])
}

pub(crate) fn snapshot(generation: u64, roles: &Value, exceptions: &Value) -> Arc<Snapshot> {
    let document = json!({
        "format": 1, "generation": generation, "fleet": FLEET, "policy_file": "policy.toml",
        "roles": roles, "exceptions": exceptions, "vectors": [],
    });
    Arc::new(Snapshot::parse(document.to_string().as_bytes()).expect("the snapshot of the test is valid"))
}

pub(crate) fn no_exceptions() -> Value {
    json!({"revoked_serials": [], "revoked": [], "quarantined": [], "banned": []})
}

pub(crate) fn revoked(name: &str) -> Value {
    json!({"revoked_serials": [], "revoked": [name], "quarantined": [], "banned": []})
}

pub(crate) fn quarantined(name: &str) -> Value {
    json!({"revoked_serials": [], "revoked": [], "quarantined": [name], "banned": []})
}

pub(crate) fn facts(uri: &str) -> CertificateFacts {
    CertificateFacts {
        serial: uri.bytes().rev().take(16).collect(),
        issuer_matches: true,
        not_before: START.as_secs() - 60,
        not_after: START.as_secs() + 7 * 86_400,
        uri_names: vec![uri.to_owned()],
        is_authority: false,
        client_auth: true,
        digital_signature: true,
        key: KeyKind::EcdsaP256,
    }
}

pub(crate) fn device(id: &str) -> String {
    format!("spiffe://{FLEET}/group/dev/device/{id}")
}

pub(crate) fn service(id: &str) -> String {
    format!("spiffe://{FLEET}/service/{id}")
}

pub(crate) fn worker(id: &str) -> String {
    format!("spiffe://{FLEET}/crew/yes/service/{id}")
}

/// The broker, its clock and the clients' ends of the connections.
pub(crate) struct World<S: Store = MemoryStore> {
    pub(crate) broker: Broker<S>,
    pub(crate) elapsed: Duration,
    clients: BTreeMap<ConnectionId, Client>,
    generation: u64,
}

struct Client {
    decoder: Decoder,
    version: ProtocolVersion,
    received: BytesMut,
    unread: Vec<Packet>,
    is_closed: bool,
}

impl World {
    /// A broker under [`policy`].
    pub(crate) fn new() -> Self {
        Self::with_store(MemoryStore::default())
    }
}

impl<S: Store> World<S> {
    pub(crate) fn with_store(store: S) -> Self {
        let guard = Guard::new(GuardSettings::new(FLEET));
        let broker = Broker::new(BrokerSettings::default(), guard, store, [7; 32]);
        let mut world = Self {
            broker,
            elapsed: Duration::from_secs(1),
            clients: BTreeMap::new(),
            generation: 0,
        };
        world.install(&policy(), &no_exceptions());
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: self.elapsed,
            unix: START + self.elapsed,
        }
    }

    pub(crate) fn install(&mut self, roles: &Value, exceptions: &Value) -> InstallReport {
        self.generation += 1;
        let now = self.now();
        self.broker
            .install(snapshot(self.generation, roles, exceptions), now)
            .expect("the snapshot is newer")
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while let Some(at) = self.broker.next_deadline().filter(|at| *at <= end) {
            self.elapsed = self.elapsed.max(at);
            let now = self.now();
            self.broker.advance(now);
        }
        self.elapsed = end;
        let now = self.now();
        self.broker.advance(now);
    }

    /// A connection behind TLS, before CONNECT.
    pub(crate) fn open(&mut self, uri: &str, version: ProtocolVersion) -> ConnectionId {
        self.open_with(&facts(uri), version)
    }

    /// The same with a certificate of the playbook's making.
    pub(crate) fn open_with(&mut self, facts: &CertificateFacts, version: ProtocolVersion) -> ConnectionId {
        let (accepted_at, now) = (self.elapsed, self.now());
        let peer = "127.0.0.1:40000".parse().expect("an address");
        let id = self
            .broker
            .open(peer, facts, accepted_at, now)
            .expect("the certificate is good");
        let mut decoder = Decoder::new(Sender::Server, Limits::with_packet_size(1 << 24));
        decoder.set_version(version);
        self.clients.insert(
            id,
            Client {
                decoder,
                version,
                received: BytesMut::new(),
                unread: Vec::new(),
                is_closed: false,
            },
        );
        id
    }

    pub(crate) fn send_bytes(&mut self, id: ConnectionId, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        let now = self.now();
        while self.broker.receive(id, &mut buffer, now) {}
    }

    pub(crate) fn send(&mut self, id: ConnectionId, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, self.clients[&id].version, &mut bytes).expect("the packet of the test is valid");
        self.send_bytes(id, &bytes);
    }

    /// Everything the broker has for this client now.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Vec<Packet> {
        let now = self.now();
        let _ = self.broker.woken().count();
        loop {
            let mut out = BytesMut::new();
            let Transmit { close, more } = self.broker.transmit(id, &mut out, BUDGET, now);
            let client = self.clients.get_mut(&id).expect("an open connection");
            client.received.extend_from_slice(&out);
            if close && !client.is_closed {
                client.is_closed = true;
                self.broker.peer_closed(id, now);
            }
            if !more || out.is_empty() {
                break;
            }
        }
        let client = self.clients.get_mut(&id).expect("an open connection");
        let mut packets = std::mem::take(&mut client.unread);
        while let Decoded::Packet(packet) = client
            .decoder
            .decode(&mut client.received)
            .expect("the broker is strict")
        {
            packets.push(packet);
        }
        packets
    }

    pub(crate) fn version(&self, id: ConnectionId) -> ProtocolVersion {
        self.clients[&id].version
    }

    pub(crate) fn is_closed(&mut self, id: ConnectionId) -> bool {
        self.take(id);
        self.clients[&id].is_closed
    }

    /// The network fails.
    pub(crate) fn cut(&mut self, id: ConnectionId) {
        let now = self.now();
        self.broker.peer_closed(id, now);
        self.clients.get_mut(&id).expect("an open connection").is_closed = true;
    }

    pub(crate) fn connect(&mut self, uri: &str, connect: Connect) -> (ConnectionId, ConnAck) {
        let id = self.open(uri, connect.protocol_version);
        self.send(id, &Packet::Connect(Box::new(connect)));
        let mut packets = self.take(id);
        // What came right behind CONNACK belongs to the playbook.
        let rest = packets.split_off(packets.len().min(1));
        self.clients.get_mut(&id).expect("an open connection").unread = rest;
        match packets.pop() {
            Some(Packet::ConnAck(answer)) => (id, *answer),
            other => panic!("CONNACK was due, not {other:?}"),
        }
    }

    /// A device with its own id, clean start.
    pub(crate) fn device(&mut self, id: &str, version: ProtocolVersion) -> ConnectionId {
        let (connection, answer) = self.connect(&device(id), connect(id, version));
        assert_eq!(answer.reason, ReasonCode::Success);
        connection
    }

    /// A device whose session stays an hour.
    pub(crate) fn lasting_device(&mut self, id: &str, version: ProtocolVersion) -> (ConnectionId, bool) {
        let (connection, answer) = self.connect(&device(id), lasting(connect(id, version)));
        assert_eq!(answer.reason, ReasonCode::Success);
        (connection, answer.session_present)
    }

    pub(crate) fn backend(&mut self, version: ProtocolVersion) -> ConnectionId {
        let (connection, answer) = self.connect(&service("backend"), connect("backend", version));
        assert_eq!(answer.reason, ReasonCode::Success);
        connection
    }

    /// A service that may share subscriptions. Its session stays an hour where it is `lasting`.
    pub(crate) fn worker(&mut self, id: &str, version: ProtocolVersion, is_lasting: bool) -> ConnectionId {
        let hello = connect(id, version);
        let hello = if is_lasting { lasting(hello) } else { hello };
        let (connection, answer) = self.connect(&worker(id), hello);
        assert_eq!(answer.reason, ReasonCode::Success);
        connection
    }

    pub(crate) fn subscribe(&mut self, id: ConnectionId, filter: &str, qos: QoS) -> ReasonCode {
        self.send(id, &Packet::Subscribe(subscribe(filter, qos)));
        self.take(id)
            .into_iter()
            .find_map(|packet| match packet {
                Packet::SubAck(answer) => answer.reasons.first().copied(),
                _ => None,
            })
            .expect("a SUBACK")
    }

    pub(crate) fn publish(&mut self, id: ConnectionId, topic: &str, payload: &str, qos: QoS, packet_id: u16) {
        self.send(id, &Packet::Publish(publish(topic, payload, qos, packet_id)));
    }

    /// Payloads of the messages that wait for this client, acknowledged as they come.
    pub(crate) fn payloads(&mut self, id: ConnectionId) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let packets = self.take(id);
            if packets.is_empty() {
                return payloads;
            }
            for packet in packets {
                match packet {
                    Packet::Publish(message) => {
                        payloads.push(String::from_utf8_lossy(&message.payload).into_owned());
                        match (message.qos, message.packet_id) {
                            (QoS::AtLeastOnce, Some(packet_id)) => {
                                self.send(id, &Packet::PubAck(success(packet_id)));
                            }
                            (QoS::ExactlyOnce, Some(packet_id)) => {
                                self.send(id, &Packet::PubRec(success(packet_id)));
                            }
                            _ => {}
                        }
                    }
                    Packet::PubRel(release) => self.send(id, &Packet::PubComp(success(release.packet_id))),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn evidence(&mut self) -> Vec<evidence::Record> {
        self.broker.take_evidence()
    }
}

pub(crate) fn success(packet_id: PacketId) -> Acknowledgement {
    Acknowledgement::new(packet_id, ReasonCode::Success)
}

pub(crate) fn number(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("not zero")
}

pub(crate) fn connect(client_id: &str, protocol_version: ProtocolVersion) -> Connect {
    Connect {
        protocol_version,
        clean_start: true,
        keep_alive: 60,
        client_id: client_id.into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// The same with a session that stays.
pub(crate) fn lasting(mut connect: Connect) -> Connect {
    connect.clean_start = false;
    if connect.protocol_version == ProtocolVersion::V5 {
        connect.properties.session_expiry_interval = Some(3600);
    }
    connect
}

pub(crate) fn will(topic: &str, payload: &str) -> LastWill {
    LastWill {
        topic: topic.into(),
        payload: payload.to_owned().into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_interval: 0,
        properties: PublishProperties::default(),
    }
}

pub(crate) fn publish(topic: &str, payload: &str, qos: QoS, packet_id: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.into(),
        packet_id: if qos == QoS::AtMostOnce {
            None
        } else {
            Some(number(packet_id))
        },
        payload: payload.to_owned().into(),
        properties: PublishProperties::default(),
    }
}

/// A QoS 2 message that waits for its PUBREL.
pub(crate) fn qos_2(packet_id: u16) -> Packet {
    Packet::Publish(publish("peer/b/inbox", "held", QoS::ExactlyOnce, packet_id))
}

pub(crate) fn subscribe(filter: &str, qos: QoS) -> Subscribe {
    Subscribe {
        packet_id: number(99),
        filters: vec![SubscribeFilter {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }],
        subscription_identifier: None,
        user_properties: Vec::new(),
    }
}

/// Both versions, for playbooks that hold for both.
pub(crate) const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];
