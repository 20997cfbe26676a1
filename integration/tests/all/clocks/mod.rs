//! Clocks that are wrong: one server's, or the database's. Nothing that was stopped is allowed, nothing that lasts is done, and
//! who is wrong says so.

mod doors;
mod floor;
mod gates;
mod replays;
mod start;
mod stops;
mod workers;

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, FakeClock, Launch, Server};
use tokio::time::sleep;

use crate::support::{Event, Run, approve, issue, log, open_folder, register, room};

/// Two servers on one database, each of the three with a clock of its own.
struct Clocks {
    folder: tempfile::TempDir,
    /// The second server's.
    clock: FakeClock,
    database_clock: FakeClock,
    database: Database,
    cluster: Cluster,
    /// Its clock is right.
    good: Server,
    other: Server,
    rita: Connection,
    oscar: Connection,
    _room: tokio::sync::SemaphorePermit<'static>,
}

impl Clocks {
    async fn start() -> Self {
        let room = room().await;
        let folder = open_folder();
        let clock = FakeClock::new(folder.path(), "server").unwrap();
        let database_clock = FakeClock::new(folder.path(), "database").unwrap();
        let launcher = database_clock.launcher().unwrap();
        let cluster = Cluster::start_through(folder.path().join("cluster"), launcher).await.unwrap();
        let database = cluster.database().await.unwrap();
        let good = launch(&database).start().await.unwrap();
        let other = clock.drive(launch(&database)).start().await.unwrap();
        let (rita, oscar) = (good.operator("rita").await.unwrap(), good.operator("oscar").await.unwrap());
        Self { folder, clock, database_clock, database, cluster, good, other, rita, oscar, _room: room }
    }

    /// A clock of its own for one more program.
    fn another_clock(&self, name: &str, off: f64) -> FakeClock {
        let clock = FakeClock::new(self.folder.path(), name).unwrap();
        clock.is_off_by(off).unwrap();
        clock
    }

    /// The key of an operator, which every server on the database takes.
    fn key(&self, of: &str) -> String {
        self.good.operator_key(of).unwrap()
    }

    async fn run(&self, sponsor: &str) -> Run {
        let issued = self.rita.credentials().issue_credential(issue(sponsor)).await.unwrap().into_inner();
        let connection = self.rita.with_token(&issued.token).unwrap();
        Run { token: issued.token, id: issued.agent_instance_id, connection, log_index: issued.log_index }
    }

    async fn sponsor(&self, id: &str) {
        self.rita.sponsors().register_sponsor(register(id)).await.unwrap();
        self.oscar.sponsors().approve_sponsor(approve(id)).await.unwrap();
    }

    /// Stores a document, and lets it answer.
    async fn activate(&self, document: &str) {
        let version = self.policy(document).await;
        let request = v1::ActivatePolicyRequest { version, reason: "a drill".to_owned(), ..Default::default() };
        self.oscar.policies().activate_policy(request).await.unwrap();
    }

    async fn policy(&self, document: &str) -> String {
        let request = v1::CreatePolicyRequest { document: document.to_owned(), ..Default::default() };
        self.rita.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap().version
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = self.database.connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    async fn log(&self) -> Vec<Event> {
        log(&self.database).await
    }
}

fn launch(database: &Database) -> Launch {
    Launch::dev().database(database).variable("COUNTERSIGN_SPIFFE_TRUST_DOMAIN", "clocks.example")
}

/// Who holds the same key, at this server.
async fn at(server: &Server, key: &str) -> Connection {
    server.connect(Some(key)).await.unwrap()
}

/// What the check `clock` of a server says, and whether the server is ready.
async fn clock_of(server: &Server) -> (bool, String) {
    let readiness = server.http(None).get("/readyz").await.unwrap().json();
    let checks = readiness["checks"].as_array().unwrap();
    let clock = checks.iter().find(|check| check["name"] == "clock").expect("a check of the clock");
    (readiness["ready"] == true, clock["message"].as_str().unwrap().to_owned())
}

async fn says(server: &Server, ready: bool, words: &str) {
    let start = Instant::now();
    loop {
        let (is, message) = clock_of(server).await;
        if is == ready && message.contains(words) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "not ready {ready} with {words:?}: {is}, {message}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn allowed(run: &Run) -> bool {
    run.decide("billing", "refund").await.unwrap().effect() == v1::Effect::Allow
}

/// When an event was made, by its id: seconds since 1970.
fn time_of(event: &Event) -> f64 {
    let id = event.text("event_id").trim_start_matches("evt_").replace('-', "");
    let millis = u64::from_str_radix(&id[..12], 16).unwrap();
    Duration::from_millis(millis).as_secs_f64()
}
