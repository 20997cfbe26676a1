//! Streams that tell a change at once, and that they live in between.

use std::{sync::Arc, time::Duration};

use countersign_core::rollout::Rollout;
use countersign_proto::v1::WatchRolloutsResponse;
use futures::{Stream, stream};
use time::OffsetDateTime;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tonic::Status;

use crate::convert::{
    rollout::{Sight, rollout},
    time::timestamp,
};

/// How often a stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The open rollouts, whole, at first and on every change; and a heartbeat every second. It ends when the server does.
pub(super) fn rollouts(
    mut open: Receiver<Arc<Vec<Rollout>>>,
    sight: Sight,
    now: impl Fn() -> OffsetDateTime + Send + 'static,
) -> impl Stream<Item = Result<WatchRolloutsResponse, Status>> + Send + 'static {
    // The present set is the first change.
    open.mark_changed();
    let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((open, beat, now), move |(mut open, mut beat, now)| async move {
        let changed = changed(&mut open, &mut beat).await?;
        let rollouts = changed.iter().flat_map(|open| open.iter()).map(|open| rollout(open, sight)).collect();
        let heartbeat = changed.is_none();
        let reply = WatchRolloutsResponse { rollouts, heartbeat, server_time: Some(timestamp(now())) };
        Some((Ok(reply), (open, beat, now)))
    })
}

/// Waits for the next change or heartbeat, whichever comes first. None: there will be no more changes.
async fn changed(open: &mut Receiver<Arc<Vec<Rollout>>>, beat: &mut Interval) -> Option<Option<Arc<Vec<Rollout>>>> {
    tokio::select! {
        biased;
        changed = open.changed() => changed.ok().map(|()| Some(Arc::clone(&open.borrow_and_update()))),
        _ = beat.tick() => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::sync::watch;

    use super::*;
    use crate::convert::rollout::tests::{an_open_rollout, with_salt, without_salt};

    #[tokio::test]
    async fn the_whole_set_comes_at_once_and_again_on_a_change_and_heartbeats_in_between() {
        let (sender, receiver) = watch::channel(Arc::new(vec![an_open_rollout()]));
        let mut stream = Box::pin(rollouts(receiver, with_salt(), || OffsetDateTime::UNIX_EPOCH));
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!((first.heartbeat, first.rollouts.len(), first.rollouts[0].percent), (false, 1, 10));
        assert_eq!(first.rollouts[0].salt.len(), 32);

        let beat = stream.next().await.unwrap().unwrap();
        assert!(
            beat.heartbeat
                && beat.rollouts.is_empty()
                && beat.server_time == Some(timestamp(OffsetDateTime::UNIX_EPOCH))
        );

        sender.send(Arc::new(Vec::new())).unwrap();
        let changed = stream.next().await.unwrap().unwrap();
        assert!(!changed.heartbeat && changed.rollouts.is_empty());

        drop(sender);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn an_instance_sees_the_percentage_and_no_salt() {
        let (_sender, receiver) = watch::channel(Arc::new(vec![an_open_rollout()]));
        let first =
            Box::pin(rollouts(receiver, without_salt(), || OffsetDateTime::UNIX_EPOCH)).next().await.unwrap().unwrap();
        assert_eq!((first.rollouts[0].percent, first.rollouts[0].salt.is_empty()), (10, true));
    }
}
