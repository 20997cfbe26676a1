//! Approvals end a quarter of an hour after they were asked for, answered or not.

use countersign_core::{approval::ApprovalState, decision::Effect, ids::ApprovalId};
use countersign_ledger::leaf::Kind;

use super::world::{APPROVAL_LIFE, TICK, World, by_role};
use crate::{AnswerApproval, ApprovalFilter, Decide, Error, PageRequest};

/// The token of a run, and the approval that it asked for.
async fn ask(world: &World) -> (String, ApprovalId) {
    let run = world.issue("alice").await.unwrap();
    let approval_id = world.decide(&run.token, "close").await.unwrap().approval_id.unwrap();
    (run.token, approval_id)
}

async fn answer(world: &World, approval_id: ApprovalId) -> Result<(), Error> {
    let command = AnswerApproval { approval_id, yes: true, reason: "fine".to_owned(), etag: None };
    world.app.answer_approval(&by_role(&world.oscar), command, None).await.map(drop)
}

async fn state(world: &World, approval_id: ApprovalId) -> ApprovalState {
    let found = world.app.get_approval(&by_role(&world.oscar), approval_id).await.unwrap();
    found.state_at(world.now())
}

/// How many there are in this state, by the list.
async fn listed(world: &World, state: ApprovalState) -> usize {
    let filter = ApprovalFilter { state: Some(state), ..ApprovalFilter::default() };
    let page = PageRequest { size: 10, after: None };
    world.app.list_approvals(&by_role(&world.oscar), filter, page).await.unwrap().items.len()
}

#[tokio::test]
async fn an_approval_may_be_answered_until_it_expires() {
    let world = World::start().await;
    let (_, first) = ask(&world).await;
    let (_, second) = ask(&world).await;
    world.passes_and_workers_look(APPROVAL_LIFE - TICK).await;
    assert_eq!(listed(&world, ApprovalState::Pending).await, 2);
    answer(&world, first).await.unwrap();

    world.passes(TICK).await;
    // Nobody has looked yet, and it is over for everybody.
    for id in [first, second] {
        assert_eq!(state(&world, id).await, ApprovalState::Expired);
        assert!(matches!(answer(&world, id).await, Err(Error::IllegalTransition(_))));
    }
    assert_eq!((listed(&world, ApprovalState::Expired).await, listed(&world, ApprovalState::Pending).await), (2, 0));
    assert_eq!(world.events(Kind::ApprovalExpired).await.len(), 0);
    world.workers_look().await;
    assert_eq!(world.events(Kind::ApprovalExpired).await.len(), 2, "the answered one too: it was not used");
    world.workers_look().await;
    assert_eq!(world.events(Kind::ApprovalExpired).await.len(), 2);
}

#[tokio::test]
async fn a_yes_is_good_for_one_call_until_the_approval_expires() {
    let world = World::start().await;
    let asked = [ask(&world).await, ask(&world).await];
    let ids = [asked[0].1, asked[1].1];
    for id in ids {
        answer(&world, id).await.unwrap();
    }
    world.passes(APPROVAL_LIFE - TICK).await;
    let with = |approval_id| Decide { approval_id: Some(approval_id), ..World::call("close") };
    assert!(world.decide_with(&asked[0].0, with(ids[0])).await.unwrap().effect == Effect::Allow);
    assert_eq!(state(&world, ids[0]).await, ApprovalState::Used);
    world.passes(TICK).await;
    assert_eq!(state(&world, ids[0]).await, ApprovalState::Used, "used stays used");
    assert_eq!(state(&world, ids[1]).await, ApprovalState::Expired);
}
