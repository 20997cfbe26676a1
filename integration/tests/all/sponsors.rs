//! The sponsor's life: states, four eyes, etags, request ids.

use countersign_client::{Connection, v1};
use tonic::{Code, Response, Status};

use crate::support::{World, approve, fields, refused, register, tables};

/// What may be asked of a sponsor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Approve,
    Reject,
    Suspend,
    Reinstate,
    Recertify,
    Depart,
    Revoke,
    Update,
}

impl Verb {
    const ALL: [Self; 8] = [
        Self::Approve,
        Self::Reject,
        Self::Suspend,
        Self::Reinstate,
        Self::Recertify,
        Self::Depart,
        Self::Revoke,
        Self::Update,
    ];

    /// Asked by whoever has the role for it.
    async fn ask_in(self, world: &World, id: &str) -> Result<v1::Sponsor, Status> {
        let by = if self == Self::Update { &world.rita } else { &world.oscar };
        self.ask(by, id, "").await
    }

    async fn ask(self, by: &Connection, id: &str, etag: &str) -> Result<v1::Sponsor, Status> {
        let (sponsor_id, reason) = (id.to_owned(), "because".to_owned());
        let mut sponsors = by.sponsors();
        let etag = if self == Self::Approve && etag.is_empty() {
            // What is approved was seen.
            let request = v1::GetSponsorRequest { sponsor_id: sponsor_id.clone() };
            sponsors.get_sponsor(request).await?.into_inner().sponsor.unwrap().etag
        } else {
            etag.to_owned()
        };
        macro_rules! transition {
            ($method:ident, $request:ident) => {{
                let request = v1::$request { sponsor_id, reason, etag, ..Default::default() };
                sponsors.$method(request).await?.into_inner().sponsor
            }};
        }
        let sponsor = match self {
            Self::Approve => transition!(approve_sponsor, ApproveSponsorRequest),
            Self::Reject => transition!(reject_sponsor, RejectSponsorRequest),
            Self::Suspend => transition!(suspend_sponsor, SuspendSponsorRequest),
            Self::Reinstate => transition!(reinstate_sponsor, ReinstateSponsorRequest),
            Self::Recertify => transition!(recertify_sponsor, RecertifySponsorRequest),
            Self::Depart => transition!(depart_sponsor, DepartSponsorRequest),
            Self::Revoke => transition!(revoke_sponsor, RevokeSponsorRequest),
            Self::Update => {
                let request =
                    v1::UpdateSponsorRequest { sponsor_id, reason, etag, max_depth: Some(1), ..Default::default() };
                sponsors.update_sponsor(request).await?.into_inner().sponsor
            }
        };
        Ok(sponsor.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_must_approve_exactly_what_was_registered() {
    let world = World::start().await;
    let registered =
        world.rita.sponsors().register_sponsor(register("bob")).await.unwrap().into_inner().sponsor.unwrap();
    assert_eq!(registered.state(), v1::SponsorState::Pending);
    assert!(registered.approve_time.is_none() && registered.review_due_at.is_none());

    // rita has no role for it, and the one who registers with every role is not a second person.
    refused(Verb::Approve.ask(&world.rita, "bob", "").await, Code::PermissionDenied, "ROLE_REQUIRED");
    let dev = world.server.connect(None).await.unwrap();
    dev.sponsors().register_sponsor(register("carol")).await.unwrap();
    refused(Verb::Approve.ask(&dev, "carol", "").await, Code::FailedPrecondition, "FOUR_EYES");
    world.rita.sponsors().register_sponsor(register("oscar")).await.unwrap();
    refused(Verb::Approve.ask(&world.oscar, "oscar", "").await, Code::FailedPrecondition, "FOUR_EYES");

    refused(Verb::Approve.ask(&world.oscar, "bob", "stale").await, Code::Aborted, "ETAG_MISMATCH");
    let approved = Verb::Approve.ask(&world.oscar, "bob", &registered.etag).await.unwrap();
    assert_eq!(approved.state(), v1::SponsorState::Active);
    assert_ne!(approved.etag, registered.etag);
    let review = approved.review_due_at.unwrap().seconds - approved.approve_time.unwrap().seconds;
    assert_eq!(review, 90 * 24 * 3600);
    refused(Verb::Suspend.ask(&world.oscar, "bob", &registered.etag).await, Code::Aborted, "ETAG_MISMATCH");

    let log = world.log().await;
    let of_bob: Vec<_> = log.iter().filter(|event| event.text("sponsor_id") == "bob").collect();
    let story: Vec<_> = of_bob.iter().map(|event| (event.kind(), event.text("operator_id"))).collect();
    assert_eq!(story, [("sponsor_registered", "rita"), ("sponsor_approved", "oscar")]);
    assert_eq!((of_bob[1].text("state_before"), of_bob[1].text("state_after")), ("PENDING", "ACTIVE"));
    let text = String::from_utf8(of_bob[1].bytes.clone()).unwrap();
    assert!(!text.contains("known in person") && !text.contains("Somebody"), "no free text in a leaf: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_illegal_transition_is_refused_and_changes_nothing() {
    use Verb::{Approve, Depart, Recertify, Reinstate, Reject, Revoke, Suspend, Update};
    let world = World::start().await;
    // Each state, how to get there, and what is legal from it.
    let states: [(&str, &[Verb], &[Verb]); 8] = [
        ("pending", &[], &[Approve, Reject, Update]),
        ("changed", &[Approve, Update], &[Approve, Reject, Update]),
        ("active", &[Approve], &[Suspend, Recertify, Depart, Revoke, Update]),
        ("suspended", &[Approve, Suspend], &[Reinstate, Recertify, Depart, Revoke, Update]),
        ("lapsed", &[Approve], &[Recertify, Depart, Revoke, Update]),
        ("departed", &[Approve, Depart], &[Revoke]),
        ("rejected", &[Reject], &[]),
        ("revoked", &[Approve, Revoke], &[]),
    ];
    for (id, way, _) in states {
        world.rita.sponsors().register_sponsor(register(id)).await.unwrap();
        for verb in way {
            verb.ask_in(&world, id).await.unwrap();
        }
    }
    world.let_review_lapse("lapsed").await;
    let before = tables(&world.database).await;
    for (id, _, legal) in states {
        for verb in Verb::ALL.into_iter().filter(|verb| !legal.contains(verb)) {
            let info = refused(verb.ask_in(&world, id).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
            assert!(info.metadata.contains_key("request_id"), "{verb:?} of a sponsor that is {id}");
        }
    }
    assert_eq!(tables(&world.database).await, before);
    for (id, _, legal) in states {
        for verb in legal.iter().take(1) {
            verb.ask_in(&world, id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_review_suspends_until_somebody_else_recertifies() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let run = world.run_of("bob").await;
    let size = world.log_size().await;
    world.let_review_lapse("bob").await;
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::SponsorNotActive);
    let log = world.log().await;
    let suspended = &log[usize::try_from(size).unwrap()];
    assert_eq!((suspended.kind(), suspended.text("operator_id")), ("sponsor_suspended", ""));
    assert_eq!((suspended.text("reason"), suspended.text("revocation_seq")), ("REVIEW_LAPSED", "1"));
    assert_eq!((suspended.text("state_before"), suspended.text("state_after")), ("ACTIVE", "SUSPENDED"));

    refused(Verb::Reinstate.ask(&world.oscar, "bob", "").await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let renewed = Verb::Recertify.ask(&world.oscar, "bob", "").await.unwrap();
    assert_eq!((renewed.state(), renewed.suspend_cause()), (v1::SponsorState::Active, v1::SuspendCause::Unspecified));
    // What lived before stays dead; what is issued now lives.
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Deny);
    let run = world.run_of("bob").await;
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn recertifying_takes_a_second_person_and_undoes_no_persons_order() {
    let world = World::start().await;
    let dev = world.server.connect(None).await.unwrap();
    dev.sponsors().register_sponsor(register("bob")).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve("bob")).await.unwrap();
    refused(Verb::Recertify.ask(&dev, "bob", "").await, Code::FailedPrecondition, "FOUR_EYES");
    refused(Verb::Recertify.ask(&world.rita, "bob", "").await, Code::PermissionDenied, "ROLE_REQUIRED");

    let now = Verb::Recertify.ask(&world.oscar, "bob", "").await.unwrap().create_time.unwrap().seconds;
    let at = |days: i64| v1::RecertifySponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "still here".to_owned(),
        review_due_at: Some(prost_types::Timestamp { seconds: now + days * 24 * 3600, nanos: 0 }),
        ..Default::default()
    };
    for days in [-1, 401] {
        let status = world.oscar.sponsors().recertify_sponsor(at(days)).await.unwrap_err();
        assert_eq!(fields(&status), ["review_due_at"], "{days} days: {status:?}");
        refused::<()>(Err(status), Code::InvalidArgument, "INVALID_REQUEST");
    }
    let renewed = world.oscar.sponsors().recertify_sponsor(at(399)).await.unwrap().into_inner().sponsor.unwrap();
    assert_eq!(renewed.review_due_at.unwrap().seconds, now + 399 * 24 * 3600);

    Verb::Suspend.ask(&world.oscar, "bob", "").await.unwrap();
    let renewed = Verb::Recertify.ask(&world.oscar, "bob", "").await.unwrap();
    assert_eq!((renewed.state(), renewed.suspend_cause()), (v1::SponsorState::Suspended, v1::SuspendCause::Operator));
    let back = Verb::Reinstate.ask(&world.oscar, "bob", "").await.unwrap();
    assert_eq!(back.state(), v1::SponsorState::Active);
}

fn update(id: &str) -> v1::UpdateSponsorRequest {
    v1::UpdateSponsorRequest { sponsor_id: id.to_owned(), reason: "moved teams".to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_was_approved_stops_everything_and_takes_a_new_approval() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (run, dev) = (world.run_of("bob").await, world.server.connect(None).await.unwrap());
    let request = v1::UpdateSponsorRequest {
        display_name: "Robert Renamed".to_owned(),
        roles: vec!["support".to_owned(), "admin".to_owned()],
        max_ttl: Some(crate::support::seconds(60)),
        request_id: "u-1".to_owned(),
        ..update("bob")
    };
    let done = dev.sponsors().update_sponsor(request.clone()).await.unwrap().into_inner();
    assert_eq!(done.revoked_instance_count, 1);
    assert_eq!(dev.sponsors().update_sponsor(request).await.unwrap().into_inner(), done);
    let changed = done.sponsor.unwrap();
    assert_eq!((changed.state(), changed.email.as_str()), (v1::SponsorState::Pending, "bob@example.com"));
    assert!(changed.approve_time.is_none() && changed.review_due_at.is_none());
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Deny);

    let log = world.log().await;
    let event = log.iter().find(|event| event.kind() == "sponsor_changed").unwrap();
    assert_eq!((event.text("state_before"), event.text("state_after")), ("ACTIVE", "PENDING"));
    let differences = serde_json::json!([
        { "before": "900", "after": "60", "field": "max_ttl_seconds" },
        { "after": "admin", "field": "role_added.00" },
        { "before": "user", "field": "role_removed.00" },
    ]);
    assert_eq!(event.leaf["changes"], differences);
    assert!(event.leaf["identity_commitment"].is_string() && event.leaf["reason_commitment"].is_string());
    assert!(!String::from_utf8_lossy(&event.bytes).contains("Robert"), "no personal data in a leaf");

    // Who changed them last cannot approve; somebody else can, by the rules of the first approval.
    refused(Verb::Approve.ask(&dev, "bob", "").await, Code::FailedPrecondition, "FOUR_EYES");
    let approved = Verb::Approve.ask(&world.oscar, "bob", &changed.etag).await.unwrap();
    assert_eq!(approved.state(), v1::SponsorState::Active);
    let review = approved.review_due_at.unwrap().seconds - approved.approve_time.unwrap().seconds;
    assert_eq!(review, 90 * 24 * 3600);
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Deny);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_alone_and_what_changes_nothing_leave_a_sponsor_as_approved() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (run, size) = (world.run_of("bob").await, world.log_size().await);
    let ask = async |request| world.rita.sponsors().update_sponsor(request).await.map(Response::into_inner);
    let labels = [("team".to_owned(), "billing".to_owned())].into_iter().collect();
    let labelled = ask(v1::UpdateSponsorRequest { labels, ..update("bob") }).await.unwrap().sponsor.unwrap();
    assert_eq!((labelled.state(), labelled.labels["team"].as_str()), (v1::SponsorState::Active, "billing"));

    let same = v1::UpdateSponsorRequest {
        email: labelled.email.clone(),
        roles: labelled.roles.iter().rev().cloned().collect(),
        etag: labelled.etag.clone(),
        ..update("bob")
    };
    assert_eq!(ask(same).await.unwrap().sponsor, Some(labelled.clone()));
    let mask = |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() });
    // A mask names what is set: here nothing but the labels, to none.
    let bare = v1::UpdateSponsorRequest {
        max_ttl: Some(crate::support::seconds(1)),
        update_mask: mask(&["labels"]),
        ..update("bob")
    };
    let bare = ask(bare).await.unwrap().sponsor.unwrap();
    assert!(bare.labels.is_empty() && bare.state() == v1::SponsorState::Active);
    assert_eq!(world.log_size().await, size);
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);

    let stale = v1::UpdateSponsorRequest { max_depth: Some(0), etag: labelled.etag, ..update("bob") };
    refused(ask(stale).await, Code::Aborted, "ETAG_MISMATCH");
    for (request, field) in [
        (update("bob"), "update_mask"),
        (v1::UpdateSponsorRequest { update_mask: mask(&["state"]), ..update("bob") }, "update_mask"),
        (v1::UpdateSponsorRequest { update_mask: mask(&["email"]), ..update("bob") }, "email"),
    ] {
        let status = ask(request).await.unwrap_err();
        assert!(fields(&status).iter().all(|named| named == field), "{status:?}");
        refused::<()>(Err(status), Code::InvalidArgument, "INVALID_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsor_may_suspend_and_revoke_themself_without_a_role() {
    let world = World::start().await;
    world.rita.sponsors().register_sponsor(register("rita")).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve("rita")).await.unwrap();
    for verb in [Verb::Suspend, Verb::Revoke] {
        let info = refused(verb.ask(&world.rita, "alice", "").await, Code::PermissionDenied, "ROLE_REQUIRED");
        assert_eq!(info.metadata["roles"], "approver");
    }
    refused(Verb::Suspend.ask(&world.rita, "nobody", "").await, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(Verb::Suspend.ask(&world.rita, "rita", "").await.unwrap().state(), v1::SponsorState::Suspended);
    refused(Verb::Reinstate.ask(&world.rita, "rita", "").await, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(Verb::Revoke.ask(&world.rita, "rita", "").await.unwrap().state(), v1::SponsorState::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_makes_a_write_happen_once() {
    let world = World::start().await;
    let request = v1::RegisterSponsorRequest { request_id: "r-1".to_owned(), ..register("bob") };
    let first = world.rita.sponsors().register_sponsor(request.clone()).await.unwrap().into_inner();
    let size = world.log_size().await;
    let again = world.rita.sponsors().register_sponsor(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = v1::RegisterSponsorRequest { sponsor_id: "carol".to_owned(), ..request.clone() };
    refused(world.rita.sponsors().register_sponsor(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let without = v1::RegisterSponsorRequest { request_id: String::new(), ..request };
    refused(world.rita.sponsors().register_sponsor(without).await, Code::AlreadyExists, "ALREADY_EXISTS");
    assert_eq!(world.log_size().await, size);
    // Kept apart by caller: oscar's r-1 is another one.
    let request = v1::ApproveSponsorRequest { request_id: "r-1".to_owned(), ..approve("bob") };
    world.oscar.sponsors().approve_sponsor(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sponsors_are_listed_by_page_and_filter() {
    let world = World::start().await;
    for number in 0..5 {
        world.rita.sponsors().register_sponsor(register(&format!("person-{number}"))).await.unwrap();
    }
    let request = |state: v1::SponsorState, page_token: String| v1::ListSponsorsRequest {
        page_size: 2,
        page_token,
        state: state.into(),
        ..Default::default()
    };
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = world.rita.sponsors().list_sponsors(request(v1::SponsorState::Pending, token)).await.unwrap();
        let page = page.into_inner();
        assert!(page.sponsors.len() <= 2);
        seen.extend(page.sponsors.into_iter().map(|sponsor| sponsor.sponsor_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let elsewhere = request(v1::SponsorState::Active, token.clone());
        let answer = world.rita.sponsors().list_sponsors(elsewhere).await.map(Response::into_inner);
        refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
    }
    assert_eq!(seen, ["person-0", "person-1", "person-2", "person-3", "person-4"]);
}
