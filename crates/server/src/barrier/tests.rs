use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::*;

/// Long enough to be waited out, short enough for a test.
const SHORT: Duration = Duration::from_millis(50);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

async fn slot() -> (Arc<Slot>, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, address): (TcpStream, SocketAddr) = listener.accept().await.unwrap();
    (Arc::new(Slot::new(0, address, Arc::new(stream))), peer)
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

fn collect(slot: &Arc<Slot>, woken: bool) -> Witnesses {
    Witnesses::collect(std::iter::once((slot, woken)))
}

#[test]
fn an_idle_connection_is_not_waited_for() {
    run(async {
        let (slot, _peer) = slot().await;
        assert_eq!(collect(&slot, false).settle(&Progress::default(), LONG).await, 0);
        assert!(!slot.is_closed());
    });
}

#[test]
fn a_batch_of_before_is_waited_for() {
    run(async {
        let (slot, _peer) = slot().await;
        let progress = Progress::default();
        slot.begin_batch();
        let settled = collect(&slot, false).settle(&progress, LONG);
        let task = async {
            tokio::task::yield_now().await;
            assert!(slot.end_batch());
            progress.made();
        };
        assert_eq!(tokio::join!(settled, task).0, 0);
    });
}

#[test]
fn a_batch_of_afterwards_is_not_waited_for() {
    run(async {
        let (slot, _peer) = slot().await;
        slot.begin_batch();
        let witnesses = collect(&slot, false);
        slot.end_batch();
        slot.begin_batch();
        assert_eq!(witnesses.settle(&Progress::default(), LONG).await, 0);
    });
}

#[test]
fn a_batch_that_does_not_move_is_cut_off() {
    run(async {
        let (slot, peer) = slot().await;
        slot.begin_batch();
        assert_eq!(collect(&slot, false).settle(&Progress::default(), SHORT).await, 1);
        assert!(slot.is_closed() && slot.is_killed());
        // The peer finds the connection at an end.
        peer.readable().await.unwrap();
        assert!(matches!(peer.try_read(&mut [0]), Ok(0) | Err(_)));
    });
}

#[test]
fn a_woken_connection_has_to_take_a_turn() {
    run(async {
        let (slot, _peer) = slot().await;
        assert_eq!(collect(&slot, true).settle(&Progress::default(), SHORT).await, 1);
    });
    run(async {
        let (slot, _peer) = slot().await;
        let witnesses = collect(&slot, true);
        slot.end_turn(false);
        assert_eq!(witnesses.settle(&Progress::default(), LONG).await, 0);
    });
}

#[test]
fn a_connection_that_has_to_close_is_waited_for_until_it_has() {
    run(async {
        let (slot, _peer) = slot().await;
        let progress = Progress::default();
        let settled = collect(&slot, true).settle(&progress, LONG);
        let task = async {
            slot.end_turn(true);
            progress.made();
            tokio::task::yield_now().await;
            slot.set_closed();
            progress.made();
        };
        assert_eq!(tokio::join!(settled, task).0, 0);
        assert!(!slot.is_killed());
    });
}

#[test]
fn progress_between_looking_and_waiting_is_not_missed() {
    for _ in 0..200 {
        run(async {
            let (slot, _peer) = slot().await;
            let progress = Arc::new(Progress::default());
            slot.begin_batch();
            let witnesses = collect(&slot, false);
            let (other, other_progress) = (slot.clone(), progress.clone());
            let thread = std::thread::spawn(move || {
                other.end_batch();
                other_progress.made();
            });
            assert_eq!(witnesses.settle(&progress, LONG).await, 0);
            thread.join().unwrap();
        });
    }
}
