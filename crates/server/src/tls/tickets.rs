//! Session tickets that live for one hour at most.
//!
//! The provider's ticketer is safe in all but its fixed lifetime of twelve hours. Here it is rotated
//! from outside: a key seals tickets for half an hour and opens them for half an hour more, then it is
//! gone, long before the inner one would rotate by itself. Tickets are kept by the client alone; a
//! server that restarts has new keys and knows none of the old.

use std::sync::Arc;

use rustls::Error;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

/// Seconds for which one key seals tickets. A ticket is good for at most twice that: one hour, in
/// which a fleet that lost its network comes back without full handshakes. What the ticket vouches
/// for is judged again at every resumption, so the bound limits cost, not risk.
const KEY_LIFETIME: u32 = 30 * 60;

/// A ticketer for one server configuration.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    Ok(Arc::new(TicketRotator::new(KEY_LIFETIME, key)?))
}

fn key() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
    Ok(Box::new(Key(Ticketer::new().map_err(|_| GetRandomFailed)?)))
}

#[derive(Debug)]
struct Key(Arc<dyn ProducesTickets>);

impl ProducesTickets for Key {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        KEY_LIFETIME * 2
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_say_one_hour_and_open_only_for_their_maker() {
        let ticketer = ticketer().unwrap();
        assert_eq!(ticketer.lifetime(), 3_600);
        let ticket = ticketer.encrypt(b"session").unwrap();
        assert_eq!(ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(super::ticketer().unwrap().decrypt(&ticket), None);
    }
}
