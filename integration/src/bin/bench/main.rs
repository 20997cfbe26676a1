//! `make bench`: the cost of a durable record of every decision, as ratios against baselines of the same run.
//!
//! docs/performance.md explains each row and how its baseline is made.

mod client;
mod echo;
mod figures;
mod load;
mod machine;
mod pgbench;
mod postgres;
mod report;
mod rows;
mod sample;
mod seed;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use crate::{
    echo::EchoArgs,
    load::Length,
    report::Report,
    rows::{AGAINST, Bench, ROWS},
};

/// The same allocator as the server's, for evaluation in this process and for the echo with which the server is
/// compared.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The result of a measurement; errors are texts for the person who runs it.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures the server against baselines of the same run, and prints ratios.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Hidden>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// The bare tonic handler of the baseline, in a process of its own.
    #[command(name = echo::COMMAND, hide = true)]
    Echo(EchoArgs),
}

/// What to measure, and for how long.
#[derive(Debug, Clone, clap::Args, serde::Serialize)]
pub(crate) struct Options {
    /// Two short rounds: to see that everything runs, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only these rows.
    #[arg(long, value_delimiter = ',', value_name = "ROW,...")]
    rows: Vec<String>,
    /// Rounds, interleaved A B A B [default: 5; quick: 2].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Measured seconds of a run [default: 3; quick: 1].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=10))]
    seconds: Option<u8>,
    /// Events that are there already in the row "events" [default: 1000000; quick: 100000].
    #[arg(long)]
    events: Option<u32>,
    /// Leaves of the largest log in the row "proofs" [default: 10000000; quick: 1000000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    leaves: Option<u32>,
    /// Threads of the server, of the echo and of the load client each [default: half the cores, at least one].
    #[arg(long)]
    threads: Option<usize>,
    /// Another build of the server, for the row "against", which is measured only then.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// The figures as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
}

impl Options {
    pub(crate) fn rounds(&self) -> u8 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    pub(crate) fn length(&self) -> Length {
        let seconds = self.seconds.unwrap_or(if self.quick { 1 } else { 3 });
        Length { warm_up: Duration::from_millis(500), measured: Duration::from_secs(seconds.into()) }
    }

    pub(crate) fn events(&self) -> u32 {
        self.events.unwrap_or(if self.quick { 100_000 } else { 1_000_000 })
    }

    pub(crate) fn leaves(&self) -> u32 {
        self.leaves.unwrap_or(if self.quick { 1_000_000 } else { 10_000_000 })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or(machine::cores() / 2).max(1)
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        match &*self.rows {
            [] => row != AGAINST || self.against.is_some(),
            rows => rows.iter().any(|wanted| wanted == row),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Hidden::Echo(args)) => echo::serve(args),
        None => bench(&cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return Err(
            "an unoptimised build measures nothing: cargo run --release -p countersign-integration --bin bench".into(),
        );
    }
    if let Some(unknown) = options.rows.iter().find(|row| ROWS.iter().all(|known| known.key != row.as_str())) {
        let known: Vec<_> = ROWS.iter().map(|row| row.key).collect();
        return Err(format!("there is no row {unknown}; rows are {}", known.join(", ")).into());
    }
    // Builds the server with this profile, unless COUNTERSIGN_BIN names one.
    let server = countersign_integration::binary()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads()).enable_all().build()?;
    let report = runtime.block_on(measure(options, server))?;
    print!("{report}");
    std::fs::write(&options.json, report.json()?)?;
    println!("\nThe same as JSON: {}", options.json.display());
    Ok(())
}

async fn measure(options: &Options, server: &std::path::Path) -> Result<Report> {
    // On the disk of the build: a temporary folder may be in memory, where fsync costs nothing.
    let place = server.parent().ok_or("the server's program lies in no folder")?;
    let mut machine = machine::describe(place)?;
    let bench = Bench::start(options, place).await?;
    machine
        .extend(bench.postgres.settings().await?.into_iter().map(|(name, value)| (format!("Postgres {name}"), value)));
    machine.push(("threads".to_owned(), format!("{} each for server, echo and load client", options.threads())));
    machine.push(("commit".to_owned(), commit()));
    for (name, value) in &machine {
        eprintln!("{name}: {value}");
    }
    let rows = bench.measure().await;
    Ok(Report { machine, options: options.clone(), rows })
}

/// The commit that was measured.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let known = output.ok().filter(|output| output.status.success());
    known.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
