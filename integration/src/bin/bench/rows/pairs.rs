//! Rows that compare the server with itself: rules, events, replicas.

use std::fmt::Write as _;

use countersign_integration::Server;

use super::{Bench, Side, by_round};
use crate::{
    Result,
    client::Instance,
    figures::Run,
    load::{self, Length},
    report::Finding,
    sample::Sample,
    seed,
};

const CALLERS: usize = 64;

/// A server's URL and process.
type At = (String, u32);

fn at(server: &Server) -> At {
    (server.url(), server.pid())
}

/// Decide by 64 callers, on these servers.
async fn decide(servers: Vec<At>, length: Length) -> Result<Run> {
    let urls: Vec<&str> = servers.iter().map(|(url, _)| url.as_str()).collect();
    let pids: Vec<u32> = servers.iter().map(|(_, pid)| *pid).collect();
    let instances = Instance::start(urls[0], &urls, CALLERS).await?;
    load::closed(instances.iter().map(Instance::decider).collect(), length, &pids).await
}

/// The rate of the second over the first.
async fn compare(
    bench: &Bench<'_>,
    (first, first_servers): (&str, Vec<At>),
    (second, second_servers): (&str, Vec<At>),
    note: String,
) -> Result<Finding> {
    let length = bench.options.length();
    let sides = vec![
        Side::new(first, move |_| decide(first_servers.clone(), length)),
        Side::new(second, move |_| decide(second_servers.clone(), length)),
    ];
    let parts = bench.interleave(sides).await?;
    Ok(Finding::Measured { rounds: by_round(&parts, |runs| runs[1].rate / runs[0].rate), parts, note })
}

/// Ten roles, `tools` tools, and a rule with a condition for each pair.
pub(super) fn document(tools: usize) -> String {
    let role = |nth: usize| if nth == 0 { "support".to_owned() } else { format!("role-{nth}") };
    let tool = |nth: usize| if nth == 0 { "billing".to_owned() } else { format!("tool-{nth}") };
    let mut text = "roles:\n".to_owned();
    // Writing to a String cannot fail.
    for nth in 0..10 {
        let _ = writeln!(text, "  - {{id: {}, tools: [billing], max_ttl_seconds: 300}}", role(nth));
    }
    text += "rules:\n";
    for (nth, (role, tool)) in (0..10).flat_map(|r| (0..tools).map(move |t| (role(r), tool(t)))).enumerate() {
        let line =
            format!("{{id: r{nth}, role: {role}, tool: {tool}, allowed_actions: [refund], when: principal.depth < 9}}");
        let _ = writeln!(text, "  - {line}");
    }
    text
}

/// 10,000 rules against 10.
pub(super) async fn rules(bench: &Bench<'_>) -> Result<Finding> {
    let folder = tempfile::tempdir()?;
    let mut servers = Vec::new();
    for tools in [1, 1000] {
        let policy = folder.path().join(format!("{tools}.yaml"));
        std::fs::write(&policy, document(tools))?;
        let database = bench.postgres.database(&format!("rules_{}", tools * 10)).await?;
        let launch = bench.launch(&database).arg("--policy").arg(policy.to_str().ok_or("a path is no text")?);
        servers.push(launch.start().await?);
    }
    let [few, many] = [at(&servers[0]), at(&servers[1])];
    compare(bench, ("10 rules", vec![few]), ("10,000 rules", vec![many]), String::new()).await
}

/// A log of many events against an empty one.
pub(super) async fn events(bench: &Bench<'_>) -> Result<Finding> {
    let (few, _) = bench.serve("events_few").await?;
    let (mut server, database) = bench.serve("events_many").await?;
    Instance::start(&server.url(), &[&server.url()], 1).await?[0].decide().await?;
    let row = Sample::read(&database.url, "decision").await?;
    server.ask_to_stop()?;
    server.ended().await?;
    let count = bench.options.events();
    eprintln!("  writing {count} events");
    seed::grow(&database.url, &row, count, &[]).await?;
    let many = bench.launch(&database).start().await?;
    let note = format!("{count} events of {} bytes a leaf, in one day's partition", row.leaf_bytes.len());
    let grown = format!("{count} events");
    compare(bench, ("an empty log", vec![at(&few)]), (&grown, vec![at(&many)]), note).await
}

/// Two servers against one, on one Postgres.
pub(super) async fn replicas(bench: &Bench<'_>) -> Result<Finding> {
    let (one, database) = bench.serve("replicas").await?;
    let two = bench.launch(&database).start().await?;
    let note = "64 callers in all, half of them at each of the two".to_owned();
    compare(bench, ("one server", vec![at(&one)]), ("two servers", vec![at(&one), at(&two)]), note).await
}

/// This build against another one, each on a database of its own.
pub(super) async fn against(bench: &Bench<'_>) -> Result<Finding> {
    let other = bench.options.against.as_deref().ok_or("--against names no program")?;
    let (this, _) = bench.serve("against_this").await?;
    let database = bench.postgres.database("against_other").await?;
    let other = bench.launch(&database).program(other).start().await?;
    let length = bench.options.length();
    let sides = [("this build", at(&this)), ("the other build", at(&other))]
        .map(|(name, server)| Side::new(name, move |_| decide(vec![server.clone()], length)));
    let parts = bench.interleave(sides.into()).await?;
    let rounds = by_round(&parts, |runs| runs[0].cpu_us() / runs[1].cpu_us());
    Ok(Finding::Measured { rounds, parts, note: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_hold_as_many_rules_as_they_should() {
        for (tools, rules) in [(1, 10), (1000, 10_000)] {
            let text = document(tools);
            assert_eq!(text.lines().filter(|line| line.contains("allowed_actions")).count(), rules);
            assert!(text.len() < 1 << 20, "{} bytes", text.len());
        }
    }
}
