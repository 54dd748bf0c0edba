//! A world of few identities and few topics, with rules as text.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use crate::identity::{Identity, Kind};
use crate::radius::{Equality, Example, Finding, Question};

/// A grant to publish.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) topic: String,
    pub(super) retain: bool,
    pub(super) will: bool,
}

/// A role for devices.
#[derive(Clone, Debug)]
pub(super) struct TestRole {
    pub(super) name: String,
    pub(super) id: Option<&'static str>,
    pub(super) site: Option<&'static str>,
    pub(super) publish: Vec<Rule>,
    pub(super) subscribe: Vec<String>,
    /// Topic, whether for publishing, whether for subscribing.
    pub(super) deny: Vec<(String, bool, bool)>,
}

/// An id and a site, as an identity of the world has them.
pub(super) type Device = (String, Option<String>);

/// Two literals of the rules, and enough others to be unlike them and each other.
const IDS: [&str; 4] = ["a", "n", "u", "v"];
const SITES: [Option<&str>; 5] = [None, Some("a"), Some("n"), Some("s"), Some("t")];
const LEVELS: [&str; 10] = ["a", "n", "u", "v", "s", "t", "", "$s", "fresh", "x"];

/// Some devices of the world, each with an id of its own.
pub(super) fn fleet() -> impl Strategy<Value = Vec<Device>> {
    let sites = prop::collection::vec(
        prop::option::of(prop::sample::select(vec!["a", "n", "s"])),
        IDS.len(),
    );
    (sites, 0..=IDS.len()).prop_map(|(sites, count)| {
        let devices = IDS.iter().zip(sites).take(count);
        devices
            .map(|(id, site)| ((*id).to_owned(), site.map(str::to_owned)))
            .collect()
    })
}

pub(super) fn identity(id: &str, site: Option<&str>) -> Identity {
    let attributes = site.map(|site| ("site".to_owned(), site.to_owned()));
    Identity::new(Kind::Device, id, attributes.into_iter().collect()).unwrap()
}

pub(super) struct World {
    roles: Vec<TestRole>,
    topics: Vec<String>,
}

impl World {
    pub(super) fn new(roles: Vec<TestRole>) -> Self {
        let mut topics: Vec<String> = Vec::new();
        for one in LEVELS {
            topics.push(one.to_owned());
            for two in LEVELS {
                topics.push(format!("{one}/{two}"));
                // Deeper topics differ from these in nothing that a rule of two levels and a tail can see.
                topics.push(format!("{one}/{two}/x"));
                topics.push(format!("{one}/{two}/x/x"));
            }
        }
        topics.retain(|topic| !topic.is_empty());
        Self { roles, topics }
    }

    pub(super) fn has_denials(&self) -> bool {
        self.roles.iter().any(|role| !role.deny.is_empty())
    }

    pub(super) fn document(&self) -> String {
        let roles: Vec<_> = self
            .roles
            .iter()
            .map(|role| {
                let publish: Vec<_> = role
                    .publish
                    .iter()
                    .map(|rule| json!({"topic": rule.topic, "qos": 2, "retain": rule.retain, "will": rule.will, "line": 1}))
                    .collect();
                let subscribe: Vec<_> = role
                    .subscribe
                    .iter()
                    .map(|topic| json!({"topic": topic, "qos": 2, "line": 1}))
                    .collect();
                let deny: Vec<_> = role
                    .deny
                    .iter()
                    .map(|(topic, publish, subscribe)| {
                        let names = [("publish", publish), ("subscribe", subscribe)];
                        let actions: Vec<_> = names.iter().filter(|(_, on)| **on).map(|(name, _)| name).collect();
                        json!({"topic": topic, "actions": actions, "line": 1})
                    })
                    .collect();
                let attributes: BTreeMap<_, _> = role.site.iter().map(|site| ("site", site)).collect();
                json!({"role": {
                    "name": role.name, "line": 1, "wildcards": false, "limits": {},
                    "match": {"kind": "device", "id": role.id, "attributes": attributes},
                    "publish": publish, "subscribe": subscribe, "deny": deny,
                }})
            })
            .collect();
        json!({"policy_file": "policy.toml", "roles": roles}).to_string()
    }

    fn devices(&self, role: usize) -> impl Iterator<Item = Device> {
        let role = &self.roles[role];
        let all = IDS
            .iter()
            .flat_map(|id| SITES.iter().map(move |site| (*id, *site)));
        all.filter(|(id, site)| has(role, id, *site))
            .map(|(id, site)| (id.to_owned(), site.map(str::to_owned)))
    }

    /// Every two different identities of the roles.
    pub(super) fn pairs(&self, subject: usize, object: usize) -> Vec<(Device, Device)> {
        let objects: Vec<Device> = self.devices(object).collect();
        let subjects = self.devices(subject);
        subjects
            .flat_map(|one| objects.iter().map(move |other| (one.clone(), other.clone())))
            .filter(|(one, other)| one.0 != other.0)
            .collect()
    }

    /// Every two identities with a topic that the first can use for it and the second, too.
    pub(super) fn leaks(
        &self,
        question: Question,
        subject: usize,
        object: usize,
    ) -> Vec<(Device, Device, String)> {
        let uses = |role: usize, device: &Device, is_subject: bool| -> Vec<bool> {
            let is_used = |topic: &String| self.uses(question, role, device, is_subject, topic);
            self.topics.iter().map(is_used).collect()
        };
        let subjects: Vec<_> = self
            .devices(subject)
            .map(|one| (uses(subject, &one, true), one))
            .collect();
        let objects: Vec<_> = self
            .devices(object)
            .map(|one| (uses(object, &one, false), one))
            .collect();
        let mut leaks = Vec::new();
        for (mine, one) in &subjects {
            for (theirs, other) in objects.iter().filter(|(_, other)| other.0 != one.0) {
                let common = self
                    .topics
                    .iter()
                    .zip(mine.iter().zip(theirs))
                    .find(|(_, (a, b))| **a && **b);
                if let Some((topic, _)) = common {
                    leaks.push((one.clone(), other.clone(), topic.clone()));
                }
            }
        }
        leaks
    }

    pub(super) fn forget_denials(&mut self) {
        for role in &mut self.roles {
            role.deny.clear();
        }
    }

    /// For each number of others, how many devices of the fleet can do it to so many.
    pub(super) fn count(&self, question: Question, fleet: &[Device]) -> BTreeMap<u64, u64> {
        let roles = 0..self.roles.len();
        let pairs = roles
            .clone()
            .flat_map(|one| roles.clone().map(move |other| (one, other)));
        let leaks: Vec<(Device, Device, String)> = pairs
            .flat_map(|(one, other)| self.leaks(question, one, other))
            .collect();
        let mut counts = BTreeMap::new();
        for device in fleet {
            let reaches = |other: &&Device| leaks.iter().any(|(one, two, _)| one == device && two == *other);
            let others = fleet.iter().filter(reaches).count() as u64;
            *counts.entry(others).or_default() += 1;
        }
        counts
    }

    /// Whether the witness is true in the world.
    pub(super) fn plays(&self, question: Question, subject: usize, object: usize, example: &Example) -> bool {
        let device = |identity: &Identity| {
            assert_eq!(identity.kind, Kind::Device);
            (identity.id.clone(), identity.attributes.get("site").cloned())
        };
        let (one, other) = (device(&example.subject), device(&example.object));
        one.0 != other.0
            && has(&self.roles[subject], &one.0, one.1.as_deref())
            && has(&self.roles[object], &other.0, other.1.as_deref())
            && self.uses(question, subject, &one, true, &example.topic)
            && self.uses(question, object, &other, false, &example.topic)
    }

    /// Whether the equalities of a finding hold for two identities.
    pub(super) fn holds(&self, finding: &Finding, subject: &Device, object: &Device) -> bool {
        let value = |(side, name): &(&'static str, String)| {
            let device = if *side == "subject" { subject } else { object };
            match name.as_str() {
                "id" => Some(device.0.clone()),
                "site" => device.1.clone(),
                other => panic!("no attribute {other}"),
            }
        };
        let is_there = finding.required.iter().all(|term| value(term).is_some());
        is_there
            && finding.equalities.iter().all(|equality| match equality {
                Equality::Between(one, other) => value(one).is_some() && value(one) == value(other),
                Equality::Value(one, text) => value(one).as_ref() == Some(text),
            })
    }

    fn uses(&self, question: Question, role: usize, device: &Device, is_subject: bool, topic: &str) -> bool {
        let role = &self.roles[role];
        let writes = match question {
            Question::Impersonate => true,
            Question::Observe => !is_subject,
            _ => is_subject,
        };
        let denied = self
            .roles
            .iter()
            .filter(|role| has(role, &device.0, device.1.as_deref()))
            .flat_map(|role| &role.deny)
            .filter(|(_, publish, subscribe)| if writes { *publish } else { *subscribe })
            .any(|(denied, _, _)| matches(denied, device, topic, true));
        let granted = if writes {
            role.publish.iter().any(|rule| {
                let suits = match question {
                    Question::InfluenceRetained => rule.retain,
                    Question::InfluenceWill => rule.will,
                    _ => true,
                };
                suits && matches(&rule.topic, device, topic, false)
            })
        } else {
            role.subscribe
                .iter()
                .any(|granted| matches(granted, device, topic, false))
        };
        granted && !denied
    }
}

fn has(role: &TestRole, id: &str, site: Option<&str>) -> bool {
    role.id.is_none_or(|wanted| wanted == id) && (role.site.is_none() || role.site == site)
}

/// Whether a rule, with its placeholders, is about a topic. A missing attribute makes a grant nothing and
/// a denial wider.
fn matches(rule: &str, device: &Device, topic: &str, is_denial: bool) -> bool {
    let rule: Vec<&str> = rule.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    if !is_denial && device.1.is_none() && rule.contains(&"{site}") {
        return false;
    }
    if topic[0].starts_with('$') && matches!(rule[0], "+" | "#") {
        return false;
    }
    for (index, level) in rule.iter().enumerate() {
        if *level == "#" {
            // Everything below, and the level above: but there is no topic without characters.
            return true;
        }
        let Some(text) = topic.get(index) else {
            return false;
        };
        let fits = match *level {
            "+" => true,
            "{device}" => *text == device.0,
            "{site}" => match &device.1 {
                Some(site) => text == site,
                // As a wildcard, it does not stand for what begins with a dollar sign.
                None => index > 0 || !text.starts_with('$'),
            },
            literal => *text == literal,
        };
        if !fits {
            return false;
        }
    }
    rule.len() == topic.len()
}
