//! Rows back into the state that a broker begins with.
//!
//! A row that cannot be read is told to a [`Judge`]: a start stops at the first, a salvage goes on.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use motte_broker::{
    DurableSession, DurableState, DurableWill, Message, Progress, SessionName, SubscriptionOptions,
};
use motte_mqtt::PacketId;
use rusqlite::{Connection, Row};

use crate::clock::Moments;
use crate::form::{self, Garbled};
use crate::write::{Numbers, RELEASED, SENT, WAITING};

/// What a row could not be read for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Kind(#[from] rusqlite::types::FromSqlError),
    #[error(transparent)]
    Garbled(#[from] Garbled),
    #[error("{0}")]
    Contradiction(String),
}

/// Decides what becomes of a row that cannot be read: `Err` ends the reading.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(&'static str, RowError) -> Result<(), RowError>;

/// Everything in the file, with the numbers of its sessions.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) state: DurableState,
    pub(crate) numbers: Numbers,
}

/// Reads all tables.
pub(crate) fn load(connection: &Connection, moments: Moments, judge: Judge<'_>) -> Result<Loaded, RowError> {
    let mut loading = Loading {
        connection,
        moments,
        names: HashMap::new(),
        contents: HashMap::new(),
        loaded: Loaded::default(),
    };
    loading.table(("session", "id"), judge, Loading::session)?;
    loading.table(
        ("subscription", "session DESC, filter"),
        judge,
        Loading::subscription,
    )?;
    loading.table(("content", "id"), judge, Loading::content)?;
    loading.table(("outbound", "session DESC, sequence"), judge, Loading::outbound)?;
    loading.table(("held", "rowid"), judge, Loading::held)?;
    loading.table(("retained", "rowid"), judge, Loading::retained)?;
    loading.table(("will", "rowid"), judge, Loading::will)?;
    Ok(loading.loaded)
}

struct Loading<'a> {
    connection: &'a Connection,
    moments: Moments,
    names: HashMap<i64, Arc<SessionName>>,
    /// Larger messages, and the message made of it once its expiry is known.
    contents: HashMap<i64, (Vec<u8>, Option<Arc<Message>>)>,
    loaded: Loaded,
}

impl Loading<'_> {
    /// Reads a table, whose rows lie in the file in the order of `order`. Where damage ends the reading,
    /// what lies behind it is read from the other end.
    fn table(
        &mut self,
        (name, order): (&'static str, &str),
        judge: Judge<'_>,
        take: fn(&mut Self, &Row<'_>) -> Result<(), RowError>,
    ) -> Result<(), RowError> {
        let forwards = format!("SELECT * FROM {name}");
        let Err(error) = self.rows(name, &forwards, judge, take)? else {
            return Ok(());
        };
        judge(name, error.into())?;
        let backwards = format!("{forwards} ORDER BY {order} DESC");
        // It ends at the same damage, which has been told.
        let _ = self.rows(name, &backwards, judge, take)?;
        Ok(())
    }

    /// The outer error is the judge's, the inner one ended the reading.
    fn rows(
        &mut self,
        name: &'static str,
        sql: &str,
        judge: Judge<'_>,
        take: fn(&mut Self, &Row<'_>) -> Result<(), RowError>,
    ) -> Result<Result<(), rusqlite::Error>, RowError> {
        let connection = self.connection;
        let mut statement = match connection.prepare(sql) {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = match statement.query([]) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => take(self, row).or_else(|error| judge(name, error))?,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn session(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let number: i64 = row.get("id")?;
        let name = SessionName {
            identity: row.get("identity")?,
            client_id: row.get("client_id")?,
        };
        let principal = form::read_principal(row.get_ref("principal")?.as_blob()?)?;
        if principal.identity.to_string() != name.identity {
            let problem = format!("the session of {} holds the identity of another", name.identity);
            return Err(RowError::Contradiction(problem));
        }
        let mut session = DurableSession::new(Arc::new(principal), row.get("expiry")?);
        session.connected = row.get("connected")?;
        session.ends_at = self.moment(row, "ends_at")?;
        let shared = Arc::new(name.clone());
        self.names.insert(number, Arc::clone(&shared));
        self.loaded.numbers.insert(shared, number);
        self.loaded.state.sessions.insert(name, session);
        Ok(())
    }

    fn subscription(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let options = SubscriptionOptions {
            requested_qos: form::qos(row.get("requested_qos")?)?,
            granted_qos: form::qos(row.get("granted_qos")?)?,
            no_local: row.get("no_local")?,
            retain_as_published: row.get("retain_as_published")?,
            identifier: row.get::<_, Option<u32>>("identifier")?.and_then(NonZeroU32::new),
        };
        let filter = row.get("filter")?;
        self.owner(row)?.subscriptions.insert(filter, options);
        Ok(())
    }

    fn content(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        self.contents.insert(row.get("id")?, (row.get("message")?, None));
        Ok(())
    }

    fn outbound(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let sequence = u64::try_from(row.get::<_, i64>("sequence")?).unwrap_or(0);
        let stage: i64 = row.get("stage")?;
        let progress = if stage == RELEASED {
            Progress::Released(packet_id(row)?)
        } else {
            let delivery = form::read_delivery(row.get_ref("delivery")?.as_blob()?)?;
            let waiting = delivery.of(sequence, self.message_of(row)?);
            match stage {
                WAITING => Progress::Waiting(waiting),
                SENT => Progress::Sent(packet_id(row)?, waiting),
                other => return Err(RowError::Contradiction(format!("a message in stage {other}"))),
            }
        };
        self.owner(row)?.outbound.insert(sequence, progress);
        Ok(())
    }

    /// The message of a row, where it lies: readers of a larger one share it.
    fn message_of(&mut self, row: &Row<'_>) -> Result<Arc<Message>, RowError> {
        let expires_at = self.moment(row, "expires_at")?;
        let Some(content) = row.get::<_, Option<i64>>("content")? else {
            return Ok(form::read_message(
                row.get_ref("message")?.as_blob()?,
                expires_at,
            )?);
        };
        let Some((bytes, message)) = self.contents.get_mut(&content) else {
            return Err(RowError::Contradiction(format!(
                "the content {content} is missing"
            )));
        };
        if let Some(message) = message
            .as_ref()
            .filter(|message| message.expires_at == expires_at)
        {
            return Ok(Arc::clone(message));
        }
        let read = form::read_message(bytes, expires_at)?;
        *message = Some(Arc::clone(&read));
        Ok(read)
    }

    fn held(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let packet_id = packet_id(row)?;
        let expires_at = self.moment(row, "expires_at")?;
        let message = match row.get_ref("message")?.as_blob_or_null()? {
            Some(bytes) => Some(form::read_message(bytes, expires_at)?),
            None => None,
        };
        self.owner(row)?.held.insert(packet_id, message);
        Ok(())
    }

    fn retained(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let topic: String = row.get("topic")?;
        let expires_at = self.moment(row, "expires_at")?;
        let message = form::read_message(row.get_ref("message")?.as_blob()?, expires_at)?;
        if *message.topic != *topic {
            let problem = format!("under the retained topic {topic:?} lies a message of another");
            return Err(RowError::Contradiction(problem));
        }
        self.loaded.state.retained.insert(topic, message);
        Ok(())
    }

    fn will(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let name = SessionName {
            identity: row.get("identity")?,
            client_id: row.get("client_id")?,
        };
        let (sender, content) = form::read_will(row.get_ref("content")?.as_blob()?)?;
        if sender.identity.to_string() != name.identity {
            let problem = format!("the will of {} names another sender", name.identity);
            return Err(RowError::Contradiction(problem));
        }
        let will = DurableWill {
            sender: Arc::new(sender),
            content: Box::new(content),
            due: self.moment(row, "due")?,
        };
        self.loaded.state.wills.insert(name, will);
        Ok(())
    }

    fn owner(&mut self, row: &Row<'_>) -> Result<&mut DurableSession, RowError> {
        let number: i64 = row.get("session")?;
        let name = self.names.get(&number);
        name.and_then(|name| self.loaded.state.sessions.get_mut(&**name))
            .ok_or_else(|| RowError::Contradiction(format!("the session {number} is missing")))
    }

    fn moment(&self, row: &Row<'_>, column: &str) -> Result<Option<Duration>, rusqlite::Error> {
        Ok(self.moments.moment(row.get(column)?))
    }
}

fn packet_id(row: &Row<'_>) -> Result<PacketId, RowError> {
    let number: Option<u16> = row.get("packet_id")?;
    number
        .and_then(PacketId::new)
        .ok_or_else(|| RowError::Contradiction("a packet identifier is missing".to_owned()))
}
