//! The sponsor's life: states, four eyes, etags, request ids.

use countersign_client::{Connection, v1};
use tonic::{Code, Response, Status};

use crate::support::{World, approve, refused, register, tables};

/// What may be asked of a sponsor.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Approve,
    Reject,
    Suspend,
    Reinstate,
    Revoke,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Approve, Self::Reject, Self::Suspend, Self::Reinstate, Self::Revoke];

    async fn ask(self, by: &Connection, id: &str, etag: &str) -> Result<v1::Sponsor, Status> {
        let (sponsor_id, reason, etag) = (id.to_owned(), "because".to_owned(), etag.to_owned());
        let mut sponsors = by.sponsors();
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
            Self::Revoke => transition!(revoke_sponsor, RevokeSponsorRequest),
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
    use Verb::{Approve, Reinstate, Reject, Revoke, Suspend};
    let world = World::start().await;
    // Each state, how to get there, and what is legal from it.
    let states: [(&str, &[Verb], &[Verb]); 5] = [
        ("pending", &[], &[Approve, Reject]),
        ("active", &[Approve], &[Suspend, Revoke]),
        ("suspended", &[Approve, Suspend], &[Reinstate, Revoke]),
        ("rejected", &[Reject], &[]),
        ("revoked", &[Approve, Revoke], &[]),
    ];
    for (id, way, _) in states {
        world.rita.sponsors().register_sponsor(register(id)).await.unwrap();
        for verb in way {
            verb.ask(&world.oscar, id, "").await.unwrap();
        }
    }
    let before = tables(&world.database).await;
    for (id, _, legal) in states {
        for verb in Verb::ALL {
            if legal.iter().any(|legal| *legal as u8 == verb as u8) {
                continue;
            }
            let info = refused(verb.ask(&world.oscar, id, "").await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
            assert!(info.metadata.contains_key("request_id"), "{verb:?} of a sponsor that is {id}");
        }
    }
    assert_eq!(tables(&world.database).await, before);
    for (id, _, legal) in states {
        for verb in legal.iter().take(1) {
            verb.ask(&world.oscar, id, "").await.unwrap();
        }
    }
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
