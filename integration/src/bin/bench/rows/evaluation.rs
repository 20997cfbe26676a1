//! Rows about evaluation alone, in this process: the cost of a policy before anything is sent or recorded, and the cost
//! of the same rules as one Cedar set.

use std::{
    collections::BTreeMap,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use cedar_policy::{Authorizer, Decision, Entities, EntityUid, PolicySet};
use countersign_policy::{CompiledPolicy, Context, Principal, PrincipalSpec, Request};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{Bench, Kind, Row, Side, by_round, failed, pairs::document};
use crate::{
    Result,
    figures::{Run, float, histogram},
    load::Length,
    report::{Finding, Part},
};

/// The numbers of tools in the documents, each with ten rules.
const TOOLS: [usize; 4] = [1, 10, 100, 1000];
/// The stack size of the server's threads.
const STACK: usize = 8 << 20;

const INSTANCE: &str = "inst_018f8a52-7d3c-7b41-9d36-5a1d0f6c2b11";

/// Measures the rows, both from the same runs.
pub(super) async fn measure(bench: &Bench<'_>, rows: &[&'static Row]) -> Vec<(&'static Row, Finding)> {
    debug_assert!(rows.iter().all(|row| row.kind == Kind::Evaluation), "only rows of evaluation");
    if rows.is_empty() {
        return Vec::new();
    }
    eprintln!("measuring evaluation");
    let parts = match run(bench).await {
        Ok(parts) => parts,
        Err(error) => return rows.iter().map(|row| (*row, failed(&error))).collect(),
    };
    let finding = |row: &Row| {
        let rounds = if row.key == "flat" {
            by_round(&parts, |runs| runs[0].rate / runs[TOOLS.len() - 1].rate)
        } else {
            by_round(&parts, |runs| runs[TOOLS.len() - 1].rate / runs[2 * TOOLS.len() - 1].rate)
        };
        Finding::Measured { rounds, parts: parts.clone(), note: "one thread; one rule of each set matches".to_owned() }
    };
    rows.iter().map(|row| (*row, finding(row))).collect()
}

async fn run(bench: &Bench<'_>) -> Result<Vec<Part>> {
    let length = bench.options.length();
    let ours = TOOLS.map(|tools| {
        let document = document(tools);
        Side::new(format!("{} rules", tools * 10), move |_| measured(document.clone(), length, ours))
    });
    let cedar = TOOLS.map(|tools| {
        let document = document(tools);
        Side::new(format!("{} rules as one Cedar set", tools * 10), move |_| measured(document.clone(), length, cedar))
    });
    bench.interleave(ours.into_iter().chain(cedar).collect()).await
}

/// Runs `evaluate` on a thread like the server's.
async fn measured(
    document: String,
    length: Length,
    evaluate: fn(&CompiledPolicy, Length) -> Result<Run>,
) -> Result<Run> {
    let on_thread = move || {
        let policy = CompiledPolicy::load(&document, "").map_err(|violations| violations.to_string())?;
        evaluate(&policy, length)
    };
    let thread = thread::Builder::new().stack_size(STACK).spawn(on_thread)?;
    spawn_blocking(move || thread.join()).await?.map_err(|_| "the measuring thread panicked")?
}

fn ours(policy: &CompiledPolicy, length: Length) -> Result<Run> {
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: INSTANCE,
        root_instance_id: INSTANCE,
        sponsor_id: "alice",
        agent: "support-assistant",
        role: "support",
        inherited_roles: &[],
        depth: 0,
        purpose: "measured",
        tools: &["billing".parse()?],
        labels: &BTreeMap::new(),
    });
    let context = Context::default();
    let request =
        Request { principal: &principal, tool: "billing", action: "refund", purpose: "measured", context: &context };
    let allows = || policy.evaluate(black_box(&request)).effect == countersign_core::decision::Effect::Allow;
    timed(length, allows)
}

fn cedar(policy: &CompiledPolicy, length: Length) -> Result<Run> {
    let set: PolicySet = policy.to_cedar().parse()?;
    let uid = |kind: &str, id: &str| -> Result<EntityUid> { Ok(format!("{kind}::{id:?}").parse()?) };
    let instance = json!([{
        "uid": {"type": "Instance", "id": INSTANCE},
        "attrs": {
            "agent_instance_id": INSTANCE, "root_instance_id": INSTANCE, "sponsor_id": "alice",
            "agent": "support-assistant", "role": "support", "depth": 0, "purpose": "measured", "tools": ["billing"],
        },
        "parents": [{"type": "Role", "id": "support"}],
    }]);
    let entities = Entities::from_json_value(instance, None)?;
    let context = cedar_policy::Context::from_json_value(json!({"purpose": "measured"}), None)?;
    let (principal, action, tool) = (uid("Instance", INSTANCE)?, uid("Action", "refund")?, uid("Tool", "billing")?);
    let request = cedar_policy::Request::new(principal, action, tool, context, None)?;
    let authorizer = Authorizer::new();
    timed(length, || authorizer.is_authorized(black_box(&request), &set, &entities).decision() == Decision::Allow)
}

/// Evaluates repeatedly; an answer that is not ALLOW ends the run.
fn timed(length: Length, allows: impl Fn() -> bool) -> Result<Run> {
    let ask = |until: Duration| -> Result<_> {
        let (mut times, start, mut before) = (histogram(), Instant::now(), Instant::now());
        while before - start < until {
            if !allows() {
                return Err("a call that is allowed was not".into());
            }
            let after = Instant::now();
            times.record(u64::try_from((after - before).as_nanos())?.max(1))?;
            before = after;
        }
        Ok((times, start.elapsed()))
    };
    ask(length.warm_up)?;
    let (times, took) = ask(length.measured)?;
    Ok(Run::of_times(float(times.len()) / took.as_secs_f64(), &times))
}
