//! The admin listener: metrics, health and readiness over HTTP, on loopback.
//!
//! Off unless the settings give it an address. It reads and never changes anything, and what it tells
//! names nobody. Each connection is one request of a few lines.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::error::{ServeError, ServeErrorKind};
use crate::log;
use crate::metrics;

/// Requests at once: a scraper or two, a supervisor, a person. One more is closed.
const REQUESTS: usize = 8;
/// From the accepted connection to the end of the answer.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a request's head. Scrapers send some hundred.
const HEAD: usize = 8 * 1024;
/// Between two attempts to accept while descriptors are scarce.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Binds the address.
pub(crate) fn bind(address: SocketAddr) -> Result<StdTcpListener, ServeError> {
    let bound = StdTcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::AddrInUse {
            ServeErrorKind::AddressInUse
        } else {
            ServeErrorKind::System
        };
        ServeError::new(
            kind,
            format!("cannot listen on {address} for metrics: {error}"),
            "choose another address or port under `[metrics]` in motte.toml, or `listen = \"off\"`",
        )
    })
}

/// Answers for ever.
pub(crate) async fn serve(listener: StdTcpListener, engine: Arc<Engine>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error(format_args!("there are no metrics: {error}")),
    };
    let room = Arc::new(Semaphore::new(REQUESTS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        let engine = engine.clone();
        tokio::spawn(async move {
            let _ = timeout(REQUEST_DEADLINE, exchange(stream, &engine)).await;
            drop(place);
        });
    }
}

async fn exchange(mut stream: TcpStream, engine: &Arc<Engine>) -> io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else {
        return Ok(());
    };
    let answer = answer(&head, engine);
    stream.write_all(answer.render().as_bytes()).await?;
    stream.shutdown().await
}

/// Everything up to the empty line; nothing if it is too long, or no text.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    loop {
        let count = stream.read(&mut part).await?;
        head.extend(part.iter().take(count));
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(String::from_utf8(head).ok());
        }
        if count == 0 || head.len() > HEAD {
            return Ok(None);
        }
    }
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: &str) -> Self {
        Self {
            status,
            kind: TEXT,
            body: format!("{body}\n"),
        }
    }

    fn render(&self) -> String {
        let mut out = String::new();
        let Self { status, kind, body } = self;
        let _ = write!(
            out,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n{body}",
            body.len()
        );
        out
    }
}

fn answer(head: &str, engine: &Arc<Engine>) -> Answer {
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (request.next(), request.next().unwrap_or_default());
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map_or("", |(_, value)| value.trim());
    if !is_own_name(host) {
        return Answer::text("403 Forbidden", "ask by an IP address or as localhost");
    }
    if method != Some("GET") {
        return Answer::text("405 Method Not Allowed", "only GET");
    }
    match target.split('?').next().unwrap_or_default() {
        "/metrics" => metrics::render(engine).map_or_else(broken, |body| Answer {
            status: "200 OK",
            kind: OPEN_METRICS,
            body,
        }),
        "/healthz" if engine.is_broken() => broken(),
        "/healthz" => Answer::text("200 OK", "ok"),
        "/readyz" => match engine.readiness() {
            Ok(()) => Answer::text("200 OK", "ready"),
            Err(why) => Answer::text("503 Service Unavailable", why),
        },
        _ => Answer::text("404 Not Found", "there are /metrics, /healthz and /readyz"),
    }
}

fn broken() -> Answer {
    Answer::text("503 Service Unavailable", "the broker broke inside")
}

/// A page in a browser on this host could ask under a name of its own that leads here (DNS rebinding), and
/// read the answer. By an address or as `localhost` it could not.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_own_name;

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "localhost",
            "LocalHost:1",
            "[::1]",
            "[::1]:9464",
        ] {
            assert!(is_own_name(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "127.0.0.1.example.org:9464",
            "localhost.example.org",
            ":9464",
        ] {
            assert!(!is_own_name(host), "{host}");
        }
    }
}
