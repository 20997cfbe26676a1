//! Strict validation of everything that has a condition, against a schema made for the document.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator, ffi::DetailedError, pst::Clause};
use countersign_core::names::{SHAPE, is_name};

use super::{
    draft::{Draft, Findings},
    entity::Kind,
    types::{ContextTypes, Path, reads},
};
use crate::{context::MAX_DEPTH, text::quoted};

/// Most pairs of a condition and an action that conditions name: validation takes each of them a few microseconds.
const MAX_CHECKS: usize = 500_000;

/// What the document lists; none: nothing is listed, anything goes.
pub(crate) struct Listed<'d> {
    pub(crate) roles: Option<HashSet<&'d str>>,
    pub(crate) tools: Option<HashSet<&'d str>>,
}

/// Checks all drafts and says what each reads from the context, such as `context.amount_cents`, in their order.
pub(crate) fn validate(drafts: &[Draft], listed: &Listed<'_>, findings: &mut Findings<'_>) -> Vec<Vec<String>> {
    let clauses: Vec<Vec<Clause>> =
        drafts.iter().map(|draft| draft.check.as_ref().map_or_else(Vec::new, clauses)).collect();
    let (types, contradicting) = infer(drafts, &clauses, findings);
    let named = check_names(drafts, listed, findings);
    let paths: Vec<BTreeSet<Path>> =
        clauses.iter().map(|clauses| reads(clauses, &types).into_iter().map(|read| read.path).collect()).collect();
    let sure = |nth: usize| !contradicting.contains(&nth) && !paths[nth].iter().any(|path| types.is_guess(path));
    check_types(drafts, &types, &named, sure, findings);
    paths.iter().map(|paths| paths.iter().map(spelled).collect()).collect()
}

fn clauses(policy: &Policy) -> Vec<Clause> {
    // What parsed as Cedar text always has this form; without it Cedar's own validation below still runs.
    policy.to_pst().map(|policy| policy.body().clauses().clone()).unwrap_or_default()
}

/// `context.a.b`.
fn spelled(path: &Path) -> String {
    path.iter().fold("context".to_owned(), |text, name| text + "." + name)
}

/// Reads the context's types off all conditions. A type may come to light only after another one did, so this repeats until
/// nothing changes. Also says which drafts contradict others.
fn infer(drafts: &[Draft], clauses: &[Vec<Clause>], findings: &mut Findings<'_>) -> (ContextTypes, HashSet<usize>) {
    const PASSES: usize = 4;
    let mut types = ContextTypes::default();
    let mut contradictions = Vec::new();
    for _ in 0..PASSES {
        let mut changed = false;
        contradictions.clear();
        for (nth, clauses) in clauses.iter().enumerate() {
            for read in reads(clauses, &types) {
                if read.path.len() > MAX_DEPTH {
                    contradictions.push((
                        nth,
                        format!("the context is at most {MAX_DEPTH} deep, {} is more", spelled(&read.path)),
                    ));
                    continue;
                }
                match types.note(&read, nth) {
                    Ok(new) => changed |= new,
                    Err((other, words)) => contradictions.push((
                        nth,
                        format!(
                            "{} is {} here and {words} in rule {:?}; an attribute has one type in a whole document",
                            spelled(&read.path),
                            read.kind.map_or("something else", super::types::Kind::words),
                            drafts[other].id,
                        ),
                    )),
                }
            }
        }
        if !changed {
            break;
        }
    }
    if let Some((path, by, other)) = types.torn() {
        let message = format!("{} is a value here and a mapping in rule {:?}", spelled(path), drafts[other].id);
        contradictions.push((by, message));
        contradictions
            .push((other, format!("{} is a mapping here and a value in rule {:?}", spelled(path), drafts[by].id)));
    }
    let mut contradicting = HashSet::new();
    for (nth, message) in contradictions {
        findings.report(&drafts[nth], None, message);
        contradicting.insert(nth);
    }
    (types, contradicting)
}

/// Holds every role, tool and action that Cedar text names to what the document knows. Returns the actions so named.
fn check_names(drafts: &[Draft], listed: &Listed<'_>, findings: &mut Findings<'_>) -> BTreeSet<Arc<str>> {
    let actions: HashSet<&str> =
        drafts.iter().flat_map(|draft| draft.scope.actions.iter().flatten()).map(AsRef::as_ref).collect();
    let mut named = BTreeSet::new();
    for draft in drafts {
        for uid in draft.check.iter().flat_map(Policy::entity_literals) {
            let id = uid.id().unescaped();
            let known = |listed: &Option<HashSet<&str>>| listed.as_ref().is_none_or(|listed| listed.contains(id));
            let Some(kind) = Kind::of(&uid) else { continue };
            let wrong = match kind {
                Kind::Role | Kind::Tool | Kind::Action if !is_name(id) => format!("must be named by {SHAPE}"),
                Kind::Role if !known(&listed.roles) => "is not listed under `roles`".to_owned(),
                Kind::Tool if !known(&listed.tools) => "is not registered under `tools`".to_owned(),
                Kind::Action if !actions.contains(id) => "is in no rule's actions".to_owned(),
                Kind::Action => {
                    named.insert(Arc::from(id));
                    continue;
                }
                Kind::Instance | Kind::Role | Kind::Tool => continue,
            };
            let offset = draft.check.as_ref().and_then(|check| check.to_string().find(&uid.to_string()));
            findings.report(draft, offset, format!("{}::{} {wrong}", kind.as_str(), quoted(id)));
        }
    }
    named
}

/// Cedar's strict validation.
fn check_types(
    drafts: &[Draft],
    types: &ContextTypes,
    named: &BTreeSet<Arc<str>>,
    sure: impl Fn(usize) -> bool,
    findings: &mut Findings<'_>,
) {
    let mut set = PolicySet::new();
    for (nth, check) in drafts.iter().enumerate().filter_map(|(nth, draft)| Some((nth, draft.check.as_ref()?))) {
        if sure(nth) && set.add(check.new_id(PolicyId::new(nth.to_string()))).is_err() {
            findings.report(&drafts[nth], None, "is not a policy by itself; templates are not supported");
        }
    }
    let Some(first) = set.policies().next().and_then(draft_of) else { return };
    if set.num_of_policies().saturating_mul(named.len() + 1) > MAX_CHECKS {
        let message = format!(
            "too much to validate: {} conditions that may meet {} actions named in conditions; name fewer, in `allowed_actions`",
            set.num_of_policies(),
            named.len(),
        );
        findings.report(&drafts[first], None, message);
        return;
    }
    let schema = match Schema::from_cedarschema_str(&schema(types, named)) {
        Ok((schema, _)) => schema,
        Err(error) => {
            findings.report(&drafts[first], None, format!("the conditions do not fit one schema: {error}"));
            return;
        }
    };
    for error in Validator::new(schema).validate(&set, ValidationMode::Strict).validation_errors() {
        let Some(draft) = set.policy(error.policy_id()).and_then(draft_of).and_then(|nth| drafts.get(nth)) else {
            continue;
        };
        let detail = DetailedError::from(error);
        let prefix = format!("for policy `{}`, ", error.policy_id());
        let mut message = detail.message.strip_prefix(&prefix).unwrap_or(&detail.message).to_owned();
        if let Some(help) = detail.help {
            message.push_str("; ");
            message.push_str(&help);
        }
        findings.report(draft, detail.source_locations.first().map(|label| label.loc.start), message);
    }
}

fn draft_of(policy: &Policy) -> Option<usize> {
    AsRef::<str>::as_ref(policy.id()).parse().ok()
}

/// The schema: what every principal has, and the context as it is used. Only actions that conditions name need to be told
/// apart; all others are one, whose name no action can have.
fn schema(types: &ContextTypes, named: &BTreeSet<Arc<str>>) -> String {
    let mut text = String::from(
        "entity Role;\nentity Tool;\nentity Instance in [Role] = { agent_instance_id: String, root_instance_id: String, \
         sponsor_id: String, agent: String, role: String, depth: Long, purpose: String, tools: Set<String> } tags String;\n",
    );
    text.push_str("action \"(any other)\"");
    for action in named {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {action:?}");
    }
    let _ = writeln!(text, " appliesTo {{ principal: [Instance], resource: [Tool], context: {} }};", types.schema());
    text
}
