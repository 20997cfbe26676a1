//! A migration under a server that is warmed up: every session has prepared its statements before.

use countersign_client::v1;
use countersign_integration::Cluster;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::{
    configuration::plain,
    lesser_role::{migrate, text},
    story,
    support::{World, decide, document, log, room},
};

/// Every table of ours; of a partitioned one, the parent.
const TABLES: &str = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'countersign'::regnamespace
    AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations' ORDER BY 1";
/// Every column of a text that no generated column, view or key of a partition needs as it is.
const TEXTS: &str = "SELECT format('ALTER TABLE %I ALTER COLUMN %I TYPE varchar', c.relname, a.attname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'countersign'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> '_sqlx_migrations' AND a.attnum > 0 AND a.atttypid = 'text'::regtype AND a.attgenerated = ''
    AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
        JOIN pg_attribute g ON g.attrelid = f.adrelid AND g.attnum = f.adnum
        WHERE d.refobjid = c.oid AND d.refobjsubid = a.attnum AND g.attgenerated <> '')
    ORDER BY 1";

/// A day of everybody: the story, a rollout, a stop, keys, an approval's list, and everything that can be read.
async fn day(world: &World, sponsor: &str) {
    story::play(world, sponsor).await;
    policies(world, sponsor).await;
    operators(world, sponsor).await;
    reads(world, sponsor).await;
}

async fn policies(world: &World, sponsor: &str) {
    let candidate = world.policy(&document(&format!("charge, {sponsor}"))).await;
    let request = v1::StartRolloutRequest { candidate, reason: "try it".to_owned(), ..Default::default() };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let run = world.run_of(sponsor).await;
    run.decide("search", "query").await.unwrap();
    let id = rollout.rollout_id;
    let pause = v1::PauseRolloutRequest { rollout_id: id.clone(), reason: "lunch".to_owned(), ..Default::default() };
    world.rita.rollouts().pause_rollout(pause).await.unwrap();
    let resume = v1::ResumeRolloutRequest { rollout_id: id.clone(), reason: "back".to_owned(), ..Default::default() };
    world.rita.rollouts().resume_rollout(resume).await.unwrap();
    world.rita.rollouts().get_rollout(v1::GetRolloutRequest { rollout_id: id.clone() }).await.unwrap();
    let undo = v1::RollbackRolloutRequest { rollout_id: id, reason: "enough".to_owned(), ..Default::default() };
    world.rita.rollouts().rollback_rollout(undo).await.unwrap();

    let engage = v1::EngageKillSwitchRequest {
        scope: v1::KillSwitchScope::Tool.into(),
        id: "search".to_owned(),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    let engaged = world.rita.policies().engage_kill_switch(engage).await.unwrap().into_inner();
    assert_eq!(run.decide("search", "query").await.unwrap().effect(), v1::Effect::Deny);
    let release = v1::ReleaseKillSwitchRequest {
        kill_switch_id: engaged.kill_switch.unwrap().kill_switch_id,
        reason: "over".to_owned(),
        ..Default::default()
    };
    world.oscar.policies().release_kill_switch(release).await.unwrap();
    let end = v1::RevokeInstanceRequest {
        agent_instance_id: run.id.clone(),
        reason: "over".to_owned(),
        ..Default::default()
    };
    world.rita.instances().revoke_instance(end).await.unwrap();
    assert_eq!(run.decide("search", "query").await.unwrap().effect(), v1::Effect::Deny);
}

async fn operators(world: &World, sponsor: &str) {
    let dev = world.server.connect(None).await.unwrap();
    let operator_id = format!("op-{sponsor}");
    let create = v1::CreateOperatorRequest {
        operator_id: operator_id.clone(),
        display_name: "Ivan".to_owned(),
        roles: vec!["auditor".to_owned()],
        ..Default::default()
    };
    dev.operators().create_operator(create).await.unwrap();
    let key = v1::CreateApiKeyRequest { operator_id: operator_id.clone(), ..Default::default() };
    let made = dev.operators().create_api_key(key).await.unwrap().into_inner();
    let ivan = world.server.connect(Some(&made.secret)).await.unwrap();
    ivan.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let end = v1::RevokeApiKeyRequest {
        key_id: made.api_key.unwrap().key_id,
        reason: "left".to_owned(),
        ..Default::default()
    };
    dev.operators().revoke_api_key(end).await.unwrap();
    dev.operators().list_operators(v1::ListOperatorsRequest::default()).await.unwrap();
    dev.operators().list_api_keys(v1::ListApiKeysRequest::default()).await.unwrap();
    dev.operators().list_person_bindings(v1::ListPersonBindingsRequest::default()).await.unwrap();
    dev.signing_keys().list_signing_keys(v1::ListSigningKeysRequest::default()).await.unwrap();
    dev.signing_keys()
        .rotate_signing_key(v1::RotateSigningKeyRequest { reason: "monthly".to_owned(), ..Default::default() })
        .await
        .unwrap();
}

async fn reads(world: &World, sponsor: &str) {
    let rita = &world.rita;
    let suspend = v1::SuspendSponsorRequest {
        sponsor_id: sponsor.to_owned(),
        reason: "holidays".to_owned(),
        ..Default::default()
    };
    world.oscar.sponsors().suspend_sponsor(suspend).await.unwrap();
    rita.sponsors().list_sponsors(v1::ListSponsorsRequest::default()).await.unwrap();
    let instances = rita.instances().list_instances(v1::ListInstancesRequest::default()).await.unwrap().into_inner();
    let agent_instance_id = instances.instances[0].agent_instance_id.clone();
    rita.instances().get_instance(v1::GetInstanceRequest { agent_instance_id }).await.unwrap();
    let decisions = rita.decisions().list_decisions(v1::ListDecisionsRequest::default()).await.unwrap().into_inner();
    let policy_decision_id = decisions.decisions[0].policy_decision_id.clone();
    rita.decisions().get_decision(v1::GetDecisionRequest { policy_decision_id }).await.unwrap();
    rita.custody().list_events(v1::ListEventsRequest::default()).await.unwrap();
    rita.approvals().list_approvals(v1::ListApprovalsRequest::default()).await.unwrap();
    rita.policies().list_policies(v1::ListPoliciesRequest::default()).await.unwrap();
    rita.policies().list_kill_switches(v1::ListKillSwitchesRequest::default()).await.unwrap();
    rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap();
    rita.status().get_indicators(v1::GetIndicatorsRequest::default()).await.unwrap();
}

/// Nothing in the server's log says that a statement was refused.
fn nothing_failed(world: &World) {
    let log = world.server.log();
    let bad: Vec<_> = log.lines().filter(|line| line.contains("cached plan") || line.contains(" ERROR ")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_while_every_table_gets_columns() {
    let world = World::start().await;
    day(&world, "bob").await;
    day(&world, "carol").await;
    let run = world.run_of("alice").await;
    let before = log(&world.database).await.len();

    let mut owner = world.database.connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut owner).await.unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    for table in &tables {
        let add = format!(
            "ALTER TABLE {table} ADD COLUMN later_text text, ADD COLUMN later_number bigint NOT NULL DEFAULT 7"
        );
        owner.execute(AssertSqlSafe(add)).await.unwrap();
        let answer = run.connection.decisions().decide(decide("search", "query")).await.unwrap().into_inner();
        assert_eq!(answer.effect(), v1::Effect::Allow, "after {table}");
    }
    day(&world, "dave").await;
    day(&world, "erin").await;
    assert!(log(&world.database).await.len() > before + tables.len());
    nothing_failed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_while_columns_change_their_type() {
    let world = World::start().await;
    day(&world, "bob").await;
    day(&world, "carol").await;
    let run = world.run_of("alice").await;

    let mut owner = world.database.connect().await.unwrap();
    let changes: Vec<String> = sqlx::query_scalar(TEXTS).fetch_all(&mut owner).await.unwrap();
    assert!(changes.len() > 30, "{changes:?}");
    for change in changes {
        owner.execute(AssertSqlSafe(change.clone())).await.unwrap();
        let answer = run.connection.decisions().decide(decide("search", "query")).await.unwrap().into_inner();
        assert_eq!(answer.effect(), v1::Effect::Allow, "after {change}");
    }
    day(&world, "dave").await;
    day(&world, "erin").await;
    nothing_failed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_the_migrations_and_changes_nothing() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, folder) = plain();
    let dry = |expected: bool| {
        let output = migrate(folder.path(), &database.url, &["--dry-run"]);
        assert_eq!(output.status.success(), expected, "{}", text(&output));
        text(&output)
    };
    let said = dry(true);
    assert!(said.contains("0001 ") && said.contains("Nothing was changed."), "{said}");
    let mut owner = database.connect().await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut owner).await.unwrap(), 0);

    assert!(migrate(folder.path(), &database.url, &[]).status.success());
    assert!(dry(true).contains("would change nothing"));
    let undo =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations) RETURNING version";
    let version: i64 = sqlx::query_scalar(undo).fetch_one(&mut owner).await.unwrap();
    let said = dry(true);
    assert!(said.contains("would run 1 migration(s)") && said.contains(&format!("{version:04} ")), "{said}");

    // Another version's, of which nothing is known here.
    owner
        .execute("INSERT INTO _sqlx_migrations VALUES (99999, 'of the next version', now(), true, '\\x00', 0)")
        .await
        .unwrap();
    let wet = migrate(folder.path(), &database.url, &[]);
    assert!(!wet.status.success());
    let start = launch.database(&database).start().await.err().unwrap().to_string();
    for said in [dry(false), text(&wet), start] {
        assert!(said.contains("start the version that ran `countersign migrate` last"), "{said}");
    }
}
