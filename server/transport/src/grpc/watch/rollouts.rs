//! WatchRollouts: the open rollouts, completely, at first and on every change; heartbeats in between.

use std::sync::Arc;

use countersign_app::RolloutReport;
use countersign_proto::v1::WatchRolloutsResponse;
use futures::{Stream, stream};
use time::OffsetDateTime;
use tokio::sync::watch::Receiver;
use tonic::Status;

use super::follow::{Wake, Wakes};
use crate::convert::{
    rollout_report::{RolloutVisibility, rollout},
    time::timestamp,
};

/// The open rollouts, completely, at first and on every change; and a heartbeat every second. The stream ends when the
/// server does.
pub(in crate::grpc) fn rollouts(
    open: Receiver<Arc<Vec<RolloutReport>>>,
    visibility: RolloutVisibility,
    now: impl Fn() -> OffsetDateTime + Send + 'static,
) -> impl Stream<Item = Result<WatchRolloutsResponse, Status>> + Send + 'static {
    stream::unfold((Wakes::new(open), now), move |(mut wakes, now)| async move {
        let heartbeat = wakes.next().await? == Wake::Beat;
        let open = if heartbeat { Arc::default() } else { wakes.newest() };
        let rollouts = open.iter().map(|open| rollout(open, visibility)).collect();
        let reply = WatchRolloutsResponse { rollouts, heartbeat, server_time: Some(timestamp(now())) };
        Some((Ok(reply), (wakes, now)))
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::sync::watch;

    use super::*;
    use crate::convert::rollout_report::tests::{an_open_rollout, of_an_instance, of_an_operator};

    #[tokio::test]
    async fn open_rollouts_come_at_once_and_on_a_change_with_heartbeats() {
        let (sender, receiver) = watch::channel(Arc::new(vec![an_open_rollout()]));
        let mut stream = Box::pin(rollouts(receiver, of_an_operator(), || OffsetDateTime::UNIX_EPOCH));
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
        let first = Box::pin(rollouts(receiver, of_an_instance(), || OffsetDateTime::UNIX_EPOCH))
            .next()
            .await
            .unwrap()
            .unwrap();
        assert_eq!((first.rollouts[0].percent, first.rollouts[0].salt.is_empty()), (10, true));
    }
}
