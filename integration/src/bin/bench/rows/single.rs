//! Rows about one server, compared with tonic and Postgres alone.

use countersign_integration::Server;

use super::{Bench, Finding, Kind, Row, Side, by_round, failed};
use crate::{
    Result,
    client::{BATCH, Instance, Issuer, Reporter, SingleUse},
    echo::EchoServer,
    figures::Run,
    load::{self, Length},
    pgbench::{Pgbench, Script},
    report::Part,
    sample::{self, Sample},
};

const DATABASE: &str = "single";
/// Decisions that each of 64 callers can report on in one run: more than it can report.
const DECISIONS: usize = 1_000;
/// The same with reports of a hundred at a time.
const DECISIONS_BATCHED: usize = 2_500;

/// Single-use credentials that each of 64 callers has in one run.
const CREDENTIALS: usize = 500;

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Decide(usize),
    Echo(usize),
    Commit(Script, usize),
    /// Decide at half the rate that this round's first side reached.
    OpenAtHalf,
    Issue(usize),
    /// Decide, with a separate credential for each call.
    DecideOnce(usize),
    /// The number of callers, and of outcomes per call.
    Report(usize, usize),
    /// Rows per statement.
    Unnest(usize),
}

use What::{Commit, Decide, DecideOnce, Echo, Issue, OpenAtHalf, Report, Unnest};

/// What a row runs, and how its figure is computed.
struct Recipe {
    sides: &'static [What],
    figure: Figure,
}

/// A row's figure from one round, whose runs are in the order of the sides.
type Figure = fn(&[&Run]) -> f64;

fn rate_ratio(runs: &[&Run]) -> f64 {
    runs[0].rate / runs[1].rate
}

fn recipe(key: &str) -> Option<Recipe> {
    let (sides, figure): (&'static [What], Figure) = match key {
        "echo-64" => (&[Decide(64), Echo(64)], rate_ratio),
        "echo-1" => (&[Decide(1), Echo(1)], rate_ratio),
        "commit-64" => (&[Decide(64), Commit(Script::Row, 64)], rate_ratio),
        "commit-256" => (&[Decide(256), Commit(Script::Row, 64)], rate_ratio),
        "naive-64" => (&[Decide(64), Commit(Script::RowUnderHead, 64)], rate_ratio),
        "latency-1" => (&[Decide(1), Echo(1), Commit(Script::Row, 1)], |runs| {
            runs[0].p50_us() / (runs[1].p50_us() + runs[2].p50_us())
        }),
        "tail-64" => (&[Decide(64)], |runs| runs[0].p99_us() / runs[0].p50_us()),
        "open" => (&[Decide(64), OpenAtHalf], |runs| runs[1].p99_us() / 1e3),
        "issue-64" => (&[Issue(64), Commit(Script::Row, 64)], rate_ratio),
        "once-64" => (&[DecideOnce(64), Commit(Script::Row, 64)], rate_ratio),
        "outcome-64" => (&[Report(64, 1), Unnest(64)], rate_ratio),
        "outcome-batch" => (&[Report(64, BATCH), Unnest(BATCH)], rate_ratio),
        _ => return None,
    };
    Some(Recipe { sides, figure })
}

/// One server, and the baselines with which it is compared.
struct Stage {
    server: Server,
    url: String,
    database: String,
    echo: EchoServer,
    pgbench: Pgbench,
    outcome: Sample,
    length: Length,
}

impl Stage {
    async fn start(bench: &Bench<'_>) -> Result<Self> {
        let (server, database) = bench.serve(DATABASE).await?;
        let url = server.url();
        let instance = Instance::start(&url, &[&url], 1).await?.remove(0);
        let answer = instance.decide().await?;
        instance.report(&answer).await?;
        let decision = Sample::read(&database.url, "decision").await?;
        let outcome = Sample::read(&database.url, "tool_call").await?;
        let threads = bench.options.threads();
        let pgbench = Pgbench::prepare(&bench.postgres, (DATABASE, &database.url), &decision, threads).await?;
        let echo = EchoServer::start(&answer, threads).await?;
        Ok(Self { server, url, database: database.url, echo, pgbench, outcome, length: bench.options.length() })
    }

    async fn run(&self, what: What, before: &[Run]) -> Result<Run> {
        let (url, length) = (self.url.as_str(), self.length);
        match what {
            Decide(callers) => closed(url, (url, &[self.server.pid()]), callers, length).await,
            Echo(callers) => {
                let pid: Vec<u32> = self.echo.pid().into_iter().collect();
                closed(url, (&self.echo.url, &pid), callers, length).await
            }
            Commit(script, clients) => self.pgbench.run(script, clients, length.measured).await,
            OpenAtHalf => {
                let ceiling = before.first().ok_or("the ceiling was not measured")?.rate;
                let instances = Instance::start(url, &[url], 64).await?;
                load::open(instances.iter().map(Instance::decider).collect(), ceiling / 2.0, length).await
            }
            Issue(callers) => load::closed(Issuer::start(url, callers).await?, length, &[self.server.pid()]).await,
            DecideOnce(callers) => {
                let callers = SingleUse::start(url, callers, CREDENTIALS).await?;
                load::closed(callers, length, &[self.server.pid()]).await
            }
            Report(callers, batch) => {
                let decisions = if batch == 1 { DECISIONS } else { DECISIONS_BATCHED };
                let reporters = Reporter::start(url, callers, decisions, batch).await?;
                load::closed(reporters, length, &[self.server.pid()]).await
            }
            Unnest(batch) => sample::unnest(&self.database, &self.outcome, batch, length).await,
        }
    }
}

/// Decide at `target` by callers whose credentials come from `issuer`.
async fn closed(issuer: &str, (target, pid): (&str, &[u32]), callers: usize, length: Length) -> Result<Run> {
    let instances = Instance::start(issuer, &[target], callers).await?;
    load::closed(instances.iter().map(Instance::decider).collect(), length, pid).await
}

fn name(what: What) -> String {
    match what {
        Decide(callers) => format!("Decide, {callers} callers"),
        Echo(callers) => format!("echo, {callers} callers"),
        Commit(Script::Row, clients) => format!("pgbench, a row a commit, {clients} clients"),
        Commit(Script::RowUnderHead, clients) => format!("pgbench, a row a commit under the head, {clients} clients"),
        OpenAtHalf => "Decide, open loop at half of that".to_owned(),
        Issue(callers) => format!("IssueCredential, {callers} callers"),
        DecideOnce(callers) => format!("Decide on single-use credentials, {callers} callers"),
        Report(callers, 1) => format!("RecordToolCall, {callers} callers"),
        Report(callers, batch) => format!("BatchRecordToolCalls of {batch}, {callers} callers, events"),
        Unnest(batch) => format!("UNNEST of {batch} rows, one connection"),
    }
}

/// Measures the rows, those of a group together.
pub(super) async fn measure(bench: &Bench<'_>, rows: &[&'static Row]) -> Vec<(&'static Row, Finding)> {
    if rows.is_empty() {
        return Vec::new();
    }
    let stage = match Stage::start(bench).await {
        Ok(stage) => stage,
        Err(error) => return rows.iter().map(|row| (*row, failed(&error))).collect(),
    };
    let mut found = Vec::new();
    for group in 0..=5 {
        let group: Vec<&'static Row> = rows.iter().copied().filter(|row| row.kind == Kind::Single(group)).collect();
        found.extend(measure_group(bench, &stage, &group).await);
    }
    drop(stage.server);
    found
}

async fn measure_group(bench: &Bench<'_>, stage: &Stage, rows: &[&'static Row]) -> Vec<(&'static Row, Finding)> {
    let recipes: Vec<_> = rows.iter().filter_map(|row| Some((*row, recipe(row.key)?))).collect();
    let mut whats: Vec<What> = Vec::new();
    for what in recipes.iter().flat_map(|(_, recipe)| recipe.sides) {
        if !whats.contains(what) {
            whats.push(*what);
        }
    }
    if whats.is_empty() {
        return Vec::new();
    }
    eprintln!("measuring {}", rows.iter().map(|row| row.key).collect::<Vec<_>>().join(", "));
    let side = |what: &What| {
        let what = *what;
        Side::new(name(what), move |before| async move { stage.run(what, &before).await })
    };
    let measured = match bench.interleave(whats.iter().map(side).collect()).await {
        Ok(measured) => measured,
        Err(error) => return recipes.iter().map(|(row, _)| (*row, failed(&error))).collect(),
    };
    let finding = |recipe: &Recipe| {
        let of = |what: &What| whats.iter().position(|known| known == what).and_then(|at| measured.get(at)).cloned();
        let parts: Vec<Part> = recipe.sides.iter().filter_map(of).collect();
        Finding::Measured { rounds: by_round(&parts, recipe.figure), parts, note: String::new() }
    };
    recipes.iter().map(|(row, recipe)| (*row, finding(recipe))).collect()
}
