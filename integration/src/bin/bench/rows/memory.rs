//! Rows about the server's memory.

use std::time::Duration;

use tokio::time::sleep;

use super::{Bench, Kind, Row, failed};
use crate::{Result, client::Instance, load, machine::resident, report::Finding};

const CALLERS: usize = 256;
/// How long a server is left alone before it counts as idle.
const REST: Duration = Duration::from_secs(3);

/// Measures the rows, with one server per round, so that each starts idle.
pub(super) async fn measure(bench: &Bench<'_>, rows: &[&'static Row]) -> Vec<(&'static Row, Finding)> {
    debug_assert!(rows.iter().all(|row| row.kind == Kind::Memory), "only rows of memory");
    if rows.is_empty() {
        return Vec::new();
    }
    eprintln!("measuring memory");
    let (mut idle, mut loaded) = (Vec::new(), Vec::new());
    for round in 1..=bench.options.rounds().min(3) {
        match one(bench, round).await {
            Ok((rest, most)) => {
                eprintln!("  round {round}: idle {rest:.1} MiB, loaded {most:.1} MiB");
                idle.push(rest);
                loaded.push(most);
            }
            Err(error) => return rows.iter().map(|row| (*row, failed(&error))).collect(),
        }
    }
    let finding = |row: &Row| {
        let rounds = if row.key == "idle" { idle.clone() } else { loaded.clone() };
        Finding::Measured { rounds, parts: Vec::new(), note: "without Postgres; each round a fresh server".to_owned() }
    };
    rows.iter().map(|row| (*row, finding(row))).collect()
}

async fn one(bench: &Bench<'_>, round: u8) -> Result<(f64, f64)> {
    let (server, _) = bench.serve(&format!("memory_{round}")).await?;
    sleep(REST).await;
    let read = || resident(server.pid()).ok_or("the system does not say how much memory a process has");
    let idle = read()?;
    let url = server.url();
    let instances = Instance::start(&url, &[&url], CALLERS).await?;
    let mut run =
        std::pin::pin!(load::closed(instances.iter().map(Instance::decider).collect(), bench.options.length(), &[]));
    let mut most = idle;
    loop {
        tokio::select! {
            done = &mut run => {
                done?;
                return Ok((idle, most));
            }
            () = sleep(Duration::from_millis(50)) => most = most.max(read()?),
        }
    }
}
