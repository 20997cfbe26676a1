//! The row about simulation: recorded decisions per second that are evaluated with a policy other than the one that
//! answered.

use std::time::Instant;

use countersign_client::{Connection, v1::SimulatePolicyRequest};
use countersign_integration::Server;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, types::Uuid};

use super::{Bench, Side, by_round, pairs::document};
use crate::{
    Result,
    client::Instance,
    figures::{Run, float},
    machine::cpu_time,
    report::Finding,
    sample::Sample,
    seed,
};

/// The number of runs that made the decisions.
const RUNS: usize = 64;

/// SimulatePolicy over a log of decisions, by one worker thread of the server.
pub(super) async fn simulate(bench: &Bench<'_>) -> Result<Finding> {
    let decisions = bench.options.events() / 2;
    let server = server(bench, decisions).await?;
    // A caller of a dev server on its machine may do everything.
    let auditor = server.connect(None).await?;
    let (auditor, pid) = (&auditor, server.pid());
    let side = Side::new(format!("SimulatePolicy over {decisions} decisions"), move |_| run(auditor, pid, decisions));
    let parts = bench.interleave(vec![side]).await?;
    let note = format!(
        "decisions of {RUNS} runs, against 10,000 rules with conditions; read from Postgres, streamed to a client"
    );
    Ok(Finding::Measured { rounds: by_round(&parts, |runs| runs[0].rate), parts, note })
}

/// A server whose log has `decisions` decisions.
async fn server(bench: &Bench<'_>, decisions: u32) -> Result<Server> {
    let (mut server, database) = bench.serve("simulate").await?;
    for instance in Instance::start(&server.url(), &[&server.url()], RUNS).await? {
        instance.decide().await?;
    }
    let row = Sample::read(&database.url, "decision").await?;
    server.ask_to_stop()?;
    server.ended().await?;
    let mut conn = countersign_integration::connect(&database.url).await?;
    let runs: Vec<Uuid> = sqlx::query_scalar("SELECT instance_id FROM instance").fetch_all(&mut conn).await?;
    conn.close().await?;
    eprintln!("  writing {decisions} decisions");
    seed::grow(&database.url, &row, decisions, &runs).await?;
    bench.launch(&database).variable("COUNTERSIGN_WORKER_THREADS", "1").start().await
}

async fn run(auditor: &Connection, pid: u32, decisions: u32) -> Result<Run> {
    let request = SimulatePolicyRequest { document: document(1000), ..Default::default() };
    let (start, before) = (Instant::now(), cpu_time(pid));
    let mut pieces = auditor.policies().simulate_policy(request).await?.into_inner();
    let mut last = None;
    while let Some(piece) = pieces.try_next().await? {
        last = Some(piece);
    }
    let (took, after) = (start.elapsed(), cpu_time(pid));
    let last = last.filter(|piece| piece.done).ok_or("the simulation ended before it was done")?;
    let evaluated = u64::try_from(last.evaluated)?;
    if evaluated < decisions.into() {
        return Err(format!("{evaluated} of {decisions} decisions were evaluated: {last:?}").into());
    }
    let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before).div_f64(float(evaluated)));
    Ok(Run { cpu, ..Run::of_rate(float(evaluated) / took.as_secs_f64()) })
}
