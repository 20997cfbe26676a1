//! The database that a server is pointed at: whose it is, how it is set, and whether it takes writes.

use countersign_client::v1;
use countersign_integration::{Cluster, Database, Launch, Server};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::{
    configuration::plain,
    support::{open_folder, room},
};

async fn does(database: &Database, statements: &str) {
    database.connect().await.unwrap().execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
}

async fn shows(database: &Database, statement: &str) -> String {
    let mut connection = database.connect().await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// What a server says that does not start.
async fn refusal(launch: Launch) -> String {
    launch.start().await.unwrap_err().to_string()
}

const TABLES: &str = "SELECT coalesce(string_agg(schemaname || '.' || tablename, ' ' ORDER BY 1), '') FROM pg_tables WHERE schemaname \
     NOT IN ('pg_catalog', 'information_schema')";

#[tokio::test(flavor = "multi_thread")]
async fn dev_leaves_databases_of_others_alone() {
    let _room = room().await;
    let cluster = Cluster::shared().await.unwrap();
    for (theirs, named) in [
        ("CREATE TABLE users (id int)", "public.users"),
        ("CREATE SCHEMA app; CREATE TABLE app.orders (id int)", "app.orders"),
        ("CREATE VIEW seen AS SELECT 1 AS a", "public.seen"),
        // Names of ours, and tables that are not.
        ("CREATE TABLE operator (id int)", "public.operator"),
        ("CREATE TABLE _sqlx_migrations (version text, checksum text)", "public._sqlx_migrations"),
    ] {
        let database = cluster.empty_database().await.unwrap();
        does(&database, theirs).await;
        let before = shows(&database, TABLES).await;
        let said = refusal(Launch::dev().database(&database)).await;
        assert!(said.contains(named) && said.contains("--dev does not use the database"), "{said}");
        assert_eq!(shows(&database, TABLES).await, before, "{theirs}");
    }
    // In the midst of an installation of its own, too.
    let database = cluster.empty_database().await.unwrap();
    drop(Launch::dev().database(&database).start().await.unwrap());
    drop(Launch::dev().database(&database).start().await.unwrap());
    does(&database, "CREATE TABLE public.mine (id int)").await;
    assert!(refusal(Launch::dev().database(&database)).await.contains("public.mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_opens_no_installation_that_it_did_not_make() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, _folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    let name = database.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(server.log().contains(&format!("database {name} on socket")), "{}", server.log());
    drop(server);
    for _ in 0..2 {
        let said = refusal(Launch::dev().database(&database)).await;
        assert!(said.contains("was not made by --dev"), "{said}");
        assert_eq!(shows(&database, "SELECT string_agg(operator_id, ' ') FROM operator").await, "admin");
        // One of a version that left no mark is no more dev's.
        does(&database, "DELETE FROM installation").await;
    }

    // A variable of the shell does not even lead there.
    let server = Launch::dev().variable("DATABASE_URL", &database.url).start().await.unwrap();
    assert!(server.log().contains("DATABASE_URL: ignored"), "{}", server.log());
    assert_eq!(shows(&database, "SELECT count(*)::text FROM installation").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_what_dev_made_is_warned_of() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    drop(Launch::dev().database(&database).start().await.unwrap());
    let (launch, _folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    assert!(server.log().contains("was made by --dev"), "{}", server.log());
}

async fn session(database: &Database) -> Result<PgConnection, sqlx::Error> {
    countersign_store::connect(&countersign_store::Options::new(database.url.parse().unwrap())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_as_durable_as_it_must_be_or_none() {
    let _room = room().await;
    let cluster = Cluster::shared().await.unwrap();
    let database = cluster.database().await.unwrap();
    let name = database.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    for (set, is) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
    {
        does(&database, &format!("ALTER DATABASE {name} SET synchronous_commit = {set}")).await;
        let mut connection = session(&database).await.unwrap();
        let found: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, is, "{set}");
        connection.close().await.unwrap();
    }
    does(&database, &format!("ALTER DATABASE {name} RESET ALL")).await;
    does(&database, &format!("ALTER DATABASE {name} SET default_transaction_isolation = serializable")).await;
    does(&database, &format!("ALTER DATABASE {name} SET lock_timeout = 1")).await;
    session(&database).await.unwrap();

    does(&database, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let said = refusal(Launch::dev().database(&database)).await;
    assert!(said.contains("default_transaction_read_only is on and must be off"), "{said}");

    let admin = cluster.empty_database().await.unwrap();
    does(
        &admin,
        &format!("CREATE DATABASE {name}_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"),
    )
    .await;
    let latin = Database::of(database.url.replace(&name, &format!("{name}_latin")));
    let said = refusal(Launch::dev().database(&latin)).await;
    assert!(said.contains("server_encoding is LATIN1 and must be UTF8"), "{said}");
    assert_eq!(shows(&latin, TABLES).await, "");
}

/// Whether `/readyz` says that the database is wrong, with these words.
async fn told(server: &Server, words: &str) -> bool {
    let answer = server.http(None).get("/readyz").await.unwrap();
    !answer.status.is_success() && answer.text().contains(words)
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_writes() {
    let _room = room().await;
    let folder = open_folder();
    let cluster = Cluster::start(folder.path().join("data")).await.unwrap();
    let database = cluster.database().await.unwrap();
    let server = Launch::dev().database(&database).start().await.unwrap();

    does(&database, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    does(&database, "SELECT pg_reload_conf()").await;
    server.becomes_ready(false).await.unwrap();
    assert!(told(&server, "read-only").await || told(&server, "does not").await);
    let mut admin = database.connect().await.unwrap();
    admin.execute("SET default_transaction_read_only = off").await.unwrap();
    admin.execute("ALTER SYSTEM RESET default_transaction_read_only").await.unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    server.becomes_ready(true).await.unwrap();

    // What cannot grow: a trigger stands in for a full disk.
    does(
        &database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = \
         'disk_full'; END $$; CREATE TRIGGER full_disk BEFORE INSERT ON write_probe_filler EXECUTE FUNCTION full_disk()",
    )
    .await;
    server.becomes_ready(false).await.unwrap();
    assert!(told(&server, "is out of disk space").await);
    does(&database, "DROP TRIGGER full_disk ON write_probe_filler").await;
    server.becomes_ready(true).await.unwrap();
    let dev = server.connect(None).await.unwrap();
    dev.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_by_few_and_not_many_at_a_time() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let function = "ensure_custody_partitions(date, integer)";
    let others = format!("SELECT has_function_privilege('pg_monitor', '{function}', 'EXECUTE')::text");
    assert_eq!(shows(&database, &others).await, "false");
    does(&database, "SELECT ensure_custody_partitions(current_date, 32)").await;
    let mut connection = database.connect().await.unwrap();
    let many = connection.execute("SELECT ensure_custody_partitions(current_date, 33)").await.unwrap_err();
    assert!(many.to_string().contains("at most 32 days"), "{many}");
}
