use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;

/// A sink that refuses some events, either by name or with the whole request, and ends after some requests.
#[derive(Debug, Default)]
struct Fake {
    poison: Vec<usize>,
    by_name: bool,
    requests: AtomicUsize,
    ends_after: Option<usize>,
    taken: Mutex<Vec<usize>>,
}

impl SinkCarrier for Fake {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        let answer = move || {
            if self.ends_after.is_some_and(|most| self.requests.load(Ordering::Relaxed) >= most) {
                return Err(SinkFailure::Later("gone".to_owned()));
            }
            self.requests.fetch_add(1, Ordering::Relaxed);
            let bad = |event: &SinkEvent| self.poison.contains(&usize::try_from(event.log_index).unwrap());
            if !self.by_name && events.iter().any(bad) {
                return Err(SinkFailure::Divide("malformed".to_owned()));
            }
            let good = events.iter().filter(|event| !bad(event));
            self.taken.lock().unwrap().extend(good.map(|event| usize::try_from(event.log_index).unwrap()));
            let refused = |(nth, _)| RefusedEvent { nth, why: "malformed".to_owned() };
            Ok(events.iter().enumerate().filter(|(_, event)| bad(event)).map(refused).collect())
        };
        async move { answer() }.boxed()
    }
}

fn events(count: usize) -> Vec<SinkEvent> {
    let event = |nth: usize| SinkEvent {
        log_index: i64::try_from(nth).unwrap(),
        event_id: format!("evt_{nth}"),
        received_time: OffsetDateTime::UNIX_EPOCH,
        body: "{}".to_owned(),
    };
    (0..count).map(event).collect()
}

/// How many events are settled, which of them are refused, and whether there is a failure.
fn sent(fake: &Fake, count: usize) -> (usize, Vec<usize>, bool) {
    let sent = send(fake, &events(count)).now_or_never().expect("the fake never waits");
    (sent.settled, sent.refused.iter().map(|one| one.nth).collect(), sent.failure.is_some())
}

#[test]
fn an_event_is_refused_once_a_later_one_was_taken() {
    for by_name in [false, true] {
        let fake = |poison: &[usize]| Fake { poison: poison.to_vec(), by_name, ..Fake::default() };
        assert_eq!(sent(&fake(&[]), 100), (100, vec![], false));
        assert_eq!(sent(&fake(&[0, 41, 42]), 100), (100, vec![0, 41, 42], false));
        assert_eq!(sent(&fake(&[7, 99]), 100), (99, vec![7], true), "whether it is the event or the sink is not known");
        assert_eq!(sent(&fake(&[0]), 1), (0, vec![], true));
    }
}

#[test]
fn a_sink_that_refuses_everything_is_asked_little_and_loses_nothing() {
    let fake = Fake { poison: (0..500).collect(), ..Fake::default() };
    assert_eq!(sent(&fake, 500), (0, vec![], true));
    assert!(fake.requests.load(Ordering::Relaxed) < 60, "{fake:?}");
}

proptest! {
    /// Whatever a sink refuses and whenever it ends: each event before the cursor was taken or is refused, in order, and none is
    /// refused that could be taken.
    #[test]
    fn nothing_before_the_cursor_is_lost(
        poison in prop::collection::btree_set(0_usize..64, 0..10),
        count in 1_usize..64,
        by_name: bool,
        ends_after in prop::option::of(0_usize..12),
    ) {
        let fake = Fake { poison: poison.iter().copied().collect(), by_name, ends_after, ..Fake::default() };
        let (settled, refused, failed) = sent(&fake, count);
        let taken = fake.taken.into_inner().unwrap();
        prop_assert!(taken.is_sorted());
        for nth in 0..settled {
            prop_assert_eq!(refused.contains(&nth), poison.contains(&nth));
            prop_assert!(poison.contains(&nth) || taken.contains(&nth));
        }
        prop_assert!(settled == count || failed);
        prop_assert!(settled == 0 || taken.contains(&(settled - 1)));
    }
}
