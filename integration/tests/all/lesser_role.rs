//! Serving as a database role that owns nothing: everything works, and what is on record cannot be changed with it.

use std::{
    path::Path,
    process::{Command, Output},
};

use countersign_client::v1;
use countersign_integration::{Cluster, Database, KEY_ENCRYPTION_KEY, Launch, Server, binary, connect};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::{
    configuration::plain,
    support::{Run, decide, eventually, issue, room, sha256},
};

/// A database, the role that owns it, and the one that is to serve; neither is a superuser.
struct Roles {
    database: Database,
    owner: String,
    server: String,
}

fn as_role(url: &str, role: &str) -> String {
    url.replace("user=countersign", &format!("user={role}"))
}

async fn does(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await?;
    connection.close().await
}

async fn shows(url: &str, statement: &str) -> String {
    let mut connection = connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// An empty database whose owner is no superuser.
async fn roles() -> Roles {
    let mut database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let name = shows(&database.url, "SELECT current_database()::text").await;
    let (owner, server) = (format!("{name}_owner"), format!("{name}_server"));
    for role in [&owner, &server] {
        // The cluster of an earlier run may have one.
        does(&database.url, &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")).await.unwrap();
    }
    does(&database.url, &format!("ALTER DATABASE {name} OWNER TO {owner}")).await.unwrap();
    database.serving_url = as_role(&database.url, &server);
    Roles { database, owner, server }
}

pub(crate) fn migrate(folder: &Path, url: &str, args: &[&str]) -> Output {
    Command::new(binary().unwrap())
        .args(["migrate", "--token-service-config", "token-service-config.yml", "--data-dir", "data"])
        .args(args)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY)
        .current_dir(folder)
        .output()
        .unwrap()
}

impl Roles {
    fn owners_url(&self) -> String {
        as_role(&self.database.url, &self.owner)
    }

    /// Migrates as the owner and makes the other role ready.
    fn grant(&self) -> String {
        let (_, folder) = plain();
        let output = migrate(folder.path(), &self.owners_url(), &["--grant-to", &self.server]);
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        said
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

async fn warnings(server: &Server) -> Vec<String> {
    let dev = server.connect(None).await.unwrap();
    dev.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner().warnings
}

/// What a server says that does not start.
async fn refusal(database: &Database) -> String {
    let (launch, _folder) = plain();
    launch.database(database).start().await.unwrap_err().to_string()
}

/// Issue, decide, record, delegate, rotate the key, revoke: through this server.
pub(crate) async fn everything(server: &Server) {
    let dev = server.connect(None).await.unwrap();
    let issued = dev.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let connection = dev.with_token(&issued.token).unwrap();
    let run = Run { token: issued.token, id: issued.agent_instance_id, connection, log_index: issued.log_index };
    let allowed = run.decide("billing", "refund").await.unwrap();
    assert_eq!(allowed.effect(), v1::Effect::Allow);
    let outcome = v1::RecordToolCallRequest {
        policy_decision_id: allowed.policy_decision_id,
        outcome: v1::ToolCallOutcome::Success.into(),
        response_hash: sha256("refunded"),
        ..Default::default()
    };
    run.connection.custody().record_tool_call(outcome).await.unwrap();
    let child = run.child().await;
    assert_eq!(child.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    let rotate = v1::RotateSigningKeyRequest { reason: "a drill".to_owned(), ..Default::default() };
    dev.signing_keys().rotate_signing_key(rotate).await.unwrap();
    let revoke = v1::RevokeInstanceRequest {
        agent_instance_id: run.id.clone(),
        reason: "a drill".to_owned(),
        ..Default::default()
    };
    dev.instances().revoke_instance(revoke).await.unwrap();
    let stopped = child.connection.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner();
    assert_eq!(stopped.effect(), v1::Effect::Deny);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_owns_nothing_serves() {
    let _room = room().await;
    let roles = roles().await;
    // Nothing is there, and the role may not make it.
    let said = refusal(&roles.database).await;
    let command = format!("countersign migrate --grant-to {}", roles.server);
    assert!(said.contains("the schema is not up to date") && said.contains(&command), "{said}");

    let said = roles.grant();
    // A mere owner may not set what the sessions of another role begin with, and is told how it is done.
    let alter = format!("ALTER ROLE \"{}\" IN DATABASE", roles.server);
    assert!(said.contains(&alter), "{said}");
    let statements = said.lines().filter(|line| line.starts_with("ALTER ROLE")).collect::<Vec<_>>().join("\n");
    does(&roles.database.url, &statements).await.unwrap();
    let set = shows(&roles.database.serving_url, "SELECT current_setting('statement_timeout')").await;
    assert_eq!(set, "10s");

    let launch = || Launch::dev().database(&roles.database);
    let server = launch().start().await.unwrap();
    everything(&server).await;
    let warned = warnings(&server).await;
    assert!(!warned.iter().any(|warning| warning.contains("database role")), "{warned:?}");
    let owners = "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') || ' ' || (count(*) > 3)::text FROM pg_class \
                  JOIN pg_inherits ON inhrelid = oid WHERE inhparent = 'custody_event'::regclass";
    assert_eq!(shows(&roles.database.url, owners).await, format!("{} true", roles.owner), "partitions");

    // Beside the server, and again.
    roles.grant();
    let second = launch().start().await.unwrap();
    everything(&second).await;
    everything(&server).await;
    nothing_can_be_changed(&roles).await;
}

/// What whoever has the server's role, and not the server alone, cannot do.
async fn nothing_can_be_changed(roles: &Roles) {
    // The servers go on adding to it.
    let size = shows(&roles.database.url, "SELECT count(*)::text FROM custody_event").await;
    let events = format!(
        "SELECT md5(string_agg(e::text, '|' ORDER BY log_index)) FROM custody_event e WHERE log_index < {size}"
    );
    let before = shows(&roles.database.url, &events).await;
    let partition = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'custody_event'::regclass \
                     AND inhrelid <> 'custody_event_default'::regclass";
    let partition = shows(&roles.database.url, partition).await;
    let owner = &roles.owner;
    let mut statements = vec![
        "DROP FUNCTION custody_event_is_append_only() CASCADE".to_owned(),
        "CREATE OR REPLACE FUNCTION ensure_custody_partitions(date, integer) RETURNS void LANGUAGE sql AS ''"
            .to_owned(),
        "SET session_replication_role = replica".to_owned(),
        format!("SET ROLE {owner}"),
        "DROP SCHEMA public CASCADE".to_owned(),
        "DROP SCHEMA countersign CASCADE".to_owned(),
        "CREATE TABLE countersign.mine (id int)".to_owned(),
        "CREATE TABLE public.mine (id int)".to_owned(),
        "DELETE FROM revocation".to_owned(),
        "DELETE FROM operator".to_owned(),
        "DELETE FROM _sqlx_migrations".to_owned(),
        "DROP TABLE log_head".to_owned(),
        "DELETE FROM tool_call".to_owned(),
    ];
    for table in ["custody_event", "custody_event_default", &partition] {
        statements.extend([
            format!("UPDATE {table} SET purpose = NULL"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("ALTER TABLE {table} ADD COLUMN more text"),
            format!("ALTER TABLE {table} OWNER TO {}", roles.server),
            format!("DROP TABLE {table}"),
            format!("CREATE RULE quiet AS ON INSERT TO {table} DO INSTEAD NOTHING"),
            format!(
                "CREATE TRIGGER other BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            ),
        ]);
    }
    for statement in statements {
        let refused = does(&roles.database.serving_url, &statement).await;
        let code = refused
            .as_ref()
            .err()
            .and_then(|error| error.as_database_error()?.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused:?}");
        let said = refused.unwrap_err().to_string();
        assert!(!said.contains("append-only"), "only the trigger refused: {statement}");
    }
    assert_eq!(shows(&roles.database.url, &events).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_could_change_events_is_refused() {
    let _room = room().await;
    let roles = roles().await;
    let (_, folder) = plain();
    let (name, owner) = (&roles.server, roles.owners_url());
    let grant = |url: &str, role: &str| {
        let output = migrate(folder.path(), url, &["--grant-to", role]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };
    let nobody = grant(&owner, "nobody_of_that_name");
    assert!(nobody.contains("there is no database role") && nobody.contains("CREATE ROLE"), "{nobody}");
    assert!(grant(&owner, "public").contains("there is no database role"));
    assert!(grant(&owner, "countersign").contains("is a superuser"));
    assert!(grant(&owner, &roles.owner).contains("owns the tables"));
    for (give, take, why) in [
        (
            format!("GRANT {} TO {name}", roles.owner),
            format!("REVOKE {} FROM {name}", roles.owner),
            "a member of the role that does",
        ),
        (format!("ALTER ROLE {name} CREATEROLE"), format!("ALTER ROLE {name} NOCREATEROLE"), "may create roles"),
        (
            format!("GRANT pg_write_server_files TO {name}"),
            format!("REVOKE pg_write_server_files FROM {name}"),
            "is or can become one",
        ),
        (
            format!("GRANT pg_write_all_data TO {name}"),
            format!("REVOKE pg_write_all_data FROM {name}"),
            "may change or empty",
        ),
        (
            "GRANT TRUNCATE ON custody_event TO PUBLIC".to_owned(),
            "REVOKE TRUNCATE ON custody_event FROM PUBLIC".to_owned(),
            "because PUBLIC may",
        ),
    ] {
        does(&roles.database.url, &give).await.unwrap();
        let said = grant(&owner, name);
        assert!(said.contains(why), "{give}: {said}");
        does(&roles.database.url, &take).await.unwrap();
    }
    // What it was given too much is taken away.
    does(&roles.database.url, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")).await.unwrap();
    roles.grant();
    let may =
        format!("SELECT has_table_privilege('{name}', 'custody_event', 'UPDATE, DELETE, TRUNCATE, TRIGGER')::text");
    assert_eq!(shows(&roles.database.url, &may).await, "false");
    // The lesser role itself grants nothing.
    let said = text(&migrate(folder.path(), &roles.database.serving_url, &["--grant-to", name]));
    assert!(said.contains("does not own the tables"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesser_role_without_migrations_or_rights_is_told_so() {
    let _room = room().await;
    let roles = roles().await;
    let (_, folder) = plain();
    // Migrated, and nobody told the role.
    assert!(migrate(folder.path(), &roles.owners_url(), &[]).status.success());
    let command = format!("countersign migrate --grant-to {}", roles.server);
    let said = refusal(&roles.database).await;
    assert!(said.contains("SELECT on _sqlx_migrations") && said.contains(&command), "{said}");
    roles.grant();
    // As after a migration of the next release without --grant-to.
    does(&roles.database.url, &format!("REVOKE INSERT ON approval FROM {}", roles.server)).await.unwrap();
    let said = refusal(&roles.database).await;
    assert!(said.contains("INSERT on approval") && said.contains(&command), "{said}");
    roles.grant();
    // As before it.
    does(
        &roles.database.url,
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .await
    .unwrap();
    let said = refusal(&roles.database).await;
    assert!(said.contains("1 migration(s) are missing") && said.contains(&command), "{said}");
    does(&roles.database.url, "INSERT INTO _sqlx_migrations VALUES (99999, 'later', now(), true, '\\x00', 0)")
        .await
        .unwrap();
    let said = refusal(&roles.database).await;
    assert!(said.contains("another version of Countersign"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_warned_of_and_dev_serves_as_a_lesser_role() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let server = Launch::dev().database(&database).start().await.unwrap();
    let warned = warnings(&server).await;
    assert!(warned.iter().any(|warning| warning.contains("database role is a superuser")), "{warned:?}");
    assert_eq!(server.log().matches("database role is a superuser").count(), 1, "{}", server.log());
    assert!(server.log().contains("--grant-to"), "{}", server.log());
    drop(server);

    let server = Launch::dev().start().await.unwrap();
    let warned = warnings(&server).await;
    assert!(!warned.iter().any(|warning| warning.contains("database role")), "{warned:?}");
    assert!(server.log().contains("as user countersign_server"), "{}", server.log());
    eventually("it is ready", async || server.ready().await.is_ok()).await;
}
