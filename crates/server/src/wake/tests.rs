use std::net::Ipv4Addr;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn slot(thread: usize) -> (Arc<Slot>, Arc<Count>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let slot = Arc::new(Slot::new(
        thread,
        listener.local_addr().unwrap(),
        Arc::new(stream),
    ));
    let count = Arc::new(Count::default());
    slot.register(&Waker::from(count.clone()));
    (slot, count)
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn a_marked_slot_is_marked_once_until_the_task_looks() {
    run(async {
        let (slot, _) = slot(0).await;
        assert!(slot.mark());
        assert!(!slot.mark());
        assert!(slot.take_mark());
        assert!(!slot.take_mark());
        assert!(slot.mark());
    });
}

#[test]
fn the_own_thread_is_woken_at_once_and_another_through_its_mailbox() {
    run(async {
        let mailboxes = [Mailbox::default(), Mailbox::default()];
        let owner = Arc::new(Count::default());
        let mut serve = Box::pin(mailboxes[1].serve());
        let waker = Waker::from(owner.clone());
        let mut context = Context::from_waker(&waker);
        assert!(serve.as_mut().poll(&mut context).is_pending());

        let (own, own_count) = slot(0).await;
        let (first, first_count) = slot(1).await;
        let (second, second_count) = slot(1).await;
        wake_all(&mut vec![first, own, second], &mailboxes, Some(0));
        assert_eq!(own_count.get(), 1);
        assert_eq!(owner.get(), 1, "one wake for the whole thread");
        assert_eq!((first_count.get(), second_count.get()), (0, 0));

        assert!(serve.as_mut().poll(&mut context).is_pending());
        assert_eq!((first_count.get(), second_count.get()), (1, 1));
        mailboxes[1].close();
        assert!(serve.as_mut().poll(&mut context).is_ready());
    });
}

#[test]
fn batches_are_counted_from_the_broker_to_the_kernel() {
    run(async {
        let (slot, _) = slot(0).await;
        assert_eq!(slot.batch(), None);
        assert!(!slot.end_batch());
        slot.begin_batch();
        let first = slot.batch();
        assert!(first.is_some());
        slot.begin_batch();
        assert_eq!(slot.batch(), first, "still the same batch");
        assert!(slot.end_batch());
        slot.begin_batch();
        assert!(slot.batch().is_some() && slot.batch() != first);
    });
}
