//! A client of the control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) struct ControlClient {
    pub(crate) stream: UnixStream,
    next_id: u64,
}

impl ControlClient {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, next_id: 1 }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_body(format!("\x01{message}").as_bytes());
    }

    pub(crate) fn send_body(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length, body].concat()).unwrap();
    }

    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut body)?;
        assert_eq!(body[0], 1);
        Ok(serde_json::from_slice(&body[1..]).unwrap())
    }

    pub(crate) fn ask(&mut self, command: &str, arguments: &Value) -> Value {
        let mut request = arguments.clone();
        request["id"] = json!(self.next_id);
        request["command"] = json!(command);
        self.send(&request);
        let answer = self.receive().unwrap();
        assert_eq!(answer["id"], self.next_id);
        self.next_id += 1;
        answer
    }

    pub(crate) fn ok(&mut self, command: &str, arguments: &Value) -> Value {
        let mut answer = self.ask(command, arguments);
        assert_eq!(answer["ok"], true, "{answer}");
        answer["result"].take()
    }

    pub(crate) fn error(&mut self, command: &str, arguments: &Value) -> Value {
        let mut answer = self.ask(command, arguments);
        assert_eq!(answer["ok"], false, "{answer}");
        answer["error"].take()
    }

    /// Whether the other side has hung up.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}
