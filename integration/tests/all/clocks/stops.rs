//! Stops, whatever any clock shows.

use countersign_client::v1;
use countersign_integration::Server;
use tonic::Status;
use v1::revoke_credentials_request::Scope;

use super::{Clocks, allowed, at, doors, says, time_of};
use crate::{
    oauth,
    support::{Run, counted, sha256},
};

/// The kinds of stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Suspend,
    RevokeSponsor,
    Instance,
    Credential,
    Tool,
    All,
    Key,
    KillSwitch,
}

impl Stop {
    pub(super) const ALL: [Self; 8] = [
        Self::Suspend,
        Self::RevokeSponsor,
        Self::Instance,
        Self::Credential,
        Self::Tool,
        Self::All,
        Self::Key,
        Self::KillSwitch,
    ];

    /// Stops the run at this server, whose clock is wrong or seems so.
    pub(super) async fn ask(self, clocks: &Clocks, there: &Server, run: &Run, sponsor: &str) -> Result<(), Status> {
        let (reason, approver) = ("drill".to_owned(), at(there, &clocks.key("oscar")).await);
        let many =
            |scope| v1::RevokeCredentialsRequest { scope: Some(scope), reason: "drill".into(), ..Default::default() };
        match self {
            Self::Suspend => {
                let request =
                    v1::SuspendSponsorRequest { sponsor_id: sponsor.to_owned(), reason, ..Default::default() };
                approver.sponsors().suspend_sponsor(request).await.map(drop)
            }
            Self::RevokeSponsor => {
                let request = v1::RevokeSponsorRequest { sponsor_id: sponsor.to_owned(), reason, ..Default::default() };
                approver.sponsors().revoke_sponsor(request).await.map(drop)
            }
            Self::Instance => {
                let agent_instance_id = run.id.clone();
                let request = v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() };
                approver.instances().revoke_instance(request).await.map(drop)
            }
            Self::Credential => {
                let form = [("token", run.token.as_str())];
                let answer = oauth::post(there, Some(&clocks.key("rita")), "revoke", &[], &form).await;
                assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
                Ok(())
            }
            Self::Tool => {
                let request = many(Scope::ToolId("billing".to_owned()));
                approver.credentials().revoke_credentials(request).await.map(drop)
            }
            Self::All => approver.credentials().revoke_credentials(many(Scope::All(true))).await.map(drop),
            Self::Key => {
                let request =
                    v1::ListSigningKeysRequest { state: v1::SigningKeyState::Active.into(), ..Default::default() };
                let admin = at(there, &clocks.good.admin_key().unwrap()).await;
                let keys = admin.signing_keys().list_signing_keys(request).await?.into_inner().keys;
                let request = v1::MarkKeyCompromisedRequest { kid: keys[0].kid.clone(), reason, ..Default::default() };
                admin.signing_keys().mark_key_compromised(request).await.map(drop)
            }
            Self::KillSwitch => {
                let scope = v1::KillSwitchScope::Sponsor.into();
                let request =
                    v1::EngageKillSwitchRequest { scope, id: sponsor.to_owned(), reason, ..Default::default() };
                at(there, &clocks.key("rita")).await.policies().engage_kill_switch(request).await.map(drop)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_stops_whose_clock_is_wrong_no_other_allows() {
    let clocks = Clocks::start().await;
    let mut killed: Vec<(String, Stop, f64)> = Vec::new();
    for (way, off) in [-1200.0, 1200.0, 91.0 * 86_400.0].into_iter().enumerate() {
        let stops: &[Stop] = if way == 0 { &Stop::ALL } else { &[Stop::Suspend, Stop::Instance, Stop::All] };
        for (nth, stop) in stops.iter().enumerate() {
            let sponsor = format!("s{way}-{nth}");
            clocks.sponsor(&sponsor).await;
            let run = clocks.run(&sponsor).await;
            assert!(allowed(&run).await, "{stop:?}");
            if nth == 0 {
                clocks.clock.is_off_by(off).unwrap();
            }
            stop.ask(&clocks, &clocks.other, &run, &sponsor).await.unwrap();
            assert!(!allowed(&run).await, "{stop:?} at {off} s");
            killed.push((run.id, *stop, off));
        }
        let side = if off < 0.0 { "behind the database's" } else { "ahead of the database's" };
        says(&clocks.other, false, side).await;
        says(&clocks.good, true, "agrees").await;
        let run = clocks.run("alice").await;
        doors::do_nothing_but_stop(&clocks, &clocks.other, &run).await;
        // What was allowed is reported all the same.
        let answer = run.decide("billing", "refund").await.unwrap();
        let report = v1::RecordToolCallRequest {
            policy_decision_id: answer.policy_decision_id,
            outcome: v1::ToolCallOutcome::Success.into(),
            response_hash: sha256("done"),
            ..Default::default()
        };
        let there = run.on(&at(&clocks.other, &run.token).await);
        there.connection.custody().record_tool_call(report).await.unwrap();
        // There and back.
        clocks.clock.is_off_by(0.0).unwrap();
        says(&clocks.other, true, "agrees").await;
        assert!(allowed(&there).await, "it decides again");
    }
    clocks.clock.is_frozen().unwrap();
    says(&clocks.other, false, "clock").await;
    let run = clocks.run("alice").await;
    Stop::Instance.ask(&clocks, &clocks.other, &run, "alice").await.unwrap();
    assert!(!allowed(&run).await);

    let log = clocks.log().await;
    let now = time_of(log.last().unwrap());
    for event in &log {
        let off = (now - time_of(event)).abs();
        assert!(off < 600.0, "no event is dated by a clock that is wrong: {off} s, {}", event.leaf);
    }
    for (id, stop, off) in killed {
        let of_run: Vec<_> = log.iter().filter(|event| event.text("agent_instance_id") == id).collect();
        let effects: Vec<_> =
            of_run.iter().map(|event| event.text("effect")).filter(|effect| !effect.is_empty()).collect();
        assert_eq!(effects, ["ALLOW", "DENY"], "{stop:?} at {off} s, in the order of the log");
    }
    let skew = counted(&clocks.good, "countersign_clock_skew_seconds").await;
    assert!(skew.abs() < 1.0, "{skew}");
}
