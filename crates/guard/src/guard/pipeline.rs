//! What each request goes through: every function reads from the first layer to the last.

use std::sync::Arc;

use motte_mqtt::{QoS, ReasonCode};
use motte_policy::{Grant, Rights, RuleReference, Snapshot, is_system};

use super::Guard;
use crate::{
    Authenticated, CertificateFacts, ConnectRequest, Connected, Delivery, Denial, Now, Permit, Principal,
    Provenance, PublishRequest, Published, SubscribeRequest, Subscribed, WillGranted, WillRequest,
    authorization, identity, protocol, quota, tls,
};

impl Guard {
    pub(super) fn judge_authenticate(
        &self,
        facts: &CertificateFacts,
        now: Now,
    ) -> Result<Permit<Authenticated>, Denial> {
        let snapshot = self.policy()?;
        tls::check(facts, snapshot.exceptions(), now)?;
        let identity = identity::identify(facts, &self.settings.fleet)?;
        identity::check_status(&identity, snapshot.exceptions())?;
        let principal = Arc::new(Principal {
            identity,
            serial: facts.serial.clone(),
            not_after: facts.not_after,
        });
        Ok(self.permit(Authenticated { principal }, None))
    }

    pub(super) fn judge_connect(
        &mut self,
        principal: &Arc<Principal>,
        request: ConnectRequest<'_>,
        live_connections: usize,
        now: Now,
    ) -> Result<Permit<Connected>, Denial> {
        // The policy may have changed between the handshake and CONNECT.
        identity::check_standing(principal, self.policy()?.exceptions(), now)?;
        let rights = self.rights(&principal.identity);
        let limits = rights.limits();
        let client_id = identity::check_connect(&principal.identity, &request, limits)?;
        authorization::has_role(&rights)?;
        quota::check_connections(limits, live_connections)?;
        let keep_alive = match request.keep_alive {
            0 => limits.keep_alive,
            asked => asked.min(limits.keep_alive),
        };
        let identity::ClientId { text, assigned } = client_id;
        Ok(self.permit(
            Connected {
                client_id: text,
                assigned,
                keep_alive,
                rights,
            },
            None,
        ))
    }

    pub(super) fn judge_will(
        &self,
        principal: &Principal,
        rights: &Rights,
        request: WillRequest<'_>,
    ) -> Result<Permit<WillGranted>, Denial> {
        let WillRequest {
            topic,
            qos,
            retain,
            payload_len,
            response_topic,
        } = request;
        self.judge_trust(principal, rights)?;
        let grant = authorization::will(rights, topic, qos as u8, retain)?;
        authorization::response_topic(rights, response_topic)?;
        protocol::check_payload(rights.limits(), payload_len)?;
        let provenance = Provenance {
            generation: self.generation(),
            retain,
            will: true,
            qos: qos as u8,
        };
        Ok(self.permit(WillGranted { provenance }, Some(grant.rule)))
    }

    pub(super) fn take_publish(
        &mut self,
        principal: &Principal,
        rights: &Rights,
        request: PublishRequest<'_>,
        now: Now,
    ) -> Result<(), Denial> {
        self.quotas.take_publish(
            &principal.identity,
            rights.limits(),
            request.payload_len,
            now.monotonic,
        )
    }

    pub(super) fn judge_publish(
        &self,
        rights: &Rights,
        request: PublishRequest<'_>,
    ) -> Result<Permit<Published>, Denial> {
        let PublishRequest {
            topic,
            qos,
            retain,
            payload_len,
            response_topic,
        } = request;
        let grant = authorization::publish(rights, topic, qos as u8, retain)?;
        authorization::response_topic(rights, response_topic)?;
        protocol::check_payload(rights.limits(), payload_len)?;
        let provenance = Provenance {
            generation: self.generation(),
            retain,
            will: false,
            qos: qos as u8,
        };
        Ok(self.permit(Published { provenance }, Some(grant.rule)))
    }

    pub(super) fn judge_system(&self, topic: &str) -> Result<Permit<Published>, Denial> {
        self.policy()?;
        if !is_system(topic) {
            return Err(authorization::not_system(topic));
        }
        let provenance = Provenance {
            generation: self.generation(),
            retain: true,
            will: false,
            qos: 0,
        };
        Ok(self.permit(Published { provenance }, None))
    }

    pub(super) fn judge_subscribe(
        &mut self,
        principal: &Principal,
        rights: &Rights,
        request: SubscribeRequest<'_>,
        now: Now,
    ) -> Result<Permit<Subscribed>, Denial> {
        self.stand(principal, rights, now)?;
        self.quotas
            .take_subscribe(&principal.identity, rights.limits(), now.monotonic)?;
        let permit = self.judge_filter(rights, request)?;
        quota::check_subscriptions(rights.limits(), &request)?;
        quota::check_costs(&request)?;
        Ok(permit)
    }

    pub(super) fn judge_filter(
        &self,
        rights: &Rights,
        request: SubscribeRequest<'_>,
    ) -> Result<Permit<Subscribed>, Denial> {
        let grant = authorization::subscribe(rights, request.filter)?;
        let maximum_qos = granted_qos(&grant, request.qos);
        Ok(self.permit(Subscribed { maximum_qos }, Some(grant.rule)))
    }

    pub(super) fn judge_delivery(
        &mut self,
        reader_rights: &Rights,
        shared: Option<&str>,
        sender: &Principal,
        provenance: Provenance,
        topic: &str,
    ) -> Result<Permit<Delivery>, Denial> {
        let generation = self.generation();
        authorization::is_current(reader_rights, &self.in_force())?;
        let grant = match shared {
            None => authorization::receive(reader_rights, topic),
            Some(shared) => authorization::receive_shared(reader_rights, shared, topic),
        }?;
        // What stands under `$SYS` is the broker's: nobody else could publish it, under any policy.
        if provenance.generation != generation && !is_system(topic) {
            // The identity is what is trusted. That its certificate has been superseded since, as in
            // every rotation, takes back nothing that it said.
            identity::check_status(&sender.identity, self.policy()?.exceptions())?;
            let sender_rights = self.rights(&sender.identity);
            authorization::still_sent(&sender_rights, provenance, topic)?;
        }
        Ok(self.permit(Delivery {}, Some(grant.rule)))
    }

    pub(super) fn judge_standing(&mut self, principal: &Principal, now: Now) -> Result<(), Denial> {
        self.judge_exclusion(principal, now)?;
        authorization::has_role(&self.rights(&principal.identity))
    }

    pub(super) fn judge_exclusion(&self, principal: &Principal, now: Now) -> Result<(), Denial> {
        identity::check_standing(principal, self.policy()?.exceptions(), now)
    }

    /// What holds for every request of a connected client: its certificate is still good, it is not
    /// revoked or quarantined, and its rights are those of the policy in force. A few comparisons, so it
    /// is done each time and not left to a timer.
    pub(super) fn stand(&self, principal: &Principal, rights: &Rights, now: Now) -> Result<(), Denial> {
        tls::check_expiry(principal.not_after, now)?;
        self.judge_trust(principal, rights)
    }

    pub(super) fn judge_trust(&self, principal: &Principal, rights: &Rights) -> Result<(), Denial> {
        let snapshot = self.policy()?;
        identity::check_exceptions(principal, snapshot.exceptions())?;
        authorization::is_current(rights, &self.in_force())
    }

    /// The same for what an identity left behind, such as its subscriptions: whoever has its next
    /// certificate finds it again, so the serial number does not matter.
    pub(super) fn judge_owner(&self, principal: &Principal, rights: &Rights) -> Result<(), Denial> {
        let snapshot = self.policy()?;
        identity::check_status(&principal.identity, snapshot.exceptions())?;
        authorization::is_current(rights, &self.in_force())
    }

    fn policy(&self) -> Result<&Snapshot, Denial> {
        self.snapshot.as_deref().ok_or_else(authorization::no_policy)
    }

    pub(super) fn permit<A>(&self, action: A, rule: Option<RuleReference>) -> Permit<A> {
        Permit::grant(action, self.generation(), rule)
    }
}

fn granted_qos(grant: &Grant, asked: QoS) -> QoS {
    let granted = match grant.maximum_qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    granted.min(asked)
}

/// CONNACK and DISCONNECT name the same thing differently: 0x8A is not legal in DISCONNECT, and a
/// certificate that ends is the end of the time that a connection may take.
pub(super) fn for_disconnect(mut denial: Denial) -> Denial {
    if denial.reason == ReasonCode::Banned {
        denial.reason = ReasonCode::AdministrativeAction;
    } else if denial.rule == "tls.expired" {
        denial.reason = ReasonCode::MaximumConnectTime;
    }
    denial
}
