//! Frames of the control socket: a length of 32 bits, big-endian, then a version byte and JSON. The
//! length counts the version byte.

use std::io::{self, ErrorKind};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version byte.
const VERSION: u8 = 1;
/// Longest body: a snapshot with a million exceptions fits.
pub(super) const BODY_LENGTH: u32 = 64 * 1024 * 1024;

/// From the first byte of a frame to its last. The largest takes milliseconds over a local socket; who
/// stops in the middle must not keep a place that a revocation needs.
pub(super) const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Reads one frame; nothing if the client has gone between two frames. Memory grows with what arrives,
/// not with what was announced. `deadline` counts from the first byte.
pub(super) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    deadline: Duration,
) -> io::Result<Option<Value>> {
    let mut head = [0; 4];
    let first = stream.read(&mut head).await?;
    if first == 0 {
        return Ok(None);
    }
    let rest = read_rest(stream, head, first);
    let body = tokio::time::timeout(deadline, rest)
        .await
        .map_err(|_| io::Error::new(ErrorKind::TimedOut, "a frame that does not end"))??;
    match body.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json)
            .map(Some)
            .map_err(|_| invalid("a frame that is not JSON")),
        _ => Err(invalid("a frame of another version")),
    }
}

/// The body of a frame of whose head `known` bytes are read.
async fn read_rest(
    stream: &mut (impl AsyncRead + Unpin),
    mut head: [u8; 4],
    known: usize,
) -> io::Result<Vec<u8>> {
    if let Some(rest) = head.get_mut(known..) {
        stream.read_exact(rest).await?;
    }
    let length = u32::from_be_bytes(head);
    if length == 0 || length > BODY_LENGTH {
        return Err(invalid("a frame of an impossible length"));
    }
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body).await?;
    if body.len() != length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

/// Writes one frame.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), message: &Value) -> io::Result<()> {
    let json = message.to_string();
    let length = u32::try_from(json.len() + 1)
        .ok()
        .filter(|length| *length <= BODY_LENGTH);
    let length = length.ok_or_else(|| invalid("an answer that is too long"))?;
    let mut frame = Vec::with_capacity(json.len() + 5);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(VERSION);
    frame.extend_from_slice(json.as_bytes());
    stream.write_all(&frame).await
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(bytes: &[u8]) -> io::Result<Option<Value>> {
        runtime().block_on(read_frame(&mut &*bytes, FRAME_DEADLINE))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    }

    #[test]
    fn a_frame_that_does_not_end_meets_its_deadline() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let outcome = runtime().block_on(async {
            client.write_all(&60_000_000_u32.to_be_bytes()).await.unwrap();
            client.write_all(&[VERSION]).await.unwrap();
            read_frame(&mut server, Duration::from_millis(20)).await
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_written_is_read() {
        let message = json!({"id": 7, "text": "ü\n"});
        let mut bytes = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(write_frame(&mut bytes, &message)).unwrap();
        assert_eq!(read(&bytes).unwrap(), Some(message));
    }

    #[test]
    fn the_end_between_frames_is_no_error() {
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn malformed_frames_are_errors() {
        let mut too_long = (BODY_LENGTH + 1).to_be_bytes().to_vec();
        too_long.push(VERSION);
        let cases: [(&str, Vec<u8>); 8] = [
            ("half a length", vec![0, 0]),
            ("no body", frame(b"")),
            ("no JSON", frame(b"\x01")),
            ("another version", frame(b"\x02{}")),
            ("not JSON", frame(b"\x01{")),
            ("not UTF-8", frame(b"\x01\"\xff\"")),
            ("an unfinished body", frame(b"\x01{}")[..6].to_vec()),
            ("longer than allowed", too_long),
        ];
        for (what, bytes) in cases {
            assert!(read(&bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn the_longest_body_is_announced_without_reserving_it() {
        let mut bytes = BODY_LENGTH.to_be_bytes().to_vec();
        bytes.extend_from_slice(b"\x01{}");
        assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
