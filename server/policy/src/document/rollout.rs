//! `rollout`: the document's wishes for its rollout: percent, increment, baseline, sticky key, steps (which must rise),
//! the minimum soak (and how long it may be), scope, and gates.

use std::collections::BTreeMap;

use countersign_core::rollout::{Baseline, Gates, OnBreach, Percent, Scope, StickyKey};

use super::{
    reader::{NamedEntry, Path, Reader},
    tables::Tables,
    tree::Node,
};

const KEYS: [&str; 8] =
    ["percent", "increment", "baseline", "sticky_key", "steps", "min_soak_seconds", "scope", "gates"];
const GATE_KEYS: [&str; 7] = [
    "missing_sponsor_bp",
    "policy_error_bp",
    "latency_p95_ms",
    "window_seconds",
    "min_decisions",
    "on_breach",
    "issuance_failure_bp",
];
/// Longest minimum time on a step, in seconds: 30 days.
const MAX_SOAK: u32 = 30 * 24 * 3600;

/// The document's wishes for its rollout. A field that is `None` has the server's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RolloutSpec {
    /// Percentage of callers at the start.
    pub percent: Percent,
    /// Percentage points per day that automation may add, 1 to 100.
    pub increment: Option<Percent>,
    /// The baseline, for callers outside of the rollout.
    pub baseline: Option<Baseline>,
    /// The id that decides a caller's side.
    pub sticky_key: Option<StickyKey>,
    /// The percentages of the steps, rising.
    pub steps: Option<Vec<Percent>>,
    /// Shortest stay on a step, seconds.
    pub min_soak_seconds: Option<u32>,
    /// The callers that the rollout applies to; empty for all.
    pub scope: Scope,
    /// The gates: when the rollout stops by itself.
    pub gates: Gates,
}

pub(super) fn read(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Option<RolloutSpec> {
    const STICKY: [(&str, StickyKey); 3] =
        [("root_instance", StickyKey::RootInstance), ("sponsor", StickyKey::Sponsor), ("agent", StickyKey::Agent)];
    let fields = reader.fields(node, path, &KEYS)?;
    let percent = reader
        .required(&fields, path, "percent")
        .and_then(|node| percent_in(reader, node, &Path::Key(path, "percent"), 0));
    let mut spec = RolloutSpec { percent: percent.unwrap_or_default(), ..RolloutSpec::default() };
    if let Some(node) = fields.get("increment") {
        spec.increment = percent_in(reader, node, &Path::Key(path, "increment"), 1);
    }
    if let Some(node) = fields.get("baseline") {
        spec.baseline = read_baseline(reader, node, &Path::Key(path, "baseline"));
    }
    if let Some(node) = fields.get("sticky_key") {
        spec.sticky_key = reader.word(node, &Path::Key(path, "sticky_key"), &STICKY);
    }
    if let Some(node) = fields.get("steps") {
        spec.steps = Some(read_steps(reader, node, &Path::Key(path, "steps")));
    }
    if let Some(node) = fields.get("min_soak_seconds") {
        spec.min_soak_seconds = reader.whole(node, &Path::Key(path, "min_soak_seconds"), 0, MAX_SOAK);
    }
    if let Some(node) = fields.get("scope") {
        spec.scope = read_scope(reader, node, &Path::Key(path, "scope"), tables);
    }
    if let Some(node) = fields.get("gates") {
        spec.gates = read_gates(reader, node, &Path::Key(path, "gates"));
    }
    Some(spec)
}

fn percent_in(reader: &mut Reader, node: &Node, path: &Path<'_>, from: u32) -> Option<Percent> {
    reader.whole(node, path, from, 100).and_then(|number| Percent::try_from(number).ok())
}

/// The thresholds; the default for each one that the document leaves out.
fn read_gates(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Gates {
    const ON_BREACH: [(&str, OnBreach); 2] = [("rollback", OnBreach::Rollback), ("pause", OnBreach::Pause)];
    let mut gates = Gates::default();
    let Some(fields) = reader.fields(node, path, &GATE_KEYS) else { return gates };
    let mut whole = |key, from, to| {
        let node = fields.get(key)?;
        reader.whole(node, &Path::Key(path, key), from, to)
    };
    let (first, last) = (*Gates::WINDOW.start(), *Gates::WINDOW.end());
    gates.missing_sponsor_bp = whole("missing_sponsor_bp", 0, Gates::MAX_BP).unwrap_or(gates.missing_sponsor_bp);
    gates.policy_error_bp = whole("policy_error_bp", 0, Gates::MAX_BP).unwrap_or(gates.policy_error_bp);
    gates.latency_p95_ms = whole("latency_p95_ms", 0, Gates::MAX_LATENCY_MS).unwrap_or(gates.latency_p95_ms);
    gates.window_seconds = whole("window_seconds", first, last).unwrap_or(gates.window_seconds);
    gates.min_decisions = whole("min_decisions", 1, i32::MAX.unsigned_abs()).unwrap_or(gates.min_decisions);
    gates.issuance_failure_bp = whole("issuance_failure_bp", 0, Gates::MAX_BP);
    if let Some(node) = fields.get("on_breach") {
        gates.on_breach = reader.word(node, &Path::Key(path, "on_breach"), &ON_BREACH).unwrap_or_default();
    }
    gates
}

fn read_baseline(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Option<Baseline> {
    match reader.text(node, path, 32)?.parse::<Baseline>() {
        Ok(baseline) => Some(baseline),
        Err(error) => {
            reader.report(node.at, path, error.to_string());
            None
        }
    }
}

fn read_steps(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Vec<Percent> {
    let mut steps: Vec<Percent> = Vec::new();
    for (nth, item) in reader.list(node, path).iter().enumerate() {
        let path = Path::Item(path, nth);
        let Some(step) = percent_in(reader, item, &path, 1) else { continue };
        if let Some(last) = steps.last().filter(|last| **last >= step) {
            reader.report(item.at, &path, format!("steps must rise: {step} comes after {last}"));
        } else {
            steps.push(step);
        }
    }
    steps
}

fn read_scope(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Scope {
    let Some(fields) = reader.fields(node, path, &["tools", "roles", "sponsors", "labels"]) else {
        return Scope::default();
    };
    let mut names = |key, check: &dyn Fn(&mut Reader, &_, &Path<'_>)| {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let path = Path::Key(path, key);
        let names = if key == "tools" { reader.calls(node, &path) } else { reader.names(node, &path) };
        for (nth, name) in names.iter().enumerate() {
            check(reader, name, &Path::Item(&path, nth));
        }
        names.iter().map(|name| name.value.to_string()).collect()
    };
    let tools = names("tools", &|reader, name, path| tables.check_tool(reader, name, path));
    let roles = names("roles", &|reader, name, path| tables.check_role(reader, name, path));
    let sponsors = names("sponsors", &|_, _, _| ());
    let labels =
        fields.get("labels").map(|node| read_labels(reader, node, &Path::Key(path, "labels"))).unwrap_or_default();
    Scope { tools, roles, sponsors, labels }
}

fn read_labels(reader: &mut Reader, node: &Node, path: &Path<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for NamedEntry { name, key, value } in reader.entries(node, path).unwrap_or_default() {
        let path = Path::Key(path, name);
        reader.name(key, &path);
        if let Some(text) = reader.text(value, &path, 128) {
            labels.insert(name.to_owned(), text.to_owned());
        }
    }
    labels
}
