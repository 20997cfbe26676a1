//! WatchPolicy: the active policy and the kill switches, completely, at first and whenever the cache generation
//! changes; heartbeats in between.

use countersign_app::{Feed, PolicyStatus};
use countersign_proto::v1::WatchPolicyResponse;
use futures::Stream;
use time::OffsetDateTime;
use tonic::Status;

use super::follow::{Told, follow};
use crate::convert::{kill_switch::kill_switch, policy::policy as active, time::timestamp};

/// The active version and the kill switches, completely, at first and on every change of what is in use; and heartbeats
/// as in [`follow`].
pub(in crate::grpc) fn policy(
    feed: Feed<PolicyStatus>,
    now: OffsetDateTime,
) -> impl Stream<Item = Result<WatchPolicyResponse, Status>> + Send + 'static {
    let mut told: Option<String> = None;
    follow(feed, now, move |status: &PolicyStatus, until| {
        let heartbeat = told.as_ref() == Some(&status.cache_generation);
        told = Some(status.cache_generation.clone());
        let mut reply = WatchPolicyResponse {
            heartbeat,
            server_time: Some(timestamp(until)),
            cache_generation: status.cache_generation.clone(),
            ..WatchPolicyResponse::default()
        };
        if !heartbeat {
            reply.policy = status.active.clone().map(active);
            reply.kill_switches = status.kill_switches.engaged().iter().map(kill_switch).collect();
        }
        Told { reply, heartbeat }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_core::kill_switch::{KillSwitch, KillSwitches, Target};
    use futures::{FutureExt, StreamExt};
    use time::Duration;
    use tokio::{sync::watch::Sender, time::advance};

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn status(generation: &str, engaged: usize) -> Arc<PolicyStatus> {
        let switch = KillSwitch {
            kill_switch_id: "kill_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            target: Target::All,
            reason: "drill".to_owned(),
            engaged_by: "rita".parse().unwrap(),
            engage_time: START,
        };
        Arc::new(PolicyStatus {
            active: None,
            kill_switches: Arc::new(KillSwitches::new(vec![switch; engaged])),
            cache_generation: generation.to_owned(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_comes_at_once_and_on_a_change_with_heartbeats() {
        let (known, complete_until) = (Sender::new(status("a", 1)), Sender::new(START));
        let feed = Feed { known: known.subscribe(), complete_until: complete_until.subscribe() };
        let mut stream = Box::pin(policy(feed, START).map(Result::unwrap));
        assert!(stream.next().now_or_never().is_none(), "not before what was known is known to be the present");
        complete_until.send_replace(START + Duration::SECOND);
        let first = stream.next().await.unwrap();
        assert_eq!((first.heartbeat, first.kill_switches.len(), first.cache_generation.as_str()), (false, 1, "a"));

        complete_until.send_replace(START + Duration::seconds(2));
        let beat = stream.next().await.unwrap();
        assert_eq!((beat.heartbeat, beat.kill_switches.len(), beat.cache_generation.as_str()), (true, 0, "a"));
        assert_eq!(beat.server_time, Some(timestamp(START + Duration::seconds(2))));

        known.send_replace(status("b", 0));
        known.send_replace(status("c", 0));
        let changed = stream.next().await.unwrap();
        assert_eq!(
            (changed.heartbeat, changed.cache_generation.as_str()),
            (false, "c"),
            "told once of all that happened"
        );

        for _ in 0..5 {
            advance(super::super::follow::HEARTBEAT).await;
            let said = stream.next().now_or_never();
            assert!(said.is_none(), "the database does not answer: {said:?}");
        }
        drop((known, complete_until));
        assert!(stream.next().await.is_none());
    }
}
