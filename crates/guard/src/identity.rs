//! Layer 3: who it is, and whether certificate, user name and client id say the same.

use motte_mqtt::ReasonCode;
use motte_policy::identity::{VALUE_LENGTH, check_value};
use motte_policy::{Exceptions, Identity, RoleLimits, Status};

use crate::evidence::escape;
use crate::{CertificateFacts, ConnectRequest, Denial, Layer, Now, tls};

/// Bytes of a client id: an id, the separator and a suffix of the same alphabet and length.
pub const CLIENT_ID_LENGTH: usize = 2 * VALUE_LENGTH + 1;

/// Stands between id and suffix of a client id. No identity value can hold it, so no client id reads
/// as that of two identities.
const SUFFIX_SEPARATOR: char = ':';

/// Somebody whose certificate has been accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The one identity.
    pub identity: Identity,
    /// Serial number of the certificate that proved it.
    pub serial: Vec<u8>,
    /// The last second, in Unix time, that the certificate is good for.
    pub not_after: u64,
}

/// The one identity that a certificate names.
pub(crate) fn identify(facts: &CertificateFacts, fleet: &str) -> Result<Identity, Denial> {
    let [uri] = facts.uri_names.as_slice() else {
        let count = facts.uri_names.len();
        return refuse(
            "identity.uri-name",
            ReasonCode::NotAuthorized,
            format!("certificate with {count} URI names, exactly one SPIFFE id is required"),
        );
    };
    Identity::from_spiffe(uri, fleet).or_else(|error| {
        refuse(
            "identity.spiffe",
            ReasonCode::NotAuthorized,
            escape(&error.to_string()),
        )
    })
}

/// Is the principal still in good standing? Everything here can change while it is connected.
pub(crate) fn check_standing(principal: &Principal, exceptions: &Exceptions, now: Now) -> Result<(), Denial> {
    tls::check_expiry(principal.not_after, now)?;
    check_exceptions(principal, exceptions)
}

/// The part of the standing that does not pass with time. Messages are held to this one: a message
/// outlives the certificate that its sender had, but not the trust in its sender.
pub(crate) fn check_exceptions(principal: &Principal, exceptions: &Exceptions) -> Result<(), Denial> {
    tls::check_serial(&principal.serial, exceptions)?;
    check_status(&principal.identity, exceptions)
}

pub(crate) fn check_status(identity: &Identity, exceptions: &Exceptions) -> Result<(), Denial> {
    let (rule, state) = match exceptions.status(identity) {
        Status::Active => return Ok(()),
        Status::Revoked => ("identity.revoked", "revoked"),
        Status::Quarantined => ("identity.quarantined", "in quarantine"),
    };
    // The peer sees one code for both: it need not learn that it was found out.
    refuse(rule, ReasonCode::Banned, format!("{identity} is {state}"))
}

/// What the client calls itself, if that agrees with its certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) text: String,
    pub(crate) assigned: bool,
}

/// Certificate, user name and client id name one identity, or the connection is refused (law 3).
pub(crate) fn check_connect(
    identity: &Identity,
    request: &ConnectRequest<'_>,
    limits: &RoleLimits,
) -> Result<ClientId, Denial> {
    if request.authentication_method {
        return refuse(
            "identity.authentication-method",
            ReasonCode::BadAuthenticationMethod,
            "enhanced authentication is not in use here, the certificate is the credential",
        );
    }
    if request.has_password {
        return refuse(
            "identity.password",
            ReasonCode::BadUserNameOrPassword,
            "a password was sent, the certificate is the credential",
        );
    }
    if let Some(username) = request.username
        && !username.is_empty()
        && username != identity.id
    {
        return refuse(
            "identity.username",
            ReasonCode::NotAuthorized,
            format!("user name \"{}\" is not the id of {identity}", escape(username)),
        );
    }
    if request.client_id.is_empty() {
        return assign_client_id(identity, request.assigned_suffix);
    }
    check_client_id(identity, request.client_id, limits)
}

fn assign_client_id(identity: &Identity, suffix: &str) -> Result<ClientId, Denial> {
    if check_value(suffix).is_err() {
        return refuse(
            "identity.client-id",
            ReasonCode::ClientIdentifierNotValid,
            "no client id was sent and none can be assigned",
        );
    }
    Ok(ClientId {
        text: format!("{}{SUFFIX_SEPARATOR}{suffix}", identity.id),
        assigned: true,
    })
}

fn check_client_id(identity: &Identity, client_id: &str, limits: &RoleLimits) -> Result<ClientId, Denial> {
    if client_id.len() > CLIENT_ID_LENGTH {
        return refuse_client_id(format!(
            "client id of {} bytes, {CLIENT_ID_LENGTH} is the most",
            client_id.len()
        ));
    }
    let accepted = match client_id.split_once(SUFFIX_SEPARATOR) {
        None => client_id == identity.id,
        Some((id, suffix)) => id == identity.id && check_value(suffix).is_ok() && limits.connections > 1,
    };
    if accepted {
        return Ok(ClientId {
            text: client_id.to_owned(),
            assigned: false,
        });
    }
    let allowed = if limits.connections > 1 {
        " or the id, a colon and a suffix"
    } else {
        ""
    };
    refuse_client_id(format!(
        "client id \"{}\" does not belong to {identity}, use the id{allowed}",
        escape(client_id)
    ))
}

fn refuse_client_id<T>(detail: String) -> Result<T, Denial> {
    refuse("identity.client-id", ReasonCode::ClientIdentifierNotValid, detail)
}

fn refuse<T>(rule: &'static str, reason: ReasonCode, detail: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::new(Layer::Identity, rule, reason, detail))
}

#[cfg(test)]
mod tests;
