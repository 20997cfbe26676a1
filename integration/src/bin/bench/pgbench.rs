//! The cost of Postgres alone: pgbench, with one row and one commit per call, into a table like the server's.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Result,
    figures::{Run, Spread},
    postgres::Postgres,
    sample::{COLUMNS, Sample},
};

/// A UUIDv7 of the current time. Postgres 15 has no function for it; this expression costs about 3 us of a commit's
/// hundreds.
const UUID_V7: &str = "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || \
                       substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid";
/// An index that grows, as the log's does.
const LOG_INDEX: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// The statements that pgbench repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// `INSERT` and its commit.
    Row,
    /// The same under a log head: lock and count the head row, insert, commit. This is the cost of one commit per
    /// decision, with contiguous indices, in a server that takes no time at all.
    RowUnderHead,
}

/// pgbench on one database, whose tables exist.
#[derive(Debug)]
pub(crate) struct Pgbench {
    program: PathBuf,
    host: PathBuf,
    database: &'static str,
    scripts: TempDir,
    threads: usize,
}

impl Pgbench {
    /// Creates `bench_event`, which has the columns, indices and partitions of `custody_event`, and `bench_head`.
    pub(crate) async fn prepare(
        postgres: &Postgres,
        (name, url): (&'static str, &str),
        row: &Sample,
        threads: usize,
    ) -> Result<Self> {
        let mut conn = countersign_integration::connect(url).await?;
        conn.execute(
            "CREATE TABLE bench_event (LIKE custody_event INCLUDING ALL) PARTITION BY RANGE (event_id);
             CREATE TABLE bench_event_default PARTITION OF bench_event DEFAULT;
             CREATE TABLE bench_event_now PARTITION OF bench_event
                 FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('ffffffff-ffff-ffff-ffff-ffffffffffff');
             CREATE TABLE bench_head (LIKE log_head INCLUDING ALL) WITH (fillfactor = 10);
             INSERT INTO bench_head SELECT * FROM log_head",
        )
        .await?;
        conn.close().await?;
        let scripts = tempfile::Builder::new().prefix("countersign-pgbench-").tempdir()?;
        let insert =
            format!("INSERT INTO bench_event {COLUMNS} VALUES (0, {LOG_INDEX}, {UUID_V7}, {});\n", row.literals());
        fs::write(scripts.path().join("row.sql"), &insert)?;
        let head = "BEGIN;\nSELECT size FROM bench_head WHERE log_id = 0 FOR UPDATE;\n";
        let update = "UPDATE bench_head SET size = size + 1 WHERE log_id = 0;\n";
        fs::write(scripts.path().join("row_under_head.sql"), format!("{head}{insert}{update}COMMIT;\n"))?;
        let program = postgres.programs.join("pgbench");
        if !program.exists() {
            return Err(format!("{} is not there; Debian has it in postgresql-15", program.display()).into());
        }
        Ok(Self { program, host: postgres.host(), database: name, scripts, threads })
    }

    /// Runs `clients` side by side.
    pub(crate) async fn run(&self, script: Script, clients: usize, length: Duration) -> Result<Run> {
        let file = match script {
            Script::Row => "row.sql",
            Script::RowUnderHead => "row_under_head.sql",
        };
        let logs = tempfile::tempdir()?;
        let mut command = Command::new(&self.program);
        command.arg("-h").arg(&self.host).args(["-U", Postgres::user(), "-n", "-M", "prepared"]);
        command.args(["-c", &clients.to_string(), "-j", &self.threads.min(clients).to_string()]);
        command.args(["-T", &length.as_secs().max(1).to_string()]).arg("-f").arg(self.scripts.path().join(file));
        // A log of each call's time costs a little; it is used only with a single client.
        if clients == 1 {
            command.arg("-l").arg(format!("--log-prefix={}", logs.path().join("times").display()));
        }
        command.env("PGOPTIONS", format!("-c search_path={},public", countersign_store::own_schema::OWN));
        command.arg(self.database).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let Some(rate) = rate.filter(|_| output.status.success()) else {
            return Err(format!("pgbench failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
        };
        let mut run = Run::of_rate(rate);
        if clients == 1 {
            run.p50 = Some(median(logs.path())?);
        }
        Ok(run)
    }
}

/// The median of pgbench's log: client, transaction, microseconds, and more.
fn median(logs: &std::path::Path) -> Result<Duration> {
    let mut times = Vec::new();
    for file in fs::read_dir(logs)? {
        let text = fs::read_to_string(file?.path())?;
        times.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
    }
    if times.is_empty() {
        return Err("pgbench logged no times".into());
    }
    Ok(Duration::from_secs_f64(Spread::over(times).median / 1e6))
}
