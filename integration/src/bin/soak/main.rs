//! `make soak`: whether any caller can prevent a stop.
//!
//! All attacks run at once against one server on this machine, for a number of seconds: by strangers, by a run that was
//! revoked, by a live run, by an enforcement point and by an auditor. Meanwhile an operator stops things, a
//! well-behaved enforcement point asks at a fixed rate, and health is checked. It prints what each attack sent and what
//! the other callers noticed, and fails if that is more than docs/reliability.md permits.

mod attack;
mod people;
mod table;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use countersign_integration::{Cluster, Failure, Launch};
use tokio::{runtime::Runtime, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{
    attack::{ATTACKS, Target},
    people::{People, Rate, Seen},
    table::{Claim, print},
};

/// How much lower the priority of the attackers' threads is.
const ATTACKERS_NICE: i32 = 10;
/// How often the enforcement point asks, per second.
const GATE: u32 = 40;

/// Attacks a server in every known way at once, and says what its users notice.
#[derive(Debug, Parser)]
#[command(name = "soak", max_term_width = 100)]
pub(crate) struct Options {
    /// How long, seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many attackers of each kind, in percent of those of a full run.
    #[arg(long, default_value_t = 100)]
    scale: usize,
    /// Only these attacks, comma between.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many times as long everything may take, and how little the gate may get of its rate: above 1 for builds that are
    /// not release builds.
    #[arg(long, default_value_t = 1)]
    patience: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = Runtime::new().map(|runtime| runtime.block_on(soak(&options)));
    match runtime.map_err(Failure::from).and_then(|done| done) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("soak: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(options: &Options) -> Result<bool, Failure> {
    // Without tables, so that an older server (COUNTERSIGN_BIN) can be attacked too.
    let database = Cluster::shared().await?.empty_database().await?;
    let launch = Launch::dev().database(&database).variable("COUNTERSIGN_DATABASE_MAX_CONNECTIONS", "16");
    let server = Arc::new(launch.start().await?);
    let people = People::meet(&server).await?;
    let seen = Seen::default();

    eprintln!("before the attack");
    let calm = Rate::measured(&people, GATE, Duration::from_secs(3)).await;
    let before = memory(server.pid())?;

    // At most two stops per second are made.
    let doomed = people.doomed(2 * options.seconds + 1).await?;
    let (stop, mut attackers) = (CancellationToken::new(), JoinSet::new());
    let elsewhere = elsewhere()?;
    let target = {
        let (server, database) = (server.clone(), database.clone());
        elsewhere
            .spawn(async move { Target::of(&server, database).await.map_err(|failure| failure.to_string()) })
            .await??
    };
    let target = Arc::new(target);
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let attacks: Vec<_> = ATTACKS.iter().filter(|attack| wanted(attack.name)).collect();
    for attack in &attacks {
        for nth in 0..(attack.attackers * options.scale).div_ceil(100) {
            let (run, target, stop) = (attack.run, target.clone(), stop.clone());
            let attacker = async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = run(target, nth) => {}
                }
            };
            attackers.spawn_on(attacker, elsewhere.handle());
        }
    }
    eprintln!("{} attackers for {} s", attackers.len(), options.seconds);
    sleep(Duration::from_secs(2)).await;
    let mut most = before;
    let watching = people.watch(&server, doomed, Duration::from_secs(options.seconds), &seen);
    let asking = Rate::measured(&people, GATE, Duration::from_secs(options.seconds));
    let weighing = async {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(options.seconds) {
            most = most.max(memory(server.pid()).unwrap_or(most));
            sleep(Duration::from_millis(200)).await;
        }
    };
    let ((), attacked, ()) = tokio::join!(watching, asking, weighing);
    stop.cancel();
    attackers.shutdown().await;
    elsewhere.shutdown_background();

    let failures = seen.failures();
    for (what, why) in &failures {
        eprintln!("{what} failed: {why}");
    }
    let patience = Duration::from_secs(options.patience.into());
    let claims = [
        Claim::within("EngageKillSwitch, slowest", seen.slowest("engage"), patience),
        Claim::within("RevokeInstance, slowest", seen.slowest("revoke"), patience),
        Claim::within("GET /healthz, slowest", seen.slowest("healthz"), patience / 10 * options.patience.max(1)),
        Claim::none("stops and looks at health that failed", failures.len() as u64),
        Claim::at_least(
            "the gate's answers of what it asked, %",
            attacked.percent(),
            calm.percent() * 80 / 100 / u64::from(options.patience.max(1)),
        ),
        Claim::at_most("memory above idle, MiB", most.saturating_sub(before) >> 20, 512),
    ];
    Ok(print(&attacks, &target, &claims))
}

/// Where the attackers run: real attackers have separate processors, these get what is left of this machine's.
fn elsewhere() -> std::io::Result<Runtime> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().thread_name("attacker").on_thread_start(|| {
        // On Linux this sets the priority of the thread, not of the process.
        let _ = rustix::process::nice(ATTACKERS_NICE);
    });
    threads.build()
}

/// The resident memory of a process, bytes.
fn memory(pid: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the process is gone")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
