//! WatchRevocations: the revocations after `since`, then each new one; heartbeats in between. An instance sees only
//! those that concern its run, and those of keys.

use std::sync::Arc;

use countersign_app::{Caller, Credential, Feed};
use countersign_core::revocation::{Revocation, RevocationKind, RevocationLog};
use countersign_proto::v1::WatchRevocationsResponse;
use futures::Stream;
use time::OffsetDateTime;
use tonic::Status;

use super::follow::{Told, follow};
use crate::convert::{credential::revocation, time::timestamp};

/// Which entries a follower may see.
#[derive(Debug, Clone)]
pub(in crate::grpc) enum RevocationVisibility {
    /// All entries.
    All,
    /// The entries that concern this run, so that no other instance's id leaves the server.
    Of(Arc<Credential>),
}

impl RevocationVisibility {
    pub(in crate::grpc) fn of(caller: Caller) -> Self {
        match caller {
            Caller::Operator(_) => Self::All,
            Caller::Instance(run) => Self::Of(run),
        }
    }

    fn shows(&self, entry: &Revocation) -> bool {
        match self {
            Self::All => true,
            // Every caller may read which keys exist.
            Self::Of(run) => entry.kind == RevocationKind::Key || entry.concerns(run),
        }
    }
}

/// The revocations after `since`, then each new one; and heartbeats as in [`follow`].
pub(in crate::grpc) fn revocations(
    feed: Feed<RevocationLog>,
    since: Option<i64>,
    visibility: RevocationVisibility,
    now: OffsetDateTime,
) -> impl Stream<Item = Result<WatchRevocationsResponse, Status>> + Send + 'static {
    // The newest entry that was sent. `None` if no entry was sent yet.
    let mut known = since;
    follow(feed, now, move |log: &RevocationLog, until| {
        let update = log.since(known);
        known = Some(update.seq);
        let entries = update.keys.iter().chain(update.entries).filter(|entry| visibility.shows(entry));
        let entries: Vec<_> = entries.map(revocation).collect();
        let heartbeat = entries.is_empty() && !update.snapshot;
        let reply = WatchRevocationsResponse {
            heartbeat,
            entries,
            seq: update.seq,
            snapshot: update.snapshot,
            server_time: Some(timestamp(until)),
            floor: Some(update.floor),
        };
        Told { reply, heartbeat }
    })
}

#[cfg(test)]
mod tests {
    use countersign_proto::v1;
    use futures::{FutureExt, StreamExt};
    use time::Duration;
    use tokio::{sync::watch::Sender, time::advance};

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    /// The state of a server, as its workers learn it.
    struct Server {
        log: Sender<Arc<RevocationLog>>,
        complete_until: Sender<OffsetDateTime>,
    }

    impl Server {
        fn new(seqs: impl IntoIterator<Item = i64>) -> Self {
            Self { log: Sender::new(log(seqs)), complete_until: Sender::new(START) }
        }

        /// The complete list is these entries, at that many seconds after the start.
        fn learns(&self, seqs: impl IntoIterator<Item = i64>, after: f64) {
            self.log.send_replace(log(seqs));
            self.looked(after);
        }

        fn looked(&self, after: f64) {
            self.complete_until.send_replace(START + Duration::seconds_f64(after));
        }

        fn watch(&self, since: Option<i64>) -> impl Stream<Item = v1::WatchRevocationsResponse> + Unpin + use<> {
            let feed = Feed { known: self.log.subscribe(), complete_until: self.complete_until.subscribe() };
            Box::pin(revocations(feed, since, RevocationVisibility::All, START).map(Result::unwrap))
        }
    }

    fn log(seqs: impl IntoIterator<Item = i64>) -> Arc<RevocationLog> {
        let entry = |seq| Revocation { seq, kind: RevocationKind::Tool, id: "billing".to_owned(), create_time: START };
        let entries: Vec<_> = seqs.into_iter().map(entry).collect();
        Arc::new(RevocationLog::new(entries.last().map_or(0, |newest| newest.seq), 0, entries))
    }

    /// The entries' numbers, the newest number, and whether it is a snapshot or a heartbeat.
    fn told(reply: &v1::WatchRevocationsResponse) -> (Vec<i64>, i64, &'static str) {
        let kind = match (reply.snapshot, reply.heartbeat) {
            (true, false) => "snapshot",
            (false, true) => "heartbeat",
            (false, false) => "new",
            (true, true) => panic!("both: {reply:?}"),
        };
        (reply.entries.iter().map(|entry| entry.seq).collect(), reply.seq, kind)
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_comes_first_then_new_entries_and_heartbeats() {
        let server = Server::new(1..=2);
        let mut stream = server.watch(None);
        assert!(stream.next().now_or_never().is_none(), "not before what was known is known to be the present");
        server.looked(0.1);
        assert_eq!(told(&stream.next().await.unwrap()), (vec![1, 2], 2, "snapshot"));
        server.learns(1..=4, 0.2);
        assert_eq!(told(&stream.next().await.unwrap()), (vec![3, 4], 4, "new"));
        server.looked(1.0);
        let beat = stream.next().await.unwrap();
        assert_eq!(told(&beat), (vec![], 4, "heartbeat"));
        assert_eq!(beat.server_time, Some(timestamp(START + Duration::SECOND)));
        drop(server);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_resumes_is_told_at_once_what_it_lacks_if_anything() {
        let server = Server::new(4..=7);
        server.looked(0.1);
        for (since, expected) in [
            (5, (vec![6, 7], 7, "new")),
            (7, (vec![], 7, "heartbeat")),
            (2, (vec![4, 5, 6, 7], 7, "snapshot")),
            (9, (vec![4, 5, 6, 7], 7, "snapshot")),
        ] {
            assert_eq!(told(&server.watch(Some(since)).next().await.unwrap()), expected, "since {since}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_behind_catches_up_before_it_answers() {
        let server = Server::new(1..=2);
        let mut stream = server.watch(Some(3));
        assert!(stream.next().now_or_never().is_none());
        server.learns(1..=3, 0.1);
        assert_eq!(
            told(&stream.next().await.unwrap()),
            (vec![], 3, "heartbeat"),
            "the list was not replaced by an older one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_cannot_know_what_is_new_is_silent() {
        let server = Server::new(1..=2);
        server.looked(0.1);
        let mut stream = server.watch(None);
        stream.next().await.unwrap();
        for _ in 0..5 {
            advance(super::super::follow::HEARTBEAT).await;
            assert!(stream.next().now_or_never().is_none());
        }
        server.looked(5.0);
        assert_eq!(told(&stream.next().await.unwrap()), (vec![], 2, "heartbeat"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_told_once_of_all_that_happened_meanwhile() {
        let server = Server::new(1..=1);
        server.looked(0.1);
        let mut stream = server.watch(None);
        stream.next().await.unwrap();
        for newest in 2..1_000 {
            server.learns(1..=newest, 0.2);
        }
        assert_eq!(told(&stream.next().await.unwrap()), ((2..1_000).collect(), 999, "new"));
        server.learns(1_500..=1_501, 0.3);
        assert_eq!(told(&stream.next().await.unwrap()), (vec![1_500, 1_501], 1_501, "snapshot"), "more than is kept");
    }
}
