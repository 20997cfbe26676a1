//! Where the tables are: in a schema of their own, where somebody's `search_path` leads, or in `public`, from where they move.

use countersign_integration::{Cluster, Database, Launch};
use countersign_postgres::SERVING_ROLE;
use countersign_store::{Options, lesser_role as store_role, schema};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::{
    configuration::plain,
    lesser_role::{everything, migrate, text},
    support::room,
};

/// Which schemas have tables, and how many of our kinds of things there are in each.
const SCHEMAS: &str = "SELECT coalesce(string_agg(schemaname || ' ' || tables, ', ' ORDER BY schemaname), '') FROM (
    SELECT schemaname, count(*) FILTER (WHERE tablename !~ '^custody_event_[0-9]')::text AS tables FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1) AS counted";
const FUNCTIONS: &str = "SELECT string_agg(DISTINCT pronamespace::regnamespace::text, ' ') FROM pg_proc
    WHERE proname IN ('uuid_v7_floor', 'ensure_custody_partitions', 'instance_standing', 'custody_event_is_append_only')";
const EVENTS: &str = "SELECT count(*)::text FROM custody_event";

async fn does(database: &Database, statements: &str) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

async fn shows(database: &Database, statement: &str) -> String {
    let mut connection = database.connect().await.unwrap();
    let shown = sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    shown
}

async fn empty() -> Database {
    Cluster::shared().await.unwrap().empty_database().await.unwrap()
}

/// How many tables an installation has, its partitions of days left away.
async fn tables() -> String {
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let schemas = shows(&database, SCHEMAS).await;
    schemas.strip_prefix("countersign ").unwrap().to_owned()
}

/// An installation as older versions made it, to which servers come as a role that owns nothing.
async fn older() -> Database {
    let mut database = empty().await;
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    schema::migrate(&mut owner, false).await.unwrap();
    store_role::ensure(&mut owner, SERVING_ROLE).await.unwrap();
    let options = Options { own_schema: false, ..Options::new(database.url.parse().unwrap()) };
    store_role::grant(&mut owner, SERVING_ROLE, &options).await.unwrap();
    owner.close().await.unwrap();
    database.serving_url = database.url.replace("user=countersign", &format!("user={SERVING_ROLE}"));
    database
}

fn move_schema(database: &Database) -> (bool, String) {
    let (_, folder): (_, TempDir) = plain();
    let output = migrate(folder.path(), &database.url, &["--move-schema"]);
    (output.status.success(), text(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_installation_is_in_a_schema_of_its_own_beside_those_of_others() {
    let _room = room().await;
    let database = empty().await;
    does(
        &database,
        "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, checksum bytea NOT NULL, success boolean NOT NULL);
         INSERT INTO _sqlx_migrations VALUES (1, '\\x00', true); CREATE TABLE operator (id int);
         REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    .await;
    let (launch, _folder) = plain();
    drop(launch.database(&database).start().await.unwrap());
    let expected = format!("countersign {}, public 2", tables().await);
    assert_eq!(shows(&database, SCHEMAS).await, expected);
    assert_eq!(shows(&database, FUNCTIONS).await, "countersign");
    // And found again.
    let (launch, _folder) = plain();
    drop(launch.database(&database).start().await.unwrap());
    assert_eq!(shows(&database, SCHEMAS).await, expected);
    assert!(!move_schema(&database).1.contains("are now in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_where_a_search_path_leads_that_somebody_set() {
    let _room = room().await;
    let database = empty().await;
    does(&database, "CREATE SCHEMA cs; CREATE TABLE public._sqlx_migrations (id int)").await;
    let led = Database::of(format!("{}&options=-csearch_path%3Dcs", database.url));
    for _ in 0..2 {
        let (launch, _folder) = plain();
        drop(launch.database(&led).start().await.unwrap());
    }
    assert_eq!(shows(&database, SCHEMAS).await, format!("cs {}, public 1", tables().await));
    assert_eq!(shows(&database, FUNCTIONS).await, "cs");
    let (done, said) = move_schema(&led);
    assert!(!done && said.contains("a search_path is set"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_run_all_or_none() {
    let _room = room().await;
    let database = empty().await;
    // In the way of the last table that is made.
    does(&database, "CREATE SCHEMA countersign; CREATE TABLE countersign.pending_in_the_way (id int)").await;
    does(&database, "CREATE VIEW countersign.write_probe_filler AS SELECT 1 AS a").await;
    let (launch, _folder) = plain();
    let said = launch.database(&database).start().await.unwrap_err().to_string();
    assert!(said.contains("write_probe_filler"), "{said}");
    assert_eq!(shows(&database, SCHEMAS).await, "countersign 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_installation_moves_whole_and_only_while_no_server_is_connected() {
    let _room = room().await;
    let database = older().await;
    let server = Launch::dev().database(&database).start().await.unwrap();
    everything(&server).await;
    assert!(shows(&database, SCHEMAS).await.starts_with("public "), "it serves where its tables are");

    let (done, said) = move_schema(&database);
    assert!(!done && said.contains("servers are connected") && said.contains(SERVING_ROLE), "{said}");
    assert_eq!(shows(&database, FUNCTIONS).await, "public");
    drop(server);

    let events = shows(&database, EVENTS).await;
    let (done, said) = move_schema(&database);
    assert!(done && said.contains("now in the schema `countersign`"), "{said}");
    assert_eq!(shows(&database, EVENTS).await, events);
    // One is left, for servers of older versions.
    assert_eq!(shows(&database, SCHEMAS).await, format!("countersign {}, public 1", tables().await));
    assert_eq!(shows(&database, FUNCTIONS).await, "countersign");
    let (done, said) = move_schema(&database);
    assert!(done && said.contains("already"), "{said}");

    // What an older version would do, whose owner's name is not that of the schema.
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("SET search_path = public").await.unwrap();
    let refused = schema::migrate(&mut connection, false).await.unwrap_err().to_string();
    assert!(refused.contains("moved_to_schema") || refused.contains("version"), "{refused}");
    connection.close().await.unwrap();

    // Nor does it choose where an older one was made all the same.
    does(&database, "ALTER TABLE public._sqlx_migrations RENAME TO aside").await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("SET search_path = public").await.unwrap();
    schema::migrate(&mut connection, false).await.unwrap();
    connection.close().await.unwrap();
    let said = Launch::dev().database(&Database::of(database.url.clone())).start().await.unwrap_err().to_string();
    assert!(said.contains("one installation in the schema `countersign` and another in `public`"), "{said}");
    does(&database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;

    // The role that serves needs nothing new, and makes partitions there.
    let server = Launch::dev().database(&database).start().await.unwrap();
    everything(&server).await;
    let mut serving = PgConnection::connect(&database.serving_url).await.unwrap();
    serving.execute("SELECT countersign.ensure_custody_partitions(current_date + 200, 2)").await.unwrap();
    serving.close().await.unwrap();
    let outside = "SELECT count(*)::text FROM pg_class JOIN pg_inherits ON inhrelid = oid
                   WHERE inhparent = 'custody_event'::regclass AND relnamespace <> 'countersign'::regnamespace";
    assert_eq!(shows(&database, outside).await, "0");
    assert!(shows(&database, EVENTS).await.parse::<u32>().unwrap() > events.parse().unwrap());
}
