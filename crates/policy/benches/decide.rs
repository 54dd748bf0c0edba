//! Nanoseconds and allocations of one decision. Run with `cargo bench -p motte-policy`.
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

fn main() {
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
