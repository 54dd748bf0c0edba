//! Effects into rows, one transaction at a time.

use std::collections::HashMap;
use std::sync::Arc;

use motte_broker::{Message, SessionName, SubscriptionOptions, Waiting};
use motte_guard::Now;
use motte_mqtt::PacketId;
use rusqlite::{Connection, Error, TransactionBehavior, params};

use crate::clock::Moments;
use crate::effects::{Effects, HeldEffect, OutboundEffect, SessionEffect, Step, WillEffect};
use crate::form;

/// Messages up to this many bytes lie in the row of each session that they wait for. A page holds about
/// four thousand bytes, and a row of this table should leave room for a few others.
const INLINE_BYTES: usize = 512;

/// How far a message in the table `outbound` is.
pub(crate) const WAITING: i64 = 0;
pub(crate) const SENT: i64 = 1;
pub(crate) const RELEASED: i64 = 2;

/// Numbers of the sessions in the file.
pub(crate) type Numbers = HashMap<Arc<SessionName>, i64>;

/// The only one who writes.
pub(crate) struct Writer {
    connection: Connection,
    numbers: Numbers,
    last_number: i64,
    buffer: Vec<u8>,
    copy: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(connection: Connection, numbers: Numbers) -> Self {
        let last_number = numbers.values().copied().max().unwrap_or(0);
        Self {
            connection,
            numbers,
            last_number,
            buffer: Vec::new(),
            copy: Vec::new(),
        }
    }

    /// Writes all of it or nothing.
    pub(crate) fn write(&mut self, effects: &Effects, now: Now) -> Result<(), Error> {
        let ended: Vec<Arc<SessionName>> = effects
            .sessions
            .iter()
            .filter(|(_, effect)| effect.is_ended && effect.kept.is_none())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let Self {
            connection,
            numbers,
            last_number,
            buffer,
            copy,
        } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut writing = Writing {
            connection: &transaction,
            moments: Moments::at(now),
            contents: HashMap::new(),
            buffer,
            copy,
        };
        for (name, effect) in &effects.sessions {
            let number = match numbers.get(name) {
                Some(number) => *number,
                // It keeps its number if the transaction fails: it will be tried again.
                None if effect.kept.is_some() => {
                    *last_number += 1;
                    numbers.insert(Arc::clone(name), *last_number);
                    *last_number
                }
                None => continue,
            };
            writing.session(name, number, effect)?;
        }
        for (name, will) in &effects.wills {
            writing.will(name, will.as_ref())?;
        }
        for (topic, message) in &effects.retained {
            writing.retained(topic, message.as_deref())?;
        }
        transaction.commit()?;
        for name in &ended {
            numbers.remove(name);
        }
        Ok(())
    }

    /// Moves the write-ahead log into the file. Best effort: a start does it as well.
    pub(crate) fn tidy_up(&self) {
        let _ = self
            .connection
            .pragma_update_and_check(None, "wal_checkpoint", "truncate", |_| Ok(()));
    }
}

/// One transaction.
struct Writing<'a> {
    connection: &'a Connection,
    moments: Moments,
    /// Larger messages that are in the file since this transaction began, by their address.
    contents: HashMap<*const Message, i64>,
    buffer: &'a mut Vec<u8>,
    copy: &'a mut Vec<u8>,
}

impl Writing<'_> {
    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize, Error> {
        self.connection.prepare_cached(sql)?.execute(parameters)
    }

    fn session(&mut self, name: &SessionName, number: i64, effect: &SessionEffect) -> Result<(), Error> {
        if effect.is_ended {
            for sql in [
                "DELETE FROM outbound WHERE session = ?1",
                "DELETE FROM held WHERE session = ?1",
                "DELETE FROM subscription WHERE session = ?1",
                "DELETE FROM session WHERE id = ?1",
            ] {
                self.run(sql, [number])?;
            }
        }
        let ends_at = self.moments.kept(effect.left.flatten());
        if let Some((principal, expiry)) = &effect.kept {
            form::write_principal(principal, self.buffer);
            self.run(
                "INSERT INTO session (id, identity, client_id, principal, expiry, connected, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET principal = ?4, expiry = ?5, connected = ?6, ends_at = ?7",
                params![
                    number,
                    name.identity,
                    name.client_id,
                    *self.buffer,
                    expiry,
                    effect.left.is_none(),
                    ends_at
                ],
            )?;
        } else if effect.left.is_some() {
            self.run(
                "UPDATE session SET connected = 0, ends_at = ?2 WHERE id = ?1",
                params![number, ends_at],
            )?;
        }
        for (filter, options) in &effect.subscriptions {
            self.subscription(number, filter, options.as_ref())?;
        }
        for (sequence, effect) in &effect.outbound {
            self.outbound(number, *sequence, effect)?;
        }
        for (packet_id, effect) in &effect.held {
            self.held(number, *packet_id, effect)?;
        }
        Ok(())
    }

    fn subscription(
        &self,
        session: i64,
        filter: &str,
        options: Option<&SubscriptionOptions>,
    ) -> Result<(), Error> {
        let Some(options) = options else {
            self.run(
                "DELETE FROM subscription WHERE session = ?1 AND filter = ?2",
                params![session, filter],
            )?;
            return Ok(());
        };
        self.run(
            "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                session,
                filter,
                options.requested_qos as u8,
                options.granted_qos as u8,
                options.no_local,
                options.retain_as_published,
                options.identifier.map(std::num::NonZeroU32::get)
            ],
        )?;
        Ok(())
    }

    fn outbound(&mut self, session: i64, sequence: u64, effect: &OutboundEffect) -> Result<(), Error> {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        match effect {
            OutboundEffect::Insert(step, waiting) => {
                let (stage, packet_id) = match step {
                    Step::Waiting => (WAITING, None),
                    Step::Sent(packet_id) => (SENT, Some(*packet_id)),
                };
                self.insert_outbound((session, sequence), stage, packet_id, waiting)
            }
            OutboundEffect::Sent(packet_id) => self
                .run(
                    "UPDATE outbound SET stage = ?3, packet_id = ?4
                     WHERE session = ?1 AND sequence = ?2 AND stage = ?5",
                    params![session, sequence, SENT, packet_id.get(), WAITING],
                )
                .map(|_| ()),
            OutboundEffect::Released { packet_id, is_new } => {
                if !is_new {
                    self.delete_outbound(session, sequence)?;
                }
                self.run(
                    "INSERT OR REPLACE INTO outbound (session, sequence, stage, packet_id) VALUES (?1, ?2, ?3, ?4)",
                    params![session, sequence, RELEASED, packet_id.get()],
                )
                .map(|_| ())
            }
            OutboundEffect::Delete => self.delete_outbound(session, sequence),
        }
    }

    fn delete_outbound(&self, session: i64, sequence: i64) -> Result<(), Error> {
        self.run(
            "DELETE FROM outbound WHERE session = ?1 AND sequence = ?2",
            [session, sequence],
        )
        .map(|_| ())
    }

    fn insert_outbound(
        &mut self,
        (session, sequence): (i64, i64),
        stage: i64,
        packet_id: Option<PacketId>,
        waiting: &Waiting,
    ) -> Result<(), Error> {
        let message = &waiting.message;
        let content = if message.size() > INLINE_BYTES {
            Some(self.content(message)?)
        } else {
            form::write_message(message, self.buffer);
            None
        };
        form::write_delivery(waiting, self.copy);
        let inline = content.is_none().then_some(&*self.buffer);
        self.run(
            "INSERT OR REPLACE INTO outbound VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                session,
                sequence,
                stage,
                packet_id.map(PacketId::get),
                self.moments.kept(message.expires_at),
                *self.copy,
                inline,
                content
            ],
        )
        .map(|_| ())
    }

    /// Where a larger message lies; it is written for the first of its readers.
    fn content(&mut self, message: &Arc<Message>) -> Result<i64, Error> {
        let address = Arc::as_ptr(message);
        if let Some(id) = self.contents.get(&address) {
            self.run(
                "UPDATE content SET needed_by = needed_by + 1 WHERE id = ?1",
                [*id],
            )?;
            return Ok(*id);
        }
        form::write_message(message, self.buffer);
        self.run(
            "INSERT INTO content (needed_by, message) VALUES (1, ?1)",
            params![*self.buffer],
        )?;
        let id = self.connection.last_insert_rowid();
        self.contents.insert(address, id);
        Ok(id)
    }

    fn held(&mut self, session: i64, packet_id: PacketId, effect: &HeldEffect) -> Result<(), Error> {
        let HeldEffect::Insert(message) = effect else {
            self.run(
                "DELETE FROM held WHERE session = ?1 AND packet_id = ?2",
                params![session, packet_id.get()],
            )?;
            return Ok(());
        };
        if let Some(message) = message {
            form::write_message(message, self.buffer);
        }
        let expires_at = message.as_ref().and_then(|message| message.expires_at);
        self.run(
            "INSERT OR REPLACE INTO held VALUES (?1, ?2, ?3, ?4)",
            params![
                session,
                packet_id.get(),
                self.moments.kept(expires_at),
                message.is_some().then_some(&*self.buffer)
            ],
        )
        .map(|_| ())
    }

    fn retained(&mut self, topic: &str, message: Option<&Message>) -> Result<(), Error> {
        let Some(message) = message else {
            self.run("DELETE FROM retained WHERE topic = ?1", [topic])?;
            return Ok(());
        };
        form::write_message(message, self.buffer);
        self.run(
            "INSERT OR REPLACE INTO retained VALUES (?1, ?2, ?3)",
            params![topic, self.moments.kept(message.expires_at), *self.buffer],
        )
        .map(|_| ())
    }

    fn will(&mut self, name: &SessionName, will: Option<&WillEffect>) -> Result<(), Error> {
        let Some(will) = will else {
            self.run(
                "DELETE FROM will WHERE identity = ?1 AND client_id = ?2",
                [&name.identity, &name.client_id],
            )?;
            return Ok(());
        };
        form::write_will(&will.sender, &will.content, self.buffer);
        self.run(
            "INSERT OR REPLACE INTO will VALUES (?1, ?2, ?3, ?4)",
            params![
                name.identity,
                name.client_id,
                self.moments.kept(will.due),
                *self.buffer
            ],
        )
        .map(|_| ())
    }
}
