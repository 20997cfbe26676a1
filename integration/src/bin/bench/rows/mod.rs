//! The rows of the table, and how they are measured: all sides of a row in turn, round after round.

mod evaluation;
mod memory;
mod pairs;
mod proofs;
mod revocation;
mod simulate;
mod single;

use std::path::Path;

use countersign_integration::{Database, Launch, Server};
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    Options, Result,
    figures::Run,
    postgres::Postgres,
    report::{Finding, Part},
};

/// The required value of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name for `--rows`.
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) baseline: &'static str,
    /// Empty for a ratio.
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
    /// Rows of a kind are measured together.
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One server; rows with the same number share their rounds.
    Single(u8),
    Rules,
    Events,
    Replicas,
    Evaluation,
    Simulate,
    Proofs,
    Against,
    Revocation,
    Memory,
}

const fn row(
    key: &'static str,
    what: &'static str,
    baseline: &'static str,
    (target, unit): (Target, &'static str),
    kind: Kind,
) -> Row {
    Row { key, what, baseline, unit, target, kind }
}

use Target::{AtLeast, AtMost};

/// The row that compares two builds.
pub(crate) const AGAINST: &str = "against";

/// All rows, in the order of the table.
pub(crate) const ROWS: [Row; 24] = [
    row("echo-64", "Decide RPS, 64 callers", "tonic echo, 64 callers", (AtLeast(0.60), ""), Kind::Single(0)),
    row("echo-1", "Decide RPS, one caller", "tonic echo, one caller", (AtLeast(0.30), ""), Kind::Single(0)),
    row(
        "commit-64",
        "Decide RPS, 64 callers",
        "pgbench: one row, one commit; 64 clients",
        (AtLeast(2.0), ""),
        Kind::Single(0),
    ),
    row("commit-256", "Decide RPS, 256 callers", "the same, 64 clients", (AtLeast(2.5), ""), Kind::Single(0)),
    row(
        "naive-64",
        "Decide RPS, 64 callers",
        "pgbench: one commit a decision under the log head; 64 clients",
        (AtLeast(1.0), ""),
        Kind::Single(0),
    ),
    row("latency-1", "Decide p50, one caller", "echo p50 + one pgbench commit", (AtMost(1.2), ""), Kind::Single(0)),
    row("tail-64", "Decide p99, 64 callers", "its p50", (AtMost(1.75), ""), Kind::Single(0)),
    row("open", "Decide p99, open loop at half the ceiling", "absolute", (AtMost(10.0), " ms"), Kind::Single(1)),
    row(
        "issue-64",
        "IssueCredential RPS, 64 callers",
        "pgbench: one row, one commit; 64 clients",
        (AtLeast(1.0), ""),
        Kind::Single(2),
    ),
    row(
        "outcome-64",
        "RecordToolCall RPS, 64 callers",
        "UNNEST insert of 64 such rows a commit, one connection",
        (AtLeast(0.7), ""),
        Kind::Single(3),
    ),
    row(
        "outcome-batch",
        "BatchRecordToolCalls of 100, 64 callers: events/s",
        "UNNEST insert of 100 such rows a commit, one connection",
        (AtLeast(0.7), ""),
        Kind::Single(4),
    ),
    row(
        "once-64",
        "Decide RPS on single-use credentials, 64 callers",
        "pgbench: one row, one commit; 64 clients",
        (AtLeast(0.7), ""),
        Kind::Single(5),
    ),
    row("rules", "Decide RPS at 10,000 rules, 64 callers", "at 10 rules", (AtLeast(0.95), ""), Kind::Rules),
    row(
        "flat",
        "time to evaluate a call at 10,000 rules, each with a condition",
        "at 10 rules",
        (AtMost(1.25), ""),
        Kind::Evaluation,
    ),
    row(
        "cedar",
        "evaluations a second at 10,000 rules",
        "the same rules as one Cedar set",
        (AtLeast(100.0), ""),
        Kind::Evaluation,
    ),
    row(
        "simulate",
        "SimulatePolicy: decisions a second, one worker thread",
        "absolute",
        (AtLeast(100_000.0), "/s"),
        Kind::Simulate,
    ),
    row(
        "events",
        "Decide RPS on a log that has grown, 64 callers",
        "on an empty one",
        (AtLeast(0.9), ""),
        Kind::Events,
    ),
    row(
        "replicas",
        "Decide RPS, 64 callers, two servers on one Postgres",
        "one server",
        (AtLeast(0.95), ""),
        Kind::Replicas,
    ),
    row(
        "revocation",
        "RevokeSponsor's reply to refusal at a watching client, p50, 10,000 live instances",
        "10 live instances",
        (AtMost(1.5), ""),
        Kind::Revocation,
    ),
    row(
        "revocation-ms",
        "the same, p99 at 10,000 live instances",
        "absolute",
        (AtMost(1_000.0), " ms"),
        Kind::Revocation,
    ),
    row(
        "proofs",
        "time of an inclusion proof in a log of 10 million leaves, p50",
        "of 10 thousand leaves; the binary logarithms are 1.75 apart",
        (AtMost(1.75), ""),
        Kind::Proofs,
    ),
    row(
        AGAINST,
        "Decide, 64 callers: what the server works for a call",
        "what the program of --against works for it",
        (AtMost(1.02), ""),
        Kind::Against,
    ),
    row("idle", "resident memory of the server, idle", "absolute", (AtMost(40.0), " MiB"), Kind::Memory),
    row(
        "loaded",
        "resident memory of the server, most at 256 callers",
        "absolute",
        (AtMost(80.0), " MiB"),
        Kind::Memory,
    ),
];

/// What every row needs.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) postgres: Postgres,
}

impl<'a> Bench<'a> {
    /// Starts the Postgres below `place`.
    pub(crate) async fn start(options: &'a Options, place: &Path) -> Result<Self> {
        Ok(Self { options, postgres: Postgres::start(place).await? })
    }

    /// Measures all requested rows. A row that fails has no figure.
    pub(crate) async fn measure(&self) -> Vec<(&'static Row, Finding)> {
        let wanted: Vec<&'static Row> = ROWS.iter().filter(|row| self.options.wants(row.key)).collect();
        let of = |kinds: fn(Kind) -> bool| wanted.iter().copied().filter(|row| kinds(row.kind)).collect::<Vec<_>>();
        let mut found = single::measure(self, &of(|kind| matches!(kind, Kind::Single(_)))).await;
        for row in &wanted {
            let finding = match row.kind {
                Kind::Rules => pairs::rules(self).boxed(),
                Kind::Events => pairs::events(self).boxed(),
                Kind::Replicas => pairs::replicas(self).boxed(),
                Kind::Against => pairs::against(self).boxed(),
                Kind::Simulate => simulate::simulate(self).boxed(),
                Kind::Proofs => proofs::proofs(self).boxed(),
                // Measured with others of its kind.
                Kind::Single(_) | Kind::Evaluation | Kind::Revocation | Kind::Memory => continue,
            };
            eprintln!("measuring {}", row.key);
            let finding = finding.await;
            found.push((*row, finding.unwrap_or_else(failed)));
        }
        found.extend(evaluation::measure(self, &of(|kind| kind == Kind::Evaluation)).await);
        found.extend(revocation::measure(self, &of(|kind| kind == Kind::Revocation)).await);
        found.extend(memory::measure(self, &of(|kind| kind == Kind::Memory)).await);
        found.sort_by_key(|(row, _)| ROWS.iter().position(|known| std::ptr::eq(known, *row)));
        found
    }

    /// A server on a database, with the settings for all measurements.
    pub(crate) fn launch(&self, database: &Database) -> Launch {
        Launch::dev()
            .database(database)
            .variable("COUNTERSIGN_DATABASE_MAX_CONNECTIONS", "16")
            .variable("COUNTERSIGN_WORKER_THREADS", &self.options.threads().to_string())
            // As users have it; tests log more.
            .variable("COUNTERSIGN_LOG_LEVEL", "info")
            // Enabled, so that its cost is included, but high enough not to interfere.
            .variable("COUNTERSIGN_LIMITS_LIVE_INSTANCES_PER_SPONSOR", "10000000")
            .variable("COUNTERSIGN_LIMITS_OPERATOR_CALLS_PER_SECOND", "1000000")
            .variable("COUNTERSIGN_LIMITS_CHAIN_CALLS_PER_SECOND", "1000000")
            .variable("COUNTERSIGN_LIMITS_SPONSOR_GRANTS_PER_SECOND", "1000000")
    }

    /// A server on an empty database of this name.
    pub(crate) async fn serve(&self, name: &str) -> Result<(Server, Database)> {
        let database = self.postgres.database(name).await?;
        Ok((self.launch(&database).start().await?, database))
    }

    /// Runs `sides` in turn, round after round. Returns the runs of each side.
    pub(crate) async fn interleave(&self, mut sides: Vec<Side<'_>>) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> =
            sides.iter().map(|side| Part { name: side.name.clone(), runs: Vec::new() }).collect();
        for round in 1..=self.options.rounds() {
            let mut runs: Vec<Run> = Vec::new();
            for side in &mut sides {
                self.postgres.checkpoint().await?;
                let run = (side.run)(runs.clone()).await.map_err(|error| format!("{}: {error}", side.name))?;
                eprintln!("  round {round}, {}: {run}", side.name);
                runs.push(run);
            }
            parts.iter_mut().zip(runs).for_each(|(part, run)| part.runs.push(run));
        }
        Ok(parts)
    }
}

/// One side of a comparison; a run gets the earlier measurements of its round.
pub(crate) struct Side<'a> {
    name: String,
    run: Box<dyn FnMut(Vec<Run>) -> BoxFuture<'a, Result<Run>> + Send + 'a>,
}

impl<'a> Side<'a> {
    fn new<F>(name: impl Into<String>, mut run: impl FnMut(Vec<Run>) -> F + Send + 'a) -> Self
    where
        F: Future<Output = Result<Run>> + Send + 'a,
    {
        Self { name: name.into(), run: Box::new(move |before| Box::pin(run(before))) }
    }
}

fn failed(error: impl std::fmt::Display) -> Finding {
    Finding::NotMeasured(error.to_string())
}

/// A figure of each round, computed from the measurements of the sides.
fn by_round(parts: &[Part], figure: impl Fn(&[&Run]) -> f64) -> Vec<f64> {
    let rounds = parts.iter().map(|part| part.runs.len()).min().unwrap_or(0);
    (0..rounds).map(|round| figure(&parts.iter().map(|part| &part.runs[round]).collect::<Vec<_>>())).collect()
}
