//! Streams that tell a change at once, and that they live in between.

use std::{sync::Arc, time::Duration};

use countersign_core::{
    clock::{Clock, SystemClock},
    rollout::Rollout,
};
use countersign_proto::v1::WatchRolloutsResponse;
use futures::{Stream, stream};
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
) -> impl Stream<Item = Result<WatchRolloutsResponse, Status>> + Send + 'static {
    // The present set is the first change.
    open.mark_changed();
    let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((open, beat), move |(mut open, mut beat)| async move {
        let reply = next(&mut open, &mut beat, sight).await?;
        Some((Ok(reply), (open, beat)))
    })
}

async fn next(
    open: &mut Receiver<Arc<Vec<Rollout>>>,
    beat: &mut Interval,
    sight: Sight,
) -> Option<WatchRolloutsResponse> {
    let heartbeat = tokio::select! {
        biased;
        changed = open.changed() => {
            changed.ok()?;
            false
        }
        _ = beat.tick() => true,
    };
    let rollouts =
        if heartbeat { Vec::new() } else { open.borrow_and_update().iter().map(|open| rollout(open, sight)).collect() };
    Some(WatchRolloutsResponse { rollouts, heartbeat, server_time: Some(timestamp(SystemClock.now())) })
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
        let mut stream = Box::pin(rollouts(receiver, with_salt()));
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!((first.heartbeat, first.rollouts.len(), first.rollouts[0].percent), (false, 1, 10));
        assert_eq!(first.rollouts[0].salt.len(), 32);

        let beat = stream.next().await.unwrap().unwrap();
        assert!(beat.heartbeat && beat.rollouts.is_empty() && beat.server_time.is_some());

        sender.send(Arc::new(Vec::new())).unwrap();
        let changed = stream.next().await.unwrap().unwrap();
        assert!(!changed.heartbeat && changed.rollouts.is_empty());

        drop(sender);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn an_instance_sees_the_percentage_and_no_salt() {
        let (_sender, receiver) = watch::channel(Arc::new(vec![an_open_rollout()]));
        let first = Box::pin(rollouts(receiver, without_salt())).next().await.unwrap().unwrap();
        assert_eq!((first.rollouts[0].percent, first.rollouts[0].salt.is_empty()), (10, true));
    }
}
