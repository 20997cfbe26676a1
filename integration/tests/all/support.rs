//! What the tests have in common.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, Launch, Proxy, Server, record};
use serde_json::Value;
use sqlx::Row as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Code, Response, Status};
use tonic_types::{ErrorInfo, StatusExt as _};

/// Worlds at a time: each holds up to thirty of the Postgres' 100 connections.
static ROOM: Semaphore = Semaphore::const_new(3);

/// A dev server on a database of its own, and the people who use it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) database: Database,
    /// registrar, issuer, gate, policy-admin, auditor
    pub(crate) rita: Connection,
    /// approver, policy-admin, auditor
    pub(crate) oscar: Connection,
    _room: SemaphorePermit<'static>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|launch| launch).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(Launch) -> Launch) -> Self {
        let room = room().await;
        let database = Cluster::shared().await.unwrap().database().await.unwrap();
        let server = change(Launch::dev().database(&database)).start().await.unwrap();
        let rita = server.operator("rita").await.unwrap();
        let oscar = server.operator("oscar").await.unwrap();
        Self { server, database, rita, oscar, _room: room }
    }

    /// A world whose server reaches its database through a proxy.
    pub(crate) async fn start_behind_proxy() -> (Self, Proxy) {
        let room = room().await;
        let database = Cluster::shared().await.unwrap().database().await.unwrap();
        let (proxy, through) = Proxy::to_database(&database).await.unwrap();
        let server = Launch::dev().database(&through).start().await.unwrap();
        let rita = server.operator("rita").await.unwrap();
        let oscar = server.operator("oscar").await.unwrap();
        (Self { server, database, rita, oscar, _room: room }, proxy)
    }

    /// Another server on the same database.
    pub(crate) async fn second(&self) -> Server {
        Launch::dev().database(&self.database).start().await.unwrap()
    }

    /// Registered by rita, approved by oscar.
    pub(crate) async fn sponsor(&self, id: &str) {
        self.rita.sponsors().register_sponsor(register(id)).await.unwrap();
        self.oscar.sponsors().approve_sponsor(approve(id)).await.unwrap();
    }

    /// Lets the review of an ACTIVE sponsor lapse, and waits until the clock has suspended them.
    pub(crate) async fn let_review_lapse(&self, id: &str) {
        let mut connection = self.database.connect().await.unwrap();
        let statement = "UPDATE sponsor SET review_due_at = now() - interval '1 second' WHERE sponsor_id = $1";
        sqlx::query(statement).bind(id).execute(&mut connection).await.unwrap();
        eventually("the sponsor is suspended", async || {
            let request = v1::GetSponsorRequest { sponsor_id: id.to_owned() };
            let sponsor = self.rita.sponsors().get_sponsor(request).await.unwrap().into_inner().sponsor.unwrap();
            sponsor.state() == v1::SponsorState::Suspended && sponsor.suspend_cause() == v1::SuspendCause::ReviewLapsed
        })
        .await;
    }

    /// A support run of this sponsor, with a connection of its own.
    pub(crate) async fn run_of(&self, sponsor: &str) -> Run {
        self.run_with(issue(sponsor), &["billing", "search"]).await
    }

    /// A run as asked for, with these tools.
    pub(crate) async fn run_with(&self, request: v1::IssueCredentialRequest, tools: &[&str]) -> Run {
        let request = v1::IssueCredentialRequest { tools: tools.iter().map(ToString::to_string).collect(), ..request };
        let issued = self.rita.credentials().issue_credential(request).await.unwrap().into_inner();
        record::secret(&issued.token);
        let connection = self.rita.with_token(&issued.token).unwrap();
        Run { token: issued.token, id: issued.agent_instance_id, connection, log_index: issued.log_index }
    }

    /// Stores a document and returns its version.
    pub(crate) async fn policy(&self, document: &str) -> String {
        let request = v1::CreatePolicyRequest { document: document.to_owned(), ..Default::default() };
        let created = self.rita.policies().create_policy(request).await.unwrap().into_inner();
        created.policy.unwrap().version
    }

    /// The custody log as it stands in the database.
    pub(crate) async fn log(&self) -> Vec<Event> {
        log(&self.database).await
    }

    /// How many events there are.
    pub(crate) async fn log_size(&self) -> i64 {
        let mut connection = self.database.connect().await.unwrap();
        sqlx::query_scalar("SELECT size FROM log_head").fetch_one(&mut connection).await.unwrap()
    }

    /// One of the server's counters; 0 where it has not counted yet.
    pub(crate) async fn counted(&self, series: &str) -> f64 {
        counted(&self.server, series).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            record::database(&self.database.url);
        }
    }
}

/// A dev server on a Postgres of its own, that can be stopped.
pub(crate) struct Island {
    pub(crate) cluster: Cluster,
    pub(crate) server: Server,
    /// Anonymous: may do everything.
    pub(crate) dev: Connection,
    _folder: tempfile::TempDir,
    _room: SemaphorePermit<'static>,
}

impl Island {
    pub(crate) async fn start() -> Self {
        let room = room().await;
        let folder = open_folder();
        let cluster = Cluster::start(folder.path().join("cluster")).await.unwrap();
        let database = cluster.database().await.unwrap();
        let server = Launch::dev().database(&database).start().await.unwrap();
        let dev = server.connect(None).await.unwrap();
        Self { cluster, server, dev, _folder: folder, _room: room }
    }
}

/// A folder that a Postgres of another user may be in, below.
pub(crate) fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o711);
    tempfile::Builder::new().prefix("countersign-test-").permissions(mode).tempdir().unwrap()
}

/// A run of an agent.
pub(crate) struct Run {
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) connection: Connection,
    pub(crate) log_index: i64,
}

impl Run {
    pub(crate) async fn decide(&self, tool: &str, action: &str) -> Result<v1::DecideResponse, Status> {
        self.connection.decisions().decide(decide(tool, action)).await.map(Response::into_inner)
    }

    /// A run that this one started, with the same tools.
    pub(crate) async fn child(&self) -> Self {
        let request = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
        let issued = self.connection.credentials().delegate_credential(request).await.unwrap().into_inner();
        let connection = self.connection.with_token(&issued.token).unwrap();
        Self { token: issued.token, id: issued.agent_instance_id, connection, log_index: issued.log_index }
    }

    pub(crate) fn on(&self, server: &Connection) -> Self {
        let connection = server.with_token(&self.token).unwrap();
        Self { token: self.token.clone(), id: self.id.clone(), connection, log_index: self.log_index }
    }
}

/// Waits until `holds`, for what goes on in the background.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("after 30 s still not: {what}");
}

/// Keeps the number of worlds down; for tests that make their own.
pub(crate) async fn room() -> SemaphorePermit<'static> {
    ROOM.acquire().await.unwrap()
}

/// One event of the log.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) index: i64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf: Value,
}

impl Event {
    /// A text of the leaf; empty where it has none of that name.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.leaf[field].as_str().unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("kind")
    }
}

pub(crate) async fn log(database: &Database) -> Vec<Event> {
    let mut connection = database.connect().await.unwrap();
    let rows = sqlx::query("SELECT log_index, leaf_bytes FROM custody_event ORDER BY log_index")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let bytes: Vec<u8> = row.get("leaf_bytes");
            Event { index: row.get("log_index"), leaf: serde_json::from_slice(&bytes).unwrap(), bytes }
        })
        .collect()
}

/// Everything but the log and what each start adds: for seeing that nothing has changed.
pub(crate) async fn tables(database: &Database) -> Vec<String> {
    let mut connection = database.connect().await.unwrap();
    let mut rows = Vec::new();
    for table in [
        "sponsor",
        "instance",
        "policy",
        "active_policy",
        "rollout",
        "revocation",
        "tool_call",
        "kill_switch",
        "log_head",
    ] {
        let statement = sqlx::AssertSqlSafe(format!("SELECT '{table}' || t::text FROM {table} t ORDER BY 1"));
        rows.extend(sqlx::query_scalar::<_, String>(statement).fetch_all(&mut connection).await.unwrap());
    }
    rows
}

pub(crate) async fn counted(server: &Server, series: &str) -> f64 {
    let page = server.http(None).get("/metrics").await.unwrap().text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// The refusal's `google.rpc.ErrorInfo`, which must be of this code and reason.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> ErrorInfo {
    let status = result.expect_err("this was to be refused");
    record::output("errors", format!("{status:?} {}\n", String::from_utf8_lossy(status.details())).as_bytes());
    let info = info(&status);
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{}", status.message());
    assert_eq!(info.domain, "countersign");
    info
}

/// A status' `google.rpc.ErrorInfo`; every status of the server has one.
#[track_caller]
pub(crate) fn info(status: &Status) -> ErrorInfo {
    status.get_details_error_info().unwrap_or_else(|| panic!("a status without ErrorInfo: {status:?}"))
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let named = status.get_details_bad_request().map(|request| request.field_violations);
    named.into_iter().flatten().map(|violation| violation.field).collect()
}

pub(crate) fn sha256(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

pub(crate) fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

pub(crate) fn register(id: &str) -> v1::RegisterSponsorRequest {
    v1::RegisterSponsorRequest {
        sponsor_id: id.to_owned(),
        display_name: "Somebody Known".to_owned(),
        email: format!("{id}@example.com"),
        person_id: id.to_owned(),
        roles: vec!["support".to_owned(), "user".to_owned()],
        ..Default::default()
    }
}

/// Of a sponsor as registered.
pub(crate) fn approve(id: &str) -> v1::ApproveSponsorRequest {
    let (sponsor_id, reason, etag) = (id.to_owned(), "known in person".to_owned(), "1".to_owned());
    v1::ApproveSponsorRequest { sponsor_id, reason, etag, ..Default::default() }
}

pub(crate) fn issue(sponsor: &str) -> v1::IssueCredentialRequest {
    v1::IssueCredentialRequest {
        sponsor_id: sponsor.to_owned(),
        agent: "support-assistant".to_owned(),
        role: "support".to_owned(),
        tools: vec!["billing".to_owned(), "search".to_owned()],
        purpose: "triage ticket 4711".to_owned(),
        ..Default::default()
    }
}

pub(crate) fn decide(tool: &str, action: &str) -> v1::DecideRequest {
    v1::DecideRequest { tool_id: tool.to_owned(), action: action.to_owned(), ..Default::default() }
}

/// A policy under which support may do these actions with billing, and nothing else is allowed.
pub(crate) fn document(actions: &str) -> String {
    format!(
        "roles:\n  - id: support\n    tools: [billing, search]\n    max_ttl_seconds: 300\n  - id: user\n    tools: [search]\n    \
         max_ttl_seconds: 60\nrules:\n  - id: support-billing\n    role: support\n    tool: billing\n    allowed_actions: [{actions}]\n"
    )
}
