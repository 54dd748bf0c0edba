//! The MQTT 3.1.1 packets that a load needs, written and read by hand.

/// Fixed header bytes (packet type and the flags that the standard prescribes).
pub(crate) const CONNECT: u8 = 0x10;
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
const DISCONNECT: [u8; 2] = [0xE0, 0x00];

/// Largest packet that is read; brokers send nothing near it here.
const MAXIMUM_PACKET: usize = 256 * 1024;

/// Appends a CONNECT without keep alive: the load itself is the sign of life.
pub(crate) fn connect(client_id: &str, persistent: bool, out: &mut Vec<u8>) {
    const CLEAN_SESSION: u8 = 0x02;
    const PROTOCOL_LEVEL: u8 = 4;
    let flags = if persistent { 0 } else { CLEAN_SESSION };
    let mut body = Vec::with_capacity(client_id.len() + 16);
    string("MQTT", &mut body);
    body.extend_from_slice(&[PROTOCOL_LEVEL, flags, 0, 0]);
    string(client_id, &mut body);
    packet(CONNECT, &body, out);
}

/// Appends a SUBSCRIBE.
pub(crate) fn subscribe(packet_id: u16, filters: &[String], qos: u8, out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    for filter in filters {
        string(filter, &mut body);
        body.push(qos);
    }
    packet(SUBSCRIBE, &body, out);
}

/// Appends an acknowledgement of this kind: PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn acknowledge(kind: u8, packet_id: [u8; 2], out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind, 2, packet_id[0], packet_id[1]]);
}

/// Appends a CONNACK that accepts.
pub(crate) fn connack(out: &mut Vec<u8>) {
    out.extend_from_slice(&[CONNACK, 2, 0, 0]);
}

/// Appends a SUBACK that grants so many filters this QoS.
pub(crate) fn suback(packet_id: [u8; 2], filters: usize, qos: u8, out: &mut Vec<u8>) {
    let mut body = packet_id.to_vec();
    body.resize(2 + filters, qos);
    packet(SUBACK, &body, out);
}

/// Appends a DISCONNECT.
pub(crate) fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&DISCONNECT);
}

/// A PUBLISH whose changing parts are filled in for each message.
#[derive(Debug)]
pub(crate) struct PublishTemplate {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl PublishTemplate {
    /// Prepares the packet for a topic, with a payload of this many bytes.
    pub(crate) fn new(topic: &str, qos: u8, payload_bytes: usize) -> Self {
        let mut body = Vec::with_capacity(topic.len() + payload_bytes + 4);
        string(topic, &mut body);
        let mut packet_id_at = None;
        if qos > 0 {
            packet_id_at = Some(body.len());
            body.extend_from_slice(&[0, 0]);
        }
        let payload_at = body.len();
        body.resize(payload_at + payload_bytes, b'.');
        let mut bytes = Vec::new();
        packet(PUBLISH | (qos << 1), &body, &mut bytes);
        let header = bytes.len() - body.len();
        Self {
            bytes,
            packet_id_at: packet_id_at.map(|place| place + header),
            payload_at: payload_at + header,
        }
    }

    /// Appends the packet with this packet identifier (left out at QoS 0) and this mark at the front of the
    /// payload.
    pub(crate) fn append(&mut self, packet_id: u16, mark: Mark, out: &mut Vec<u8>) {
        if let Some(place) = self.packet_id_at {
            put(&mut self.bytes, place, &packet_id.to_be_bytes());
        }
        put(&mut self.bytes, self.payload_at, &mark.to_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

fn put(bytes: &mut [u8], place: usize, value: &[u8]) {
    if let Some(target) = bytes.get_mut(place..place + value.len()) {
        target.copy_from_slice(value);
    }
}

/// What every payload starts with: which message it is, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Nanoseconds since the start of the run.
    pub(crate) sent_at: u64,
    /// Number of the publisher.
    pub(crate) publisher: u32,
    /// Number of the message among those of its publisher.
    pub(crate) sequence: u32,
}

impl Mark {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        put(&mut bytes, 0, &self.sent_at.to_be_bytes());
        put(&mut bytes, 8, &self.publisher.to_be_bytes());
        put(&mut bytes, 12, &self.sequence.to_be_bytes());
        bytes
    }

    fn from_bytes(payload: &[u8]) -> Option<Self> {
        let (sent_at, rest) = payload.split_first_chunk::<8>()?;
        let (publisher, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            sent_at: u64::from_be_bytes(*sent_at),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u32::from_be_bytes(*sequence),
        })
    }
}

/// A packet as it stands in the receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Packet type and flags.
    pub(crate) header: u8,
    /// Everything after the remaining length.
    pub(crate) body: &'a [u8],
    /// Length of the whole packet.
    pub(crate) length: usize,
}

/// The first whole packet of a buffer, or nothing when more bytes are needed.
pub(crate) fn first_frame(buffer: &[u8]) -> Result<Option<Frame<'_>>, &'static str> {
    let Some((&header, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for index in 0..4 {
        let Some(&byte) = rest.get(index) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if remaining > MAXIMUM_PACKET {
                return Err("a packet larger than any that was sent");
            }
            let length = 2 + index + remaining;
            return Ok(buffer
                .get(2 + index..length)
                .map(|body| Frame { header, body, length }));
        }
    }
    Err("a remaining length of more than four bytes")
}

impl<'a> Frame<'a> {
    /// The packet type, without flags.
    pub(crate) fn kind(&self) -> u8 {
        self.header & 0xF0
    }

    /// The packet identifier with which an acknowledgement begins.
    pub(crate) fn packet_id(&self) -> Option<[u8; 2]> {
        self.body.first_chunk::<2>().copied()
    }

    /// Number of filters of a SUBSCRIBE and the QoS of the last.
    pub(crate) fn subscriptions(&self) -> (usize, u8) {
        let mut rest = self.body.get(2..).unwrap_or_default();
        let (mut count, mut qos) = (0, 0);
        while let Some((length, filter)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(&asked) = filter.get(length) else { break };
            (count, qos) = (count + 1, asked & 3);
            rest = filter.get(length + 1..).unwrap_or_default();
        }
        (count, qos)
    }

    /// Appends the packet as it came.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        packet(self.header, self.body, out);
    }

    /// The quality of service of a PUBLISH.
    pub(crate) fn qos(&self) -> u8 {
        (self.header >> 1) & 3
    }

    /// Reads a PUBLISH: its packet identifier (QoS 1 and 2) and its mark. Nothing for any other packet and for a
    /// payload that is not ours.
    pub(crate) fn publish(&self) -> Option<(Option<[u8; 2]>, Mark)> {
        if self.kind() != PUBLISH {
            return None;
        }
        let (topic_length, rest) = self.body.split_first_chunk::<2>()?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*topic_length))..)?;
        if self.qos() == 0 {
            return Mark::from_bytes(rest).map(|mark| (None, mark));
        }
        let (packet_id, payload): (&'a [u8; 2], _) = rest.split_first_chunk::<2>()?;
        Mark::from_bytes(payload).map(|mark| (Some(*packet_id), mark))
    }
}

/// Appends a length-prefixed string. Longer ones than the format allows are cut; scenario files have none.
fn string(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(text.bytes().take(usize::from(length)));
}

/// Appends a packet: header, remaining length, body.
fn packet(header: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(header);
    let mut remaining = body.len();
    loop {
        let low = (remaining % 128) as u8;
        remaining /= 128;
        out.push(if remaining > 0 { low | 0x80 } else { low });
        if remaining == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_is_the_packet_of_the_standard() {
        let mut out = Vec::new();
        connect("ab", false, &mut out);
        assert_eq!(out, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab");
        out.clear();
        connect("ab", true, &mut out);
        assert_eq!(out, b"\x10\x0e\x00\x04MQTT\x04\x00\x00\x00\x00\x02ab");
    }

    #[test]
    fn subscribe_is_the_packet_of_the_standard() {
        let mut out = Vec::new();
        subscribe(10, &["a/b".to_owned(), "c/d".to_owned()], 1, &mut out);
        assert_eq!(out, b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x01");
    }

    #[test]
    fn a_publish_comes_back_with_its_mark_at_either_qos() {
        let mark = Mark {
            sent_at: 7,
            publisher: 3,
            sequence: 0xDEAD_BEEF,
        };
        for (qos, payload_bytes) in [(0, 16), (1, 16), (2, 120), (0, 20_000)] {
            let mut template = PublishTemplate::new("load/device-1/telemetry", qos, payload_bytes);
            let mut out = Vec::new();
            template.append(0x0102, mark, &mut out);
            let frame = first_frame(&out).unwrap().unwrap();
            assert_eq!(frame.length, out.len());
            let packet_id = (qos > 0).then_some([1, 2]);
            assert_eq!(frame.publish(), Some((packet_id, mark)));
        }
    }

    #[test]
    fn an_incomplete_packet_waits_for_more() {
        let mut out = Vec::new();
        PublishTemplate::new("t", 1, 300).append(
            1,
            Mark {
                sent_at: 1,
                publisher: 2,
                sequence: 3,
            },
            &mut out,
        );
        for end in 0..out.len() {
            assert_eq!(first_frame(&out[..end]), Ok(None), "{end} of {} bytes", out.len());
        }
    }

    #[test]
    fn a_length_of_five_bytes_is_an_error() {
        assert!(first_frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).is_err());
        assert!(first_frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).is_err());
    }
}
