//! The attacks, each with as many attackers as would stop a server without defences.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use countersign_client::{Connection, v1};
use countersign_integration::{Database, Failure, Http, Server};
use countersign_store::schema::GIVING_WAY;
use futures::stream;
use http::Request;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::people::{issue, refund};

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way to keep other callers from being served.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) attackers: usize,
    pub(crate) run: fn(Arc<Target>, usize) -> Running,
}

macro_rules! attacks {
    ($($name:ident $attackers:literal $what:literal)*) => {
        /// All attacks.
        pub(crate) const ATTACKS: &[Attack] = &[$(Attack {
            name: stringify!($name),
            what: $what,
            attackers: $attackers,
            run: |target, nth| Box::pin($name(target, nth)),
        },)*];
    };
}

attacks! {
    heads 3 "Health/Check without a body, 500 at a time on a connection, by strangers"
    dead_heads 3 "Decide without a body, 500 at a time on a connection, by a revoked run"
    scans 40 "ListDecisions by an action that nothing has, by a gate"
    nested 8 "JSON of a megabyte that is all braces, by a revoked run"
    untaken 40 "500 GET /metrics a connection whose answers are not taken"
    idle 1200 "connections that say nothing"
    watches 400 "WatchRevocations of one run"
    forms 300 "OAuth forms of 60 KB that come slowly"
    dead_batches 4 "BatchDecide of 100 by a revoked run"
    batches 6 "BatchDecide of 100 by a run that lives"
    made_up_keys 8 "API keys that are made up"
    policies 6 "ValidatePolicy of 0.9 MB by an auditor"
    migrations 1 "a column added to the log and taken back, over and over, giving way as migrations do"
    approvals 4 "children that ask people, 16 questions each"
}

/// The attacked server, and the credentials of the attackers.
pub(crate) struct Target {
    address: SocketAddr,
    rita: Connection,
    oscar: Connection,
    /// A revoked run.
    dead: Connection,
    dead_token: String,
    /// A run that is live.
    live: Connection,
    document: String,
    database: Database,
    counts: Mutex<HashMap<&'static str, (u64, u64)>>,
}

impl Target {
    pub(crate) async fn of(server: &Server, database: Database) -> Result<Self, Failure> {
        let (rita, oscar) = (server.operator("rita").await?, server.operator("oscar").await?);
        let dead = rita.credentials().issue_credential(issue()).await?.into_inner();
        let (agent_instance_id, reason) = (dead.agent_instance_id, "soak".to_owned());
        let revoke = v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() };
        oscar.instances().revoke_instance(revoke).await?;
        let live = rita.credentials().issue_credential(issue()).await?.into_inner();
        let rules = (0..6_000).map(|nth| {
            format!("- {{id: r{nth}, role: support, tool: billing, allowed_actions: [a{nth}, b{nth}, c{nth}], when: context has a{nth} && context.a{nth} == {nth}}}\n")
        });
        Ok(Self {
            address: server.url().trim_start_matches("http://").parse()?,
            rita,
            oscar,
            dead: server.connect(Some(&dead.token)).await?,
            dead_token: dead.token,
            live: server.connect(Some(&live.token)).await?,
            document: format!("rules:\n{}", rules.collect::<String>()),
            database,
            counts: Mutex::default(),
        })
    }

    fn count(&self, attack: &'static str, sent: u64, refused: bool) {
        let mut counts = self.counts.lock().expect("nobody panics with it");
        let count = counts.entry(attack).or_default();
        count.0 += sent;
        count.1 += u64::from(refused);
    }

    /// How much an attack sent, and how much of it was refused.
    pub(crate) fn counted(&self, attack: &str) -> (u64, u64) {
        self.counts.lock().expect("nobody panics with it").get(attack).copied().unwrap_or_default()
    }
}

type Body = BoxBody<Bytes, Infallible>;

fn never() -> Body {
    StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed()
}

async fn http_2(target: &Target, window: Option<u32>) -> Option<http2::SendRequest<Body>> {
    let stream = TcpStream::connect(target.address).await.ok()?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    if window.is_some() {
        builder.initial_stream_window_size(window);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// Keeps 500 calls without a body in progress on a connection.
async fn without_bodies(target: Arc<Target>, name: &'static str, path: &'static str, bearer: Option<String>) {
    loop {
        let Some(sender) = http_2(&target, None).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let calls = (0..500).map(|_| {
            let (mut sender, target, bearer) = (sender.clone(), target.clone(), bearer.clone());
            async move {
                loop {
                    if sender.ready().await.is_err() {
                        return;
                    }
                    let mut request = Request::post(format!("http://{}{path}", target.address));
                    if let Some(bearer) = &bearer {
                        request = request.header("authorization", format!("Bearer {bearer}"));
                    }
                    let request = request.header("content-type", "application/grpc").header("te", "trailers");
                    let Ok(request) = request.body(never()) else { return };
                    let answered = sender.send_request(request).await;
                    target.count(name, 1, true);
                    if answered.is_err() {
                        return;
                    }
                    sleep(Duration::from_millis(500)).await;
                }
            }
        });
        futures::future::join_all(calls).await;
    }
}

async fn heads(target: Arc<Target>, _: usize) {
    without_bodies(target, "heads", "/grpc.health.v1.Health/Check", None).await;
}

async fn dead_heads(target: Arc<Target>, _: usize) {
    let token = target.dead_token.clone();
    without_bodies(target, "dead_heads", "/countersign.v1.DecisionService/Decide", Some(token)).await;
}

async fn scans(target: Arc<Target>, _: usize) {
    loop {
        let request = v1::ListDecisionsRequest { action: "nothing-has-it".to_owned(), ..Default::default() };
        let answer = target.rita.decisions().list_decisions(request).await;
        target.count("scans", 1, answer.is_err());
        sleep(Duration::from_millis(1)).await;
    }
}

async fn nested(target: Arc<Target>, _: usize) {
    let body =
        format!(r#"{{"toolId":"billing","action":"refund","context":{{"a":[{}0]}}}}"#, r#"{"":0},"#.repeat(140_000));
    let http = Http::new(target.address, Some(&target.dead_token));
    loop {
        let answer = http.post("/countersign.v1.DecisionService/Decide", body.clone()).await;
        target.count("nested", 1, answer.is_ok_and(|answer| !answer.status.is_success()));
    }
}

async fn untaken(target: Arc<Target>, _: usize) {
    loop {
        let Some(mut sender) = http_2(&target, Some(0)).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut held = Vec::new();
        for _ in 0..500 {
            if sender.ready().await.is_err() {
                break;
            }
            let request = Request::get(format!("http://{}/metrics", target.address));
            let Ok(request) = request.body(Empty::new().boxed()) else { return };
            held.push(tokio::spawn(sender.send_request(request)));
            target.count("untaken", 1, false);
        }
        sleep(Duration::from_secs(5)).await;
        drop(held);
    }
}

async fn idle(target: Arc<Target>, _: usize) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(target.address).await {
            target.count("idle", 1, false);
            let _ = stream.read(&mut [0; 1]).await;
            target.count("idle", 0, true);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn watches(target: Arc<Target>, _: usize) {
    loop {
        let request = v1::WatchRevocationsRequest { since: 0 };
        let answer = target.live.credentials().watch_revocations(request).await;
        target.count("watches", 1, answer.is_err());
        if let Ok(answer) = answer {
            let mut stream = answer.into_inner();
            while let Ok(Some(_)) = stream.message().await {}
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn forms(target: Arc<Target>, _: usize) {
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n",
        target.address
    );
    loop {
        if let Ok(mut stream) = TcpStream::connect(target.address).await {
            target.count("forms", 1, false);
            let slow = async {
                stream.write_all(head.as_bytes()).await?;
                for _ in 0..59 {
                    stream.write_all(&[b'a'; 1000]).await?;
                    sleep(Duration::from_millis(100)).await;
                }
                stream.read(&mut [0; 1]).await
            };
            let done = timeout(Duration::from_secs(10), slow).await;
            target.count("forms", 0, !matches!(done, Ok(Ok(_))));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Repeatedly asks for 100 answers at once.
async fn of_100(target: &Target, name: &'static str, by: &Connection) {
    loop {
        let request = v1::BatchDecideRequest { requests: vec![refund(); 100], ..Default::default() };
        let answer = by.decisions().batch_decide(request).await;
        target.count(name, 1, answer.is_err());
        sleep(Duration::from_millis(1)).await;
    }
}

async fn dead_batches(target: Arc<Target>, _: usize) {
    of_100(&target, "dead_batches", &target.dead).await;
}

async fn batches(target: Arc<Target>, _: usize) {
    of_100(&target, "batches", &target.live).await;
}

async fn made_up_keys(target: Arc<Target>, attacker: usize) {
    for nth in 0_u64.. {
        let key = format!("csk_{:032x}_{:043}", (attacker as u64) << 40 | nth, nth);
        let answer = Http::new(target.address, Some(&key)).post("/issue", "{}").await;
        target.count("made_up_keys", 1, answer.is_ok_and(|answer| !answer.status.is_success()));
    }
}

async fn policies(target: Arc<Target>, _: usize) {
    loop {
        let request = v1::ValidatePolicyRequest { document: target.document.clone(), ..Default::default() };
        let answer = timeout(Duration::from_secs(2), target.oscar.policies().validate_policy(request)).await;
        target.count("policies", 1, !matches!(answer, Ok(Ok(_))));
        sleep(Duration::from_millis(10)).await;
    }
}

async fn migrations(target: Arc<Target>, _: usize) {
    let Ok(mut connection) = target.database.connect().await else { return };
    let altering = format!("BEGIN; {GIVING_WAY}; ALTER TABLE custody_event ADD COLUMN soaked integer; ROLLBACK");
    loop {
        let altered = connection.execute(AssertSqlSafe(altering.clone())).await;
        target.count("migrations", 1, altered.is_err());
        // The failed statement leaves its transaction open.
        let _ = connection.execute("ROLLBACK").await;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn approvals(target: Arc<Target>, _: usize) {
    loop {
        let child = v1::DelegateCredentialRequest { agent: "soaked".to_owned(), ..Default::default() };
        let child = target.live.credentials().delegate_credential(child).await;
        target.count("approvals", 1, child.is_err());
        if let Ok(child) = child
            && let Ok(child) = target.live.with_token(&child.into_inner().token)
        {
            for nth in 0..16_u8 {
                let request =
                    v1::DecideRequest { action: "charge".to_owned(), request_hash: vec![nth; 32], ..refund() };
                let asked = child.decisions().decide(request).await;
                target.count("approvals", 1, asked.is_err());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
