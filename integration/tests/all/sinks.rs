//! Sinks, as real receivers take them: files, OpenSearch over `_bulk`, and OpenTelemetry's collector.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use countersign_integration::{Http, Launch, Server};
use countersign_ledger::{
    export::leaf_from_export,
    siem::{Form, carried},
};
use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;

use crate::{
    foreign,
    support::{World, decide, eventually},
    traces::Collector,
    webhooks::with,
};

/// A folder with a configuration that has these sinks.
fn configured(sinks: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("countersign.yaml"), format!("sinks:\n{sinks}")).unwrap();
    folder
}

async fn second(world: &World, folder: &TempDir) -> Server {
    with(Launch::dev().database(&world.database), folder).start().await.unwrap()
}

/// So many decisions of one run.
async fn calls(world: &World, count: usize) {
    let run = world.run_of("alice").await;
    for _ in 0..count {
        run.connection.decisions().decide(decide("billing", "refund")).await.unwrap();
    }
}

/// The bytes of all events of the log, in its order.
async fn log(world: &World) -> Vec<Vec<u8>> {
    let mut connection = world.database.connect().await.unwrap();
    let rows = sqlx::query("SELECT leaf_bytes FROM custody_event ORDER BY log_index");
    rows.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The files in a folder, one after the other.
fn text(folder: &Path) -> String {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// All whole lines of the files in a folder.
fn lines(folder: &Path) -> Vec<Value> {
    text(folder).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Each event of the log is among `sent` once, in the order of the log, byte for byte.
#[track_caller]
fn is_the_log(sent: &[Value], log: &[Vec<u8>]) {
    assert_eq!(sent.len(), log.len());
    for (nth, (sent, leaf)) in sent.iter().zip(log).enumerate() {
        let exported = leaf_from_export(sent).unwrap();
        assert_eq!((exported.log_index, &exported.leaf_bytes), (nth as u64, leaf));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_the_log_once_and_in_order_whatever_is_killed() {
    let folder = configured("  - {name: files, kind: file, folder: logs}\n");
    let mut world = World::start_with(|launch| with(launch, &folder)).await;
    let logs = folder.path().join("logs");
    calls(&world, 20).await;
    eventually("the first events are there", async || lines(&logs).len() > 10).await;
    // Two servers, one of which is killed while both have something to forward, and a line that a crash cut off.
    let other = second(&world, &folder).await;
    calls(&world, 100).await;
    world.server.kill();
    let newest = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(newest).unwrap();
    file.write_all(b"{\"cut\":").unwrap();
    let mut connection = world.database.connect().await.unwrap();
    // Instead of waiting for a minute and a half.
    sqlx::query("UPDATE sink SET lease_end = '-infinity'").execute(&mut connection).await.unwrap();
    let whole = async || text(&logs).ends_with('\n') && lines(&logs).len() == log(&world).await.len();
    eventually("the other server goes on", whole).await;
    is_the_log(&lines(&logs), &log(&world).await);
    let metrics = other.http(None).send(Method::GET, "/metrics", &[], Vec::new().into()).await.unwrap().text();
    assert!(metrics.contains("countersign_sink_lag_events{sink=\"files\"}"), "{metrics}");
}

/// A node of OpenSearch. It ends with its standard input, and so with the tests.
struct OpenSearch {
    process: Child,
    http: Http,
    port: u16,
    home: TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl OpenSearch {
    async fn start() -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), free_port());
        Self::run(home, port).await
    }

    async fn run(home: TempDir, port: u16) -> Self {
        foreign::install("opensearch").await;
        let folder = foreign::folder("opensearch");
        let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/foreign/opensearch/lib/*");
        let mut command = Command::new("java");
        command.args(["-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()));
        command.arg("-cp").arg(jars).arg(folder.join("Server.java")).arg(home.path()).arg(port.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        tokio::task::spawn_blocking(move || {
            let started = said.lines().map_while(Result::ok).any(|line| line == "started");
            assert!(started, "OpenSearch does not start");
        })
        .await
        .unwrap();
        let http = Http::new(([127, 0, 0, 1], port).into(), None);
        Self { process, http, port, home }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let headers = [("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.http.send(method, path, &headers, body.into()).await.unwrap();
        serde_json::from_str(&answer.text()).unwrap()
    }

    /// What it has, by rising log index.
    async fn documents(&self) -> Vec<Value> {
        self.ask(Method::POST, "/custody/_refresh", Value::Null).await;
        let found = self.ask(Method::POST, "/custody/_search", json!({"size": 10_000})).await;
        let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<Value> = hits.into_iter().map(|hit| hit["_source"].clone()).collect();
        found
            .sort_by_key(|one| carried(Form::Ecs, one).unwrap()["log_index"].as_str().unwrap().parse::<u64>().unwrap());
        found
    }

    /// It is killed; what it stored stays.
    fn kill(mut self) -> (TempDir, u16) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let home = std::mem::replace(&mut self.home, tempfile::tempdir().unwrap());
        (home, self.port)
    }
}

impl Drop for OpenSearch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_has_each_event_once_though_it_is_killed_and_what_it_refuses_is_noted() {
    let search = OpenSearch::start().await;
    let mappings = json!({"mappings": {"dynamic": false, "properties": {}}});
    search.ask(Method::PUT, "/custody", mappings).await;
    let sink =
        format!("  - {{name: siem, kind: elasticsearch, url: 'http://127.0.0.1:{}', index: custody}}\n", search.port);
    let folder = configured(&sink);
    let world = World::start_with(|launch| with(launch, &folder)).await;
    calls(&world, 20).await;
    eventually("the first events are there", async || search.documents().await.len() > 10).await;

    let (home, port) = search.kill();
    calls(&world, 600).await;
    let search = OpenSearch::run(home, port).await;
    let events = log(&world).await;
    let wait = tokio::time::timeout(Duration::from_secs(90), async {
        while search.documents().await.len() < log(&world).await.len() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    wait.await.expect("the rest arrives after the outage");
    let sent: Vec<_> = search.documents().await.iter().map(|one| carried(Form::Ecs, one).unwrap()).collect();
    assert!(events.len() > 600);
    is_the_log(&sent, &log(&world).await);

    // From now on the type of one field refuses what only decisions say.
    let typed = json!({"properties": {"rule": {"properties": {"id": {"type": "long"}}}}});
    search.ask(Method::PUT, "/custody/_mapping", typed).await;
    let before = log(&world).await.len();
    calls(&world, 1).await;
    world.sponsor("carol").await;
    let refused = async || {
        let mut connection = world.database.connect().await.unwrap();
        let rows = sqlx::query("SELECT why FROM sink_refusal WHERE sink = 'siem' ORDER BY log_index");
        rows.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let all = async || search.documents().await.len() + refused().await.len() == log(&world).await.len();
    eventually("each event is taken or refused", all).await;
    assert!(log(&world).await.len() > before);
    let refused = refused().await;
    assert!(!refused.is_empty() && refused[0].contains("mapper_parsing_exception"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_each_event_as_a_log_record() {
    let collector = Collector::start().await;
    let sink = format!("  - {{name: otel, kind: otlp_logs, url: 'http://{}'}}\n", collector.http);
    let folder = configured(&sink);
    let world = World::start_with(|launch| with(launch, &folder)).await;
    calls(&world, 20).await;
    let records = || -> Vec<Value> {
        let lines = collector.logs();
        let resources = lines.iter().flat_map(|line| line["resourceLogs"].as_array().unwrap().clone());
        let scopes: Vec<_> = resources.flat_map(|one| one["scopeLogs"].as_array().unwrap().clone()).collect();
        let records = scopes.iter().flat_map(|one| one["logRecords"].as_array().unwrap());
        records.map(|record| carried(Form::Otel, record).unwrap()).collect()
    };
    eventually("all events are there", async || records().len() >= log(&world).await.len()).await;
    is_the_log(&records(), &log(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_as_it_was_recorded_is_not_sent_and_nothing_after_it() {
    let changes = [
        ("UPDATE custody_event SET leaf_bytes = leaf_bytes || ' ' WHERE log_index = 20", "is not the one"),
        ("DELETE FROM custody_event WHERE log_index = 20", "is missing from the log"),
        ("UPDATE log_tile SET hashes = substring(hashes FOR 20 * 32) WHERE level = 0", "is not the one"),
    ];
    for (change, why) in changes {
        let folder = configured("  - {name: files, kind: file, folder: logs}\n");
        let world = World::start_with(|launch| with(launch, &folder)).await;
        let logs = folder.path().join("logs");
        let mut connection = world.database.connect().await.unwrap();
        eventually("the sink has begun", async || !lines(&logs).is_empty()).await;
        // As if another server had it.
        let others = "UPDATE sink SET holder = gen_random_uuid(), lease_end = 'infinity'";
        sqlx::query(others).execute(&mut connection).await.unwrap();
        calls(&world, 30).await;
        let size = "SELECT size FROM log_tree";
        let in_tree = async || {
            let mut connection = world.database.connect().await.unwrap();
            sqlx::query_scalar::<_, i64>(size).fetch_one(&mut connection).await.unwrap() > 30
        };
        eventually("the events are in the tree", in_tree).await;
        assert!(lines(&logs).len() < 20, "the test changes an event that was not sent");
        let change =
            format!("SET session_replication_role = replica; {change}; UPDATE sink SET lease_end = '-infinity'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(change.as_str())).execute(&mut connection).await.unwrap();
        let said = format!("the event at log index 20 {why}");
        eventually(&said, async || world.server.log().contains(&said)).await;
        assert_eq!(lines(&logs).len(), 20, "{said}");
    }
}
