use countersign_core::{operator::OperatorRole, person::Binding, sponsor::Sponsor};
use countersign_store::{
    Page, StoreError,
    person::{get_all, is_any_sponsor, is_sponsor, list, note_two, unconfirmed, upsert, were_two},
    sponsor,
};

use crate::{
    operator::add,
    support::{NOW, World, is_listed},
};

fn binding(operator: &str, person: &str, confirmed: bool) -> Binding {
    Binding {
        operator_id: operator.parse().unwrap(),
        person_id: person.parse().unwrap(),
        bound_by: None,
        bind_time: NOW,
        confirmed_by: confirmed.then(|| "oscar".parse().unwrap()),
        confirm_time: confirmed.then_some(NOW),
    }
}

#[tokio::test]
async fn a_login_belongs_to_one_person_and_the_last_one_stays() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for bound in [binding("ann", "p-1", true), binding("ann", "p-2", false), binding("bea", "p-1", true)] {
        upsert(&mut conn, &bound).await.unwrap();
    }
    let found = get_all(&mut conn, &["ann".parse().unwrap(), "nobody".parse().unwrap()]).await.unwrap();
    assert_eq!(found, [binding("ann", "p-2", false)], "bound anew, it is not confirmed any more");
    assert_eq!(unconfirmed(&mut conn).await.unwrap(), 1);
    let listed = async |person: Option<&str>, waits, request| {
        let person = person.map(|id| id.parse().unwrap());
        let found = list(&mut *world.conn().await, person.as_ref(), waits, &request).await?;
        Ok::<Page<String>, StoreError>(found.map(|binding| binding.operator_id.to_string()))
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    is_listed(&names(&["ann", "bea"]), async |request| listed(None, false, request).await).await;
    is_listed(&names(&["ann"]), async |request| listed(None, true, request).await).await;
    is_listed(&names(&["bea"]), async |request| listed(Some("p-1"), false, request).await).await;
    is_listed(&names(&[]), async |request| listed(Some("p-1"), true, request).await).await;
}

#[tokio::test]
async fn a_sponsor_s_login_is_told_apart_from_one_that_is_confirmed() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let mut bob = Sponsor { person_id: Some("p-1".parse().unwrap()), ..crate::sponsor::sponsor("bob") };
    sponsor::insert(&mut conn, &bob).await.unwrap();
    sponsor::insert(&mut conn, &crate::sponsor::sponsor("nobodys")).await.unwrap();
    let (ann, id) = ("ann".parse().unwrap(), bob.sponsor_id.clone());
    assert!(!is_sponsor(&mut conn, &ann, &id, false).await.unwrap());
    upsert(&mut conn, &binding("ann", "p-1", false)).await.unwrap();
    for (login, person, is) in [(false, false, false), (true, false, false), (false, true, false), (true, true, true)] {
        upsert(&mut conn, &binding("ann", "p-1", login)).await.unwrap();
        bob.person_confirmed = person;
        sponsor::update(&mut conn, &bob).await.unwrap();
        assert!(is_sponsor(&mut conn, &ann, &id, false).await.unwrap());
        assert_eq!(is_sponsor(&mut conn, &ann, &id, true).await.unwrap(), is, "{login} {person}");
    }
    assert!(!is_sponsor(&mut conn, &ann, &"nobodys".parse().unwrap(), false).await.unwrap(), "NULL is no person");
    assert!(is_any_sponsor(&mut conn, &"p-1".parse().unwrap()).await.unwrap());
    assert!(!is_any_sponsor(&mut conn, &"p-2".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn two_logins_of_one_person_are_one_person() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let noted = async |bound: Binding| {
        let mut conn = world.conn().await;
        upsert(&mut conn, &bound).await.unwrap();
        note_two(&mut conn, NOW).await.unwrap();
        were_two(&mut conn).await.unwrap()
    };
    assert!(!noted(binding("provider-ann", "p-1", true)).await);
    assert!(!noted(binding("provider-ann2", "p-1", true)).await);
    assert!(!noted(binding("provider-bea", "p-2", false)).await, "not confirmed");
    // One whose operator is known here counts by their roles and keys.
    add(&world, "cid", &[OperatorRole::Admin]).await;
    assert!(!noted(binding("cid", "p-3", true)).await, "without a key");
    assert!(noted(binding("provider-bea", "p-2", true)).await);
    note_two(&mut conn, NOW).await.unwrap();
    upsert(&mut conn, &binding("provider-bea", "p-2", false)).await.unwrap();
    assert!(were_two(&mut conn).await.unwrap(), "once and for all");
}
