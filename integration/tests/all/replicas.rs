//! Two servers on one database: one installation.

use countersign_client::v1;
use countersign_integration::{Cluster, Launch};
use tonic::{Code, Response};

use crate::support::{World, document, refused, register, room};

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_start_at_once_on_nothing_become_one_installation() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let start = || Launch::dev().database(&database).start();
    let (one, two) = tokio::join!(start(), start());
    let (one, two) = (one.unwrap(), two.unwrap());

    let jwks = async |server: &countersign_integration::Server| {
        server.http(None).get("/.well-known/jwks.json").await.unwrap().json()
    };
    let keys = jwks(&one).await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "the active and the next: {keys}");
    assert_eq!(keys, jwks(&two).await);

    let mut connection = database.connect().await.unwrap();
    let operators: Vec<String> =
        sqlx::query_scalar("SELECT operator_id FROM operator ORDER BY 1").fetch_all(&mut connection).await.unwrap();
    assert_eq!(operators, ["admin", "oscar", "rita"]);
    for id in ["rita", "oscar"] {
        let holders = [&one, &two].into_iter().filter_map(|server| server.operator_key(id).ok());
        let holders: Vec<_> = holders.collect();
        assert!(!holders.is_empty(), "nobody has the key of {id}");
        let mut good = 0;
        for key in holders {
            let connection = two.connect(Some(&key)).await.unwrap();
            good += u32::from(connection.status().get_readiness(v1::GetReadinessRequest {}).await.is_ok());
        }
        assert_eq!(good, 1, "of the keys of {id}");
    }
    let policies: i64 = sqlx::query_scalar("SELECT count(*) FROM policy").fetch_one(&mut connection).await.unwrap();
    assert_eq!(policies, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_did_the_other_knows() {
    let world = World::start().await;
    let second = world.second().await;
    let key = world.server.operator_key("rita").unwrap();
    let elsewhere = second.connect(Some(&key)).await.unwrap();

    let request = v1::RegisterSponsorRequest { request_id: "once".to_owned(), ..register("bob") };
    let first = world.rita.sponsors().register_sponsor(request.clone()).await.unwrap().into_inner();
    let again = elsewhere.sponsors().register_sponsor(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = v1::RegisterSponsorRequest { email: "other@example.com".to_owned(), ..request };
    let answer = elsewhere.sponsors().register_sponsor(other).await.map(Response::into_inner);
    refused(answer, Code::InvalidArgument, "REQUEST_ID_REUSED");

    // A decision's request id, too; and a token of the one verifies at the other.
    let run = world.run_of("alice").await;
    let there = run.on(&elsewhere);
    let question = v1::DecideRequest { request_id: "d-1".to_owned(), ..crate::support::decide("billing", "refund") };
    let first = run.connection.decisions().decide(question.clone()).await.unwrap().into_inner();
    let again = there.connection.decisions().decide(question).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!((first.policy_decision_id, first.log_index), (again.policy_decision_id, again.log_index));

    // A page that the one began the other continues.
    let request = v1::ListEventsRequest { page_size: 3, ..Default::default() };
    let page = world.rita.custody().list_events(request.clone()).await.unwrap().into_inner();
    let request = v1::ListEventsRequest { page_token: page.next_page_token, ..request };
    let next = elsewhere.custody().list_events(request).await.unwrap().into_inner();
    assert_eq!(next.events[0].log_index, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_activated_on_one_server_holds_on_the_other_from_its_index_on() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await.on(&elsewhere);
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);

    let version = world.policy(&document("charge")).await;
    let request =
        v1::ActivatePolicyRequest { version: version.clone(), reason: "no refunds".to_owned(), ..Default::default() };
    let activated = world.oscar.policies().activate_policy(request).await.unwrap().into_inner();
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!((answer.effect(), answer.policy_version), (v1::Effect::Deny, version));
    assert!(answer.log_index > activated.log_index);
}
