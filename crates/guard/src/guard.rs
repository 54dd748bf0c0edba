//! The guard: one method for each thing that can be asked of it.

mod pipeline;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use motte_mqtt::ReasonCode;
use motte_policy::{Decision, Identity, IdentityName, Rights, RuleReference, Snapshot};

use crate::denials::Denials;
use crate::network::AddressBlock;
use crate::quota::{self, Quotas};
use crate::rights::RightsCache;
use crate::usage::Usage;
use crate::{
    Act, Authenticated, CertificateFacts, ConnectRequest, Connected, Counters, Delivery, Denial, FirstUse,
    GuardSettings, InstallError, Layer, Manner, Now, OverdueDenial, Permit, Principal, Provenance,
    PublishRequest, Published, RetainRequest, Retained, SessionGranted, SessionRequest, Strike, Subject,
    SubscribeRequest, Subscribed, WillGranted, WillRequest,
};

/// The layers that judge authenticated peers, and the state they need for it.
#[derive(Debug)]
pub struct Guard {
    settings: GuardSettings,
    snapshot: Option<Arc<Snapshot>>,
    /// The generation from which on every one up to that in force grants the same: rights that were
    /// bound since then are those that would be bound now.
    same_since: u64,
    rights: RightsCache,
    quotas: Quotas,
    identity_denials: Denials<IdentityName>,
    address_denials: Denials<AddressBlock>,
    usage: Usage,
    counters: Counters,
}

impl Guard {
    /// A guard without a policy: it denies everything (law 1).
    #[must_use]
    pub fn new(settings: GuardSettings) -> Self {
        let GuardSettings {
            denials_to_disconnect: limit,
            denial_window: window,
            ..
        } = settings;
        Self {
            settings,
            snapshot: None,
            same_since: u64::MAX,
            rights: RightsCache::new(),
            quotas: Quotas::new(),
            identity_denials: Denials::new(limit, window),
            address_denials: Denials::new(limit, window),
            usage: Usage::new(),
            counters: Counters::default(),
        }
    }

    /// Puts a policy in force. Rights bound before are refused from here on: bind them anew with
    /// [`Self::rights`], and judge with [`Self::standing`] who may stay.
    ///
    /// Installing the very snapshot that is in force changes nothing.
    ///
    /// # Errors
    /// If it is not a newer policy of the same fleet; then nothing changes.
    pub fn install(&mut self, snapshot: Arc<Snapshot>) -> Result<(), InstallError> {
        if snapshot.fleet() != self.settings.fleet {
            let expected = self.settings.fleet.clone();
            return Err(InstallError::OtherFleet {
                found: snapshot.fleet().to_owned(),
                expected,
            });
        }
        let found = snapshot.generation();
        if found == 0 {
            return Err(InstallError::GenerationZero);
        }
        if let Some(current) = &self.snapshot {
            let installed = current.generation();
            if found < installed {
                return Err(InstallError::OlderGeneration { found, installed });
            }
            if found == installed {
                let same = current.source() == snapshot.source();
                return if same {
                    Ok(())
                } else {
                    Err(InstallError::SameGeneration { generation: found })
                };
            }
        }
        let grants_the_same = self
            .snapshot
            .as_ref()
            .is_some_and(|before| snapshot.grants_the_same_as(before));
        self.snapshot = Some(snapshot);
        if !grants_the_same {
            self.same_since = found;
            self.rights.clear();
            self.usage.clear();
        }
        Ok(())
    }

    /// Whether rights that were bound under this generation are those of the policy in force, but for
    /// identities that are excluded since.
    #[must_use]
    pub fn is_in_force(&self, bound_at: u64) -> bool {
        self.in_force().contains(&bound_at)
    }

    /// Generations that grant what is granted now; none without a policy.
    fn in_force(&self) -> RangeInclusive<u64> {
        self.same_since..=self.generation()
    }

    /// The generation of the policy in force; 0 without one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.generation())
    }

    /// The policy in force.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The rights of an identity under the policy in force; none at all for a revoked or quarantined
    /// one.
    pub fn rights(&mut self, identity: &Identity) -> Arc<Rights> {
        self.rights.get(self.snapshot.as_deref(), identity)
    }

    /// The same as [`Self::standing`] after an installation that grants what was granted before: all that
    /// can have changed is who is excluded.
    ///
    /// # Errors
    /// If the principal may not be connected any more. The reason fits a DISCONNECT packet.
    pub fn is_excluded(&self, principal: &Principal, now: Now) -> Result<(), Denial> {
        self.judge_exclusion(principal, now)
            .map_err(pipeline::for_disconnect)
    }

    /// May this principal still be connected? To be asked of every connection after an installation, and
    /// again when its certificate ends.
    ///
    /// # Errors
    /// If not. The reason fits a DISCONNECT packet.
    pub fn standing(&mut self, principal: &Principal, now: Now) -> Result<(), Denial> {
        self.judge_standing(principal, now)
            .map_err(pipeline::for_disconnect)
    }

    /// Layers 1 and 3 for the peer of a finished TLS handshake, full or resumed.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn authenticate(
        &mut self,
        facts: &CertificateFacts,
        now: Now,
    ) -> Result<Permit<Authenticated>, Denial> {
        let verdict = self.judge_authenticate(facts, now);
        self.counters.count(|passed| &mut passed.authenticate, verdict)
    }

    /// Layers 3, 4 and 6 for a CONNECT. `live_connections` are those of the identity, without one that
    /// has the same client id and would be taken over.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn connect(
        &mut self,
        principal: &Arc<Principal>,
        request: ConnectRequest<'_>,
        live_connections: usize,
        now: Now,
    ) -> Result<Permit<Connected>, Denial> {
        let verdict = self.judge_connect(principal, request, live_connections, now);
        self.counters.count(|passed| &mut passed.connect, verdict)
    }

    /// Layer 6 for the session that a permitted CONNECT asks for.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn session(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: SessionRequest,
        now: Now,
    ) -> Result<Permit<SessionGranted>, Denial> {
        let verdict = self
            .stand(principal, rights, now)
            .and_then(|()| quota::check_sessions(rights.limits(), request))
            .map(|()| self.permit(SessionGranted {}, None));
        self.counters.count(|passed| &mut passed.session, verdict)
    }

    /// Layers 4 and 5 for a will: at CONNECT, and again when the policy changes (attacks W1, W4).
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn will(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: WillRequest<'_>,
        _now: Now,
    ) -> Result<Permit<WillGranted>, Denial> {
        let verdict = self.judge_will(principal, rights, request);
        if let Ok(permit) = &verdict {
            let manner = Manner {
                act: Act::Will,
                qos: request.qos as u8,
                retain: request.retain,
            };
            self.note(principal, permit.rule(), request.topic, manner);
            self.note_response(principal, rights, request.response_topic);
        }
        self.counters.count(|passed| &mut passed.will, verdict)
    }

    /// Layers 4, 5 and 6 for a will that is due.
    ///
    /// It outlives the certificate of its sender, like any message: that the device has gone is what it
    /// is to tell. The moment matters for its rate alone, which is not that of messages: a device that
    /// used up its rate and then lost the network must not lose its will as well.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn will_due(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: WillRequest<'_>,
        now: Now,
    ) -> Result<Permit<WillGranted>, Denial> {
        let verdict = self.judge_will(principal, rights, request).and_then(|permit| {
            let size = request.payload_len;
            self.quotas
                .take_will(&principal.identity, rights.limits(), size, now.monotonic)?;
            Ok(permit)
        });
        self.counters.count(|passed| &mut passed.will, verdict)
    }

    /// Layers 6, 4 and 5 for a PUBLISH. The rate comes first, so that denied attempts use it up too.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn publish(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: PublishRequest<'_>,
        now: Now,
    ) -> Result<Permit<Published>, Denial> {
        let verdict = self
            .stand(principal, rights, now)
            .and_then(|()| self.take_publish(principal, rights, request, now))
            .and_then(|()| self.judge_publish(rights, request));
        if let Ok(permit) = &verdict {
            let manner = Manner {
                act: Act::Publish,
                qos: request.qos as u8,
                retain: request.retain,
            };
            self.note(principal, permit.rule(), request.topic, manner);
            self.note_response(principal, rights, request.response_topic);
        }
        self.counters.count(|passed| &mut passed.publish, verdict)
    }

    /// Layer 4 for a value that the broker publishes about itself, under `$SYS`, where nobody else may.
    ///
    /// # Errors
    /// Without a policy, and for any other topic.
    pub fn publish_system(&self, topic: &str) -> Result<Permit<Published>, Denial> {
        self.judge_system(topic)
    }

    /// [`Self::publish`] once more when a QoS 2 message is released, without its rate (attack V4).
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn release(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: PublishRequest<'_>,
        now: Now,
    ) -> Result<Permit<Published>, Denial> {
        let verdict = self
            .stand(principal, rights, now)
            .and_then(|()| self.judge_publish(rights, request));
        self.counters.count(|passed| &mut passed.release, verdict)
    }

    /// Layers 6 and 4 for one filter of a SUBSCRIBE.
    ///
    /// # Errors
    /// The first layer that refuses.
    pub fn subscribe(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: SubscribeRequest<'_>,
        now: Now,
    ) -> Result<Permit<Subscribed>, Denial> {
        let verdict = self.judge_subscribe(principal, rights, request, now);
        self.note_subscription(principal, &verdict, request);
        self.counters.count(|passed| &mut passed.subscribe, verdict)
    }

    /// Layer 4 once more for a subscription that is there, after an installation or when its session is
    /// resumed (attacks V1, V2). Without its rate and count, and whether or not its owner is connected.
    ///
    /// # Errors
    /// If the policy no longer grants it. The subscription is to be removed.
    pub fn resubscribe(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: SubscribeRequest<'_>,
    ) -> Result<Permit<Subscribed>, Denial> {
        let verdict = self
            .judge_owner(principal, rights)
            .and_then(|()| self.judge_filter(rights, request));
        self.note_subscription(principal, &verdict, request);
        self.counters.count(|passed| &mut passed.subscribe, verdict)
    }

    /// Layer 5 for what the codec or the connection machine found: makes the denial and counts it.
    pub fn violation(&mut self, rule: &'static str, reason: ReasonCode, detail: &'static str) -> Denial {
        self.counters.count_refused(Layer::Protocol);
        Denial::new(Layer::Protocol, rule, reason, detail)
    }

    /// Layer 6 for a permitted message that is to be retained.
    ///
    /// # Errors
    /// If the identity keeps too much already.
    pub fn retain(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        request: RetainRequest,
    ) -> Result<Permit<Retained>, Denial> {
        let verdict = self
            .judge_trust(principal, rights)
            .and_then(|()| quota::check_retained(rights.limits(), request))
            .map(|()| self.permit(Retained {}, None));
        self.counters.count(|passed| &mut passed.retain, verdict)
    }

    /// Layer 4 for one message and one reader, at the moment it goes out, on every path: live, retained,
    /// queued, resent. The reader has to have the right to this very topic. If the policy has changed
    /// since the message was permitted, its sender has to have the right still (law 4, attacks R1, V3).
    ///
    /// # Errors
    /// If one of them has not. The message is to be withheld.
    pub fn deliver(
        &mut self,
        reader_rights: &Rights,
        sender: &Arc<Principal>,
        provenance: Provenance,
        topic: &str,
    ) -> Result<Permit<Delivery>, Denial> {
        let verdict = self.judge_delivery(reader_rights, None, sender, provenance, topic);
        self.counters.count(|passed| &mut passed.deliver, verdict)
    }

    /// [`Self::deliver`] to a member of a group: it has to have the right to the group as well. `shared`
    /// is the whole filter, `$share/<group>/<filter>`.
    ///
    /// # Errors
    /// If one of them has not. The message is to be withheld from this member.
    pub fn deliver_shared(
        &mut self,
        reader_rights: &Rights,
        shared: &str,
        sender: &Arc<Principal>,
        provenance: Provenance,
        topic: &str,
    ) -> Result<Permit<Delivery>, Denial> {
        let verdict = self.judge_delivery(reader_rights, Some(shared), sender, provenance, topic);
        self.counters.count(|passed| &mut passed.deliver, verdict)
    }

    /// Counts a denial of an identity: says whether it is to be logged now, and whether there were so
    /// many that the connection has to end.
    pub fn denied(&mut self, identity: &Identity, denial: &Denial, now: Now) -> Strike {
        self.identity_denials
            .note(&identity.name(), denial, now.monotonic)
    }

    /// The same for a message that was withheld: it is logged under its sender, but is no strike against
    /// it. Nobody may get another disconnected by reading what the other may no longer send.
    pub fn withheld(&mut self, sender: &Identity, denial: &Denial, now: Now) -> Option<u64> {
        self.identity_denials.count(&sender.name(), denial, now.monotonic)
    }

    /// The same as [`Self::denied`] for a peer that could not be authenticated.
    pub fn denied_address(&mut self, address: IpAddr, denial: &Denial, now: Now) -> Strike {
        self.address_denials
            .note(&AddressBlock::of(address), denial, now.monotonic)
    }

    /// Counted denials whose window is over; to be logged. To be asked for every few seconds.
    #[must_use]
    pub fn overdue_denials(&mut self, now: Now) -> Vec<OverdueDenial> {
        self.take_denials(now, false)
    }

    /// All counted denials that are not logged; for the end of the process.
    #[must_use]
    pub fn remaining_denials(&mut self, now: Now) -> Vec<OverdueDenial> {
        self.take_denials(now, true)
    }

    /// What grants of the policy were used for since this was last asked, each manner once; to be logged.
    #[must_use]
    pub fn first_uses(&mut self, now: Now) -> Vec<FirstUse> {
        self.usage.take(now.monotonic)
    }

    /// What was refused and what has passed.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forgets what says nothing any more: full budgets, unused rights, old denials. To be called every
    /// few seconds.
    pub fn prune(&mut self, now: Now) {
        self.rights.prune();
        self.quotas.prune(now.monotonic);
        self.identity_denials.prune(now.monotonic);
        self.address_denials.prune(now.monotonic);
    }

    fn note(&mut self, principal: &Principal, rule: Option<&RuleReference>, topic: &str, manner: Manner) {
        if let Some(rule) = rule {
            self.usage.note(&principal.identity, rule, topic, manner);
        }
    }

    fn note_subscription(
        &mut self,
        principal: &Principal,
        verdict: &Result<Permit<Subscribed>, Denial>,
        request: SubscribeRequest<'_>,
    ) {
        if let Ok(permit) = verdict {
            self.note(
                principal,
                permit.rule(),
                request.filter,
                subscribed(request.qos as u8),
            );
        }
    }

    /// The right to read is what lets a topic be named as the place for answers.
    fn note_response(&mut self, principal: &Principal, rights: &Rights, topic: Option<&str>) {
        let Some(topic) = topic else { return };
        if let Decision::Allowed(grant) = rights.may_subscribe(topic) {
            self.note(principal, Some(&grant.rule), topic, subscribed(0));
        }
    }

    fn take_denials(&mut self, now: Now, all: bool) -> Vec<OverdueDenial> {
        let now = now.monotonic;
        let mut denials =
            self.identity_denials
                .take_overdue(|name| Subject::Identity(name.clone()), now, all);
        denials.extend(
            self.address_denials
                .take_overdue(|block| Subject::Address(*block), now, all),
        );
        denials
    }
}

const fn subscribed(qos: u8) -> Manner {
    Manner {
        act: Act::Subscribe,
        qos,
        retain: false,
    }
}
