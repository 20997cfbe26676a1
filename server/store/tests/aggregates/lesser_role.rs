//! The role that servers have: what it may not do, whatever a server is told.

use countersign_store::{
    Options, StoreError,
    lesser_role::{GrantError, grant},
};
use sqlx::{Connection as _, PgConnection};

use crate::support::World;

#[tokio::test]
async fn it_appends_and_reads_and_changes_no_record() {
    let world = World::start().await;
    crate::event::appended(&world, vec![crate::event::decision(1, "a")]).await;
    let mut conn = PgConnection::connect(&world.database.serving_url).await.unwrap();
    for statement in [
        "SELECT set_config('search_path', 'countersign', false)",
        "SELECT count(*) FROM custody_event",
        "UPDATE log_head SET authority_epoch = authority_epoch + 1",
        "SELECT ensure_custody_partitions('2030-01-01', 1)",
    ] {
        sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
    }
    for statement in [
        "UPDATE custody_event SET purpose = NULL",
        "DELETE FROM custody_event",
        "TRUNCATE custody_event",
        "DELETE FROM log_head",
        "DELETE FROM revocation",
        "UPDATE revocation SET seq = 7",
        "UPDATE tool_call SET log_index = 7",
        "DELETE FROM sponsor",
        "DELETE FROM api_key",
        "DELETE FROM policy",
        "ALTER TABLE custody_event DISABLE TRIGGER ALL",
        "CREATE TABLE countersign.mine (a int)",
        "SET session_replication_role = replica",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&mut conn).await;
        let code = refused.unwrap_err().as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
}

#[tokio::test]
async fn a_role_that_is_missing_or_too_powerful_is_granted_nothing() {
    let world = World::start().await;
    let mut conn = world.database.connect().await.unwrap();
    let options = Options::new(world.database.url.parse().unwrap());
    assert!(matches!(grant(&mut conn, "nobody at all", &options).await, Err(GrantError::NoRole(_))));
    assert!(matches!(grant(&mut conn, "countersign", &options).await, Err(GrantError::TooPowerful { .. })));
    // What was begun ends with the session.
    conn.close().await.unwrap();
    let mut lesser = countersign_testing::connect(&world.database.serving_url).await.unwrap();
    let by_itself = grant(&mut lesser, "countersign_server", &options).await;
    assert!(
        matches!(by_itself, Err(GrantError::NotOwner(_) | GrantError::Store(StoreError::Database(_)))),
        "{by_itself:?}"
    );
}
