//! Nanoseconds and allocations of one decision, and decisions over a fleet of a million identities under
//! a thousand roles. Run with `cargo bench -p motte-policy`.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use motte_policy::{Decision, Identity, Kind, Rights, Snapshot};

/// Calls per measurement; the least of `ROUNDS` is shown, because everything else is noise.
const CALLS: u32 = 200_000;
const ROUNDS: usize = 15;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The rights of a device or a service with `count` grants of each kind.
fn rights(kind: Kind, count: usize) -> Rights {
    let prefix = if kind == Kind::Device {
        "home/{site}/{device}"
    } else {
        "home/+/+"
    };
    let (mut publish, mut subscribe) = (String::new(), String::new());
    for index in 0..count {
        let comma = if index == 0 { "" } else { "," };
        let topic = format!(r#"{{"topic":"{prefix}/channel-{index}","qos":2,"line":1"#);
        write!(publish, r#"{comma}{topic},"retain":false,"will":true}}"#).unwrap();
        write!(subscribe, "{comma}{topic}}}").unwrap();
    }
    let json = format!(
        r#"{{"format":1,"generation":1,"fleet":"home","policy_file":"policy.toml","roles":[{{"name":"r","line":1,
        "match":{{"kind":"{kind}","id":null,"attributes":{{}}}},"publish":[{publish}],"subscribe":[{subscribe}],
        "deny":[{{"topic":"home/+/secret/#","actions":["publish","subscribe"],"line":1}}],
        "wildcards":{},"limits":{{}}}}],"exceptions":{{"revoked_serials":[],"revoked":[],"quarantined":[],
        "banned":[]}},"vectors":[]}}"#,
        kind == Kind::Service
    );
    let attributes = BTreeMap::from([("site".to_owned(), "kitchen-17".to_owned())]);
    let identity = Identity::new(kind, "thermostat-0042", attributes).unwrap();
    Snapshot::parse(json.as_bytes()).unwrap().bind(&identity)
}

fn measure(name: &str, mut decide: impl FnMut() -> Decision) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let allowed = decide().is_allowed();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(decide());
            }
            start.elapsed() / CALLS
        })
        .min()
        .unwrap();
    let answer = if allowed { "allowed" } else { "denied" };
    println!(
        "{name:<44} {answer:<8} {:>6} ns {allocations:>3} allocations",
        best.as_nanos()
    );
}

/// Identities of the large fleet, every one with rights of its own in memory.
const IDENTITIES: usize = 1_000_000;
/// Roles of the large policy; each identity has one of them.
const ROLES: usize = 1_000;
/// Decisions over the large fleet.
const DECISIONS: usize = 4_000_000;

/// A policy of many roles, each for a group of devices.
fn large_policy() -> Snapshot {
    let roles: Vec<String> = (0..ROLES)
        .map(|role| {
            format!(
                r#"{{"name":"role-{role}","line":1,
                "match":{{"kind":"device","id":null,"attributes":{{"group":"g{role}"}}}},
                "publish":[{{"topic":"home/{{site}}/{{device}}/telemetry","qos":2,"line":1,"retain":false,"will":true}}],
                "subscribe":[{{"topic":"home/{{site}}/{{device}}/command","qos":2,"line":1}}],
                "deny":[],"wildcards":false,"limits":{{}}}}"#
            )
        })
        .collect();
    let json = format!(
        r#"{{"format":1,"generation":1,"fleet":"home","policy_file":"policy.toml","roles":[{}],"exceptions":
        {{"revoked_serials":[],"revoked":[],"quarantined":[],"banned":[]}},"vectors":[]}}"#,
        roles.join(",")
    );
    Snapshot::parse(json.as_bytes()).unwrap()
}

fn member(number: usize) -> Identity {
    let attributes = BTreeMap::from([
        ("group".to_owned(), format!("g{}", number % ROLES)),
        ("site".to_owned(), format!("site-{}", number / 100)),
    ]);
    Identity::new(Kind::Device, format!("device-{number}"), attributes).unwrap()
}

fn topic(number: usize) -> String {
    format!("home/site-{}/device-{number}/telemetry", number / 100)
}

/// One decision after another, each for another identity, so that nothing is in the processor's caches;
/// then again and again for one.
fn large_fleet() {
    let snapshot = large_policy();
    let start = Instant::now();
    let rights: Vec<Rights> = (0..IDENTITIES)
        .map(|number| snapshot.bind(&member(number)))
        .collect();
    let each = start.elapsed() / u32::try_from(IDENTITIES).unwrap();
    println!("{IDENTITIES} identities, {ROLES} roles: bound in {each:?} each");
    // Every one comes up before any comes up again: the stride has no factor in common with them.
    let asked: Vec<(usize, String)> = (0..DECISIONS / 4)
        .map(|step| step * 7_919 % IDENTITIES)
        .map(|number| (number, topic(number)))
        .collect();
    let time = |name: &str, one: &mut dyn FnMut(usize) -> bool| {
        let start = Instant::now();
        let allowed = (0..DECISIONS).filter(|step| one(*step)).count();
        let each = start.elapsed().as_nanos() / DECISIONS as u128;
        println!("{name:<44} {each:>6} ns, {allowed} of {DECISIONS} allowed");
    };
    time("publish, another identity each time", &mut |step| {
        let (number, topic) = &asked[step % asked.len()];
        rights[*number].may_publish(topic, 1, false).is_allowed()
    });
    let (number, own) = &asked[17];
    time("publish, the same topic again", &mut |_| {
        rights[*number].may_publish(black_box(own), 1, false).is_allowed()
    });
    time("publish, another's topic: denied", &mut |step| {
        let (number, _) = &asked[step % asked.len()];
        rights[*number]
            .may_publish(black_box("home/site-0/device-0/command"), 1, false)
            .is_allowed()
    });
}

fn main() {
    large_fleet();
    for (kind, count) in [
        (Kind::Device, 1),
        (Kind::Device, 10),
        (Kind::Service, 1),
        (Kind::Service, 10),
    ] {
        let rights = rights(kind, count);
        // The last grant: the longest way to a yes.
        let topic = format!("home/kitchen-17/thermostat-0042/channel-{}", count - 1);
        let name = |question: &str| format!("{kind}, {count} grants, {question}");
        measure(&name("publish"), || {
            rights.may_publish(black_box(&topic), 1, false)
        });
        measure(&name("receive"), || rights.may_receive(black_box(&topic)));
        measure(&name("receive, other topic"), || {
            rights.may_receive(black_box("home/kitchen-17/x/state"))
        });
        measure(&name("subscribe"), || rights.may_subscribe(black_box(&topic)));
        let wildcard = "home/+/thermostat-0042/channel-0";
        measure(&name("subscribe wildcard"), || {
            rights.may_subscribe(black_box(wildcard))
        });
    }
}
