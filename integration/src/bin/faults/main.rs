//! `make faults`: whether anything that was acknowledged is lost, doubled or out of order after a fault.
//!
//! Two servers on a Postgres of their own are called all the time. One fault after the other happens to them at random
//! moments. After each, everything has to answer again; every caller gets an answer under the request id of the first
//! attempt; and the whole log is held against everything that callers were ever told. Prints the table of
//! docs/reliability.md, and fails if anything is wrong.

mod arena;
mod caller;
mod check;
mod fault;
mod journal;
mod load;
mod small_disk;
mod table;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use countersign_integration::Failure;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::{runtime::Runtime, time::sleep};

use self::{
    arena::Arena,
    check::{Finding, Harm, Log},
    fault::Kind,
    load::Load,
    small_disk::SmallDisk,
    table::{Round, print},
};

/// How long it may take until a checkpoint over everything is published.
const PUBLISHED: Duration = Duration::from_secs(30);
/// How many findings are printed.
const PRINTED: usize = 20;

/// Breaks servers, Postgres, disk, clock and network under load, and holds the log against what callers were told.
#[derive(Debug, Parser)]
#[command(name = "faults", max_term_width = 100)]
struct Options {
    /// How many kills: half of them of servers, half of Postgres.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// How many faults of each other kind.
    #[arg(long, default_value_t = 5)]
    others: usize,
    /// Only faults of this kind, as many as --kills says.
    #[arg(long)]
    only: Option<Kind>,
    /// How many agents call at a time.
    #[arg(long, default_value_t = 12)]
    agents: usize,
    /// Repeats the order and the moments of an earlier run, as far as the machine lets it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Options {
    /// How many faults of this kind.
    fn count(&self, kind: Kind) -> usize {
        match (self.only, kind) {
            (Some(only), _) => {
                if only == kind {
                    self.kills
                } else {
                    0
                }
            }
            (None, Kind::Server) => self.kills.div_ceil(2),
            (None, Kind::Postgres) => self.kills / 2,
            (None, _) => self.others,
        }
    }

    /// The faults in the order in which they happen, of these kinds.
    fn plan(&self, rng: &mut StdRng, kinds: &[Kind]) -> Vec<Kind> {
        let mut plan: Vec<_> = kinds.iter().flat_map(|kind| vec![*kind; self.count(*kind)]).collect();
        plan.shuffle(rng);
        plan
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Before there are threads.
    if options.count(Kind::DiskFull) > 0
        && let Err(failure) = small_disk::enter_own_mounts()
    {
        eprintln!("faults: skipped: no disk of its own can be mounted here, so none is filled: {failure}");
    }
    let runtime = Runtime::new().map(|runtime| runtime.block_on(faults(&options)));
    match runtime.map_err(Failure::from).and_then(|done| done) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("faults: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn faults(options: &Options) -> Result<bool, Failure> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut rounds = Vec::new();
    let plan = options.plan(&mut rng, &[Kind::Server, Kind::Postgres, Kind::Clock, Kind::Network]);
    let mut result = Ok(());
    if !plan.is_empty() {
        result = run(options, &plan, None, &mut rng, &mut rounds).await;
    }
    let plan = options.plan(&mut rng, &[Kind::DiskFull]);
    if result.is_ok() && !plan.is_empty() && small_disk::has_own_mounts() {
        let folder = tempfile::tempdir()?;
        let disk = SmallDisk::mount(folder.path())?;
        result = run(options, &plan, Some((&disk, folder.path())), &mut rng, &mut rounds).await;
    }
    let holds = print(&rounds);
    let findings = rounds.iter().flat_map(|round| round.findings.iter().map(move |finding| (round.kind, finding)));
    for (kind, Finding { harm, what }) in findings.take(PRINTED) {
        eprintln!("{kind:?}: {harm:?}: {what}");
    }
    result.map(|()| holds)
}

/// Does these faults to a new arena, until one does harm.
async fn run(
    options: &Options,
    plan: &[Kind],
    disk: Option<(&SmallDisk, &std::path::Path)>,
    rng: &mut StdRng,
    rounds: &mut Vec<Round>,
) -> Result<(), Failure> {
    let own;
    let folder = if let Some((_, folder)) = disk {
        folder
    } else {
        own = tempfile::tempdir()?;
        own.path()
    };
    let mut arena = Arena::start(folder, plan.contains(&Kind::Clock)).await?;
    let mut load = Load::start(&arena, options.agents, rng.random());
    let mut result = Ok(());
    for (nth, kind) in plan.iter().enumerate() {
        match round(*kind, &mut arena, &mut load, disk.map(|(disk, _)| disk), rng).await {
            Ok(round) => {
                eprintln!("{} of {}: {round:?}", nth + 1, plan.len());
                rounds.push(round);
            }
            Err(failure) => {
                let logs = arena.logs().join("\n--- log of the other server ---\n");
                result = Err(format!("{kind:?}: {failure}\n--- log of a server ---\n{logs}").into());
            }
        }
        if result.is_err() || rounds.last().is_some_and(|round| !round.findings.is_empty()) {
            break;
        }
    }
    load.stop().await;
    result
}

/// One fault, and what is to be seen of it afterwards.
async fn round(
    kind: Kind,
    arena: &mut Arena,
    load: &mut Load,
    disk: Option<&SmallDisk>,
    rng: &mut StdRng,
) -> Result<Round, Failure> {
    let shared = load.shared.clone();
    let journal = &shared.journal;
    let before = journal.counts();
    load.goes_on(20).await?;
    sleep(Duration::from_millis(rng.random_range(100..800))).await;
    journal.longest_wait();
    let (acknowledged, began) = (journal.counts().acknowledged - before.acknowledged, Instant::now());
    fault::inject(kind, arena, load, disk, rng).await?;
    load.all_answer().await?;
    let answers_after = began.elapsed();
    let _quiet = load.quiet().await?;
    let log = whole_log(arena, load).await?;
    let told = journal.entries();
    let mut findings = check::check(&log, &told);
    findings.extend(told.trouble.iter().map(|what| Finding { harm: Harm::Unproven, what: what.clone() }));
    Ok(Round {
        kind,
        acknowledged,
        unanswered: journal.counts().unanswered - before.unanswered,
        replayed: journal.counts().replayed - before.replayed,
        answers_after,
        longest_wait: journal.longest_wait(),
        findings,
    })
}

/// The log when every server has published a checkpoint over all of it, or is too late with it.
async fn whole_log(arena: &Arena, load: &Load) -> Result<Log, Failure> {
    let began = Instant::now();
    loop {
        let mut connection = arena.database.connect().await?;
        let size: i64 = sqlx::query_scalar("SELECT size FROM log_head").fetch_one(&mut connection).await?;
        let published = load::note_checkpoints(&load.shared).await;
        if published.is_some_and(|published| published >= size) || began.elapsed() > PUBLISHED {
            for kept in (0..arena.servers.len()).filter_map(|nth| arena.kept_checkpoint(nth)) {
                load.shared.journal.published(&kept, None);
            }
            let log = Log::read(&arena.database).await?;
            if log.size == size || began.elapsed() > PUBLISHED {
                return Ok(log);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}
