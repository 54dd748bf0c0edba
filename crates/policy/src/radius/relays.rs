//! Who can be reached through services that react to what they read.
//!
//! An upper bound: whatever a relay reads from its topics, it may write anything to its others.

use super::condition::{Condition, Conditions};
use super::equations::Equations;
use super::flows::{self, Leak, Matrix, Side};
use super::symbol::{Key, Party, Term};
use super::{Grant, Subjects, example};
use crate::pattern::Pattern;

/// Ways to one relay that are told apart from one subject. Beyond it they become one that holds for
/// everybody, which is more than is true and still an upper bound.
const WAYS: usize = 64;

/// A relay with the grants that it can use.
struct Station {
    role: usize,
    reads: Vec<Grant>,
    writes: Vec<Grant>,
}

/// One step of a way: from whoever comes before into a relay.
#[derive(Clone, Copy, Debug)]
struct Step {
    station: u32,
    /// Between the subject and the relay's service.
    condition: u32,
    before: Option<u32>,
    /// The grants of this step: of the one before, and the relay's.
    link: u32,
}

/// A publish grant and a subscribe grant with a topic in common.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) from: &'a Grant,
    pub(super) to: &'a Grant,
}

/// What can be reached through relays, and how.
#[derive(Default)]
pub(super) struct Relays {
    stations: Vec<Station>,
    steps: Vec<Step>,
    links: Vec<(Place, Place)>,
    /// `left` is the last step, `right` the link out of its relay.
    pub(super) reached: Matrix,
}

/// Where a grant is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Among the grants of all roles to publish, or to subscribe.
    Published(u32),
    Subscribed(u32),
    /// Among those of a station.
    Reads(u32, u32),
    Writes(u32, u32),
}

/// A condition between the holders of two grants.
struct Edge {
    from: usize,
    to: usize,
    condition: u32,
    link: u32,
}

impl Relays {
    pub(super) fn new(subjects: &mut Subjects, conditions: &mut Conditions) -> Self {
        let mut relays = Self {
            stations: stations(subjects),
            reached: Matrix::new(subjects.members.len()),
            ..Self::default()
        };
        if relays.stations.is_empty() {
            return relays;
        }
        let into = relays.edges_in(subjects, conditions);
        let between = relays.edges_between(subjects, conditions);
        let out = relays.edges_out(subjects, conditions);
        for subject in 0..subjects.members.len() {
            relays.follow(subject, subjects, conditions, (&into, &between, &out));
        }
        relays
    }

    /// The links of a way, from the subject to the object.
    pub(super) fn path<'a>(&'a self, subjects: &'a Subjects, leak: &Leak) -> Vec<Link<'a>> {
        let mut links = vec![leak.right];
        let mut step = Some(leak.left);
        while let Some(current) = step.and_then(|step| self.steps.get(step as usize)) {
            links.push(current.link);
            step = current.before;
        }
        links.reverse();
        let link = |number: u32| {
            let (from, to) = self.links.get(number as usize)?;
            Some(Link {
                from: self.grant(subjects, *from)?,
                to: self.grant(subjects, *to)?,
            })
        };
        links.into_iter().filter_map(link).collect()
    }

    fn grant<'a>(&'a self, subjects: &'a Subjects, place: Place) -> Option<&'a Grant> {
        match place {
            Place::Published(number) => subjects.publish.get(number as usize),
            Place::Subscribed(number) => subjects.subscribe.get(number as usize),
            Place::Reads(station, number) => self.stations.get(station as usize)?.reads.get(number as usize),
            Place::Writes(station, number) => {
                self.stations.get(station as usize)?.writes.get(number as usize)
            }
        }
    }

    fn link(&mut self, from: Place, to: Place) -> u32 {
        self.links.push((from, to));
        u32::try_from(self.links.len() - 1).unwrap_or(u32::MAX)
    }

    /// From every role into every relay; `from` is the role.
    fn edges_in(&mut self, subjects: &Subjects, conditions: &mut Conditions) -> Vec<Edge> {
        let mut found = Vec::new();
        for (station, relay) in (0_u32..).zip(&self.stations) {
            each_pair(
                subjects,
                &subjects.publish,
                &relay.reads,
                conditions,
                |left, right, condition| {
                    found.push((left, station, right, condition));
                },
            );
        }
        let edge = |(left, station, right, condition): (u32, u32, u32, u32)| {
            let role = subjects.publish.get(left as usize)?.role;
            Some(Edge {
                from: role,
                to: station as usize,
                condition,
                link: self.link(Place::Published(left), Place::Reads(station, right)),
            })
        };
        found.into_iter().filter_map(edge).collect()
    }

    /// From every relay to every role; `to` is the role.
    fn edges_out(&mut self, subjects: &Subjects, conditions: &mut Conditions) -> Vec<Edge> {
        let mut found = Vec::new();
        for (station, relay) in (0_u32..).zip(&self.stations) {
            each_pair(
                subjects,
                &relay.writes,
                &subjects.subscribe,
                conditions,
                |left, right, condition| {
                    found.push((station, left, right, condition));
                },
            );
        }
        let edge = |(station, left, right, condition): (u32, u32, u32, u32)| {
            let role = subjects.subscribe.get(right as usize)?.role;
            Some(Edge {
                from: station as usize,
                to: role,
                condition,
                link: self.link(Place::Writes(station, left), Place::Subscribed(right)),
            })
        };
        found.into_iter().filter_map(edge).collect()
    }

    /// From relay to relay. One service may read what it wrote itself.
    fn edges_between(&mut self, subjects: &Subjects, conditions: &mut Conditions) -> Vec<Edge> {
        let mut found = Vec::new();
        for (from, writer) in (0_u32..).zip(&self.stations) {
            for (to, reader) in (0_u32..).zip(&self.stations) {
                let mut take = |left, right, condition| found.push((from, left, to, right, condition));
                each_pair(subjects, &writer.writes, &reader.reads, conditions, &mut take);
                if writer.role == reader.role {
                    own_pairs(subjects, writer, reader, conditions, &mut take);
                }
            }
        }
        let edge = |(from, left, to, right, condition): (u32, u32, u32, u32, u32)| Edge {
            from: from as usize,
            to: to as usize,
            condition,
            link: self.link(Place::Writes(from, left), Place::Reads(to, right)),
        };
        found.into_iter().map(edge).collect()
    }

    /// Every way from one subject, nearest relays first.
    fn follow(
        &mut self,
        subject: usize,
        subjects: &Subjects,
        conditions: &mut Conditions,
        (into, between, out): (&[Edge], &[Edge], &[Edge]),
    ) {
        let mut known: Vec<Vec<u32>> = vec![Vec::new(); self.stations.len()];
        let mut queue: Vec<u32> = Vec::new();
        for edge in into.iter().filter(|edge| edge.from == subject) {
            self.step(
                edge,
                edge.condition,
                None,
                &mut known,
                &mut queue,
                subjects,
                conditions,
            );
        }
        let mut next = 0;
        while let Some(&number) = queue.get(next) {
            next += 1;
            let Some(&step) = self.steps.get(number as usize) else {
                return;
            };
            let station = step.station as usize;
            let via = self.stations.get(station).map_or(0, |station| station.role);
            for edge in between.iter().filter(|edge| edge.from == station) {
                let end = self.stations.get(edge.to).map_or(0, |station| station.role);
                if let Some(condition) = compose(
                    subjects,
                    conditions,
                    (subject, via, end),
                    (step.condition, edge.condition),
                    false,
                ) {
                    self.step(
                        edge,
                        condition,
                        Some(number),
                        &mut known,
                        &mut queue,
                        subjects,
                        conditions,
                    );
                }
            }
            for edge in out.iter().filter(|edge| edge.from == station) {
                if let Some(condition) = compose(
                    subjects,
                    conditions,
                    (subject, via, edge.to),
                    (step.condition, edge.condition),
                    true,
                ) {
                    let leak = Leak {
                        condition,
                        left: number,
                        right: edge.link,
                    };
                    self.reached
                        .add((subject, edge.to), leak, conditions, &subjects.symbols);
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step, and the state of the walk it belongs to"
    )]
    fn step(
        &mut self,
        edge: &Edge,
        condition: u32,
        before: Option<u32>,
        known: &mut [Vec<u32>],
        queue: &mut Vec<u32>,
        subjects: &Subjects,
        conditions: &mut Conditions,
    ) {
        let Some(ways) = known.get_mut(edge.to) else {
            return;
        };
        let condition = if ways.len() < WAYS {
            condition
        } else {
            conditions.number(Condition::default())
        };
        let is_known = ways.iter().any(|way| {
            conditions
                .get(*way)
                .is_implied_by(conditions.get(condition), &subjects.symbols)
        });
        if is_known {
            return;
        }
        ways.push(condition);
        queue.push(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        self.steps.push(Step {
            station: u32::try_from(edge.to).unwrap_or(u32::MAX),
            condition,
            before,
            link: edge.link,
        });
    }
}

/// The relays of all roles, with the grants that they can use.
fn stations(subjects: &mut Subjects) -> Vec<Station> {
    let mut stations = Vec::new();
    for (role, member) in subjects.members.iter().enumerate() {
        let kind = member.role.matcher.kind;
        for relay in &member.relays {
            let symbols = &mut subjects.symbols;
            let mut narrow = |grants: &[Grant], within: &Pattern| -> Vec<Grant> {
                let Some(shape) = symbols.shape(within, kind) else {
                    return Vec::new();
                };
                let own = grants.iter().filter(|grant| grant.role == role);
                own.map(|grant| Grant {
                    within: Some(within.clone()),
                    shapes: grant.shapes.iter().cloned().chain([shape.clone()]).collect(),
                    pattern: grant.pattern.clone(),
                    except: grant.except.clone(),
                    rule: grant.rule.clone(),
                    ..*grant
                })
                .collect()
            };
            stations.push(Station {
                role,
                reads: narrow(&subjects.subscribe, &relay.from),
                writes: narrow(&subjects.publish, &relay.to),
            });
        }
    }
    stations
}

/// Calls `found` with each two grants that have a topic in common, by their places in the slices.
fn each_pair(
    subjects: &Subjects,
    left: &[Grant],
    right: &[Grant],
    conditions: &mut Conditions,
    mut found: impl FnMut(u32, u32, u32),
) {
    let sides = (
        Side::new(left, 0..u32::MAX, subjects),
        Side::new(right, 0..u32::MAX, subjects),
    );
    let mut pairs = Vec::new();
    flows::common(
        subjects,
        &sides.0,
        &sides.1,
        conditions,
        &mut |_, one, other, _| {
            pairs.push((one.0, other.0));
        },
    );
    for (left_number, right_number) in pairs {
        let (Some(left), Some(right)) = (left.get(left_number as usize), right.get(right_number as usize))
        else {
            continue;
        };
        // Again with the patterns of the relay, which the shapes in the trie do not have.
        let condition = flows::equations_of(subjects, left, right).and_then(|equations| {
            example::find(subjects, left, right, &equations)?;
            Some(Condition::read(
                &equations,
                subjects.facts(left.role),
                subjects.facts(right.role),
            ))
        });
        if let Some(condition) = condition {
            found(left_number, right_number, conditions.number(condition));
        }
    }
}

/// The same for what one and the same service writes and reads.
fn own_pairs(
    subjects: &Subjects,
    writer: &Station,
    reader: &Station,
    conditions: &mut Conditions,
    found: &mut impl FnMut(u32, u32, u32),
) {
    for (left, write) in (0..).zip(&writer.writes) {
        for (right, read) in (0..).zip(&reader.reads) {
            let mut equations = Equations::default();
            let shapes: Vec<_> = write.shapes.iter().chain(&read.shapes).collect();
            let fits = shapes.iter().enumerate().all(|(index, one)| {
                let others = shapes.iter().skip(index + 1);
                others.into_iter().all(|other| {
                    let (one, other) = ((*one, Party::Subject), (*other, Party::Subject));
                    equations.unify(&subjects.symbols, one, other).is_ok()
                })
            });
            if fits {
                found(left, right, conditions.number(same_identity(&equations)));
            }
        }
    }
}

/// Everything that is known of the subject holds of the object, which is the same identity.
fn same_identity(equations: &Equations) -> Condition {
    let subject = |key| Term {
        party: Party::Subject,
        key,
    };
    let object = |key| Term {
        party: Party::Object,
        key,
    };
    let mut keys: Vec<Key> = equations.terms().into_iter().map(|term| term.key).collect();
    keys.push(Key::Id);
    keys.sort_unstable();
    keys.dedup();
    let equal = |key| super::condition::Atom::Equal(subject(key), object(key));
    Condition(keys.into_iter().map(equal).collect())
}

/// For which subject and end there is a service in between that both conditions hold for.
fn compose(
    subjects: &Subjects,
    conditions: &mut Conditions,
    (subject, via, end): (usize, usize, usize),
    (first, second): (u32, u32),
    is_last: bool,
) -> Option<u32> {
    let symbols = &subjects.symbols;
    let mut equations = Equations::default();
    let into = conditions.get(first).renamed(|party| match party {
        Party::Object => Party::Relay,
        other => other,
    });
    let out = conditions.get(second).renamed(|party| match party {
        Party::Subject => Party::Relay,
        other => other,
    });
    into.state(symbols, &mut equations).ok()?;
    out.state(symbols, &mut equations).ok()?;
    for (role, party) in [
        (subject, Party::Subject),
        (via, Party::Relay),
        (end, Party::Object),
    ] {
        subjects.facts(role).state(party, symbols, &mut equations).ok()?;
    }
    // The last one is somebody else; a relay in between may be met again.
    if is_last && subjects.kind(subject) == subjects.kind(end) {
        equations.differ(Party::Subject, Party::Object).ok()?;
    }
    let condition = Condition::read(&equations, subjects.facts(subject), subjects.facts(end));
    Some(conditions.number(condition))
}
