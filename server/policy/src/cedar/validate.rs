//! Strict validation of everything that has a condition, against a schema made for the document.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use cedar_policy::{
    Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
    ffi::DetailedError,
    pst::{Clause, Var},
};
use countersign_core::names::{SHAPE, is_name};

use super::{
    draft::{Draft, Findings},
    entity::Kind,
    types::{By, ContextTypes, Path, reads, spelled},
    world::World,
};
use crate::{context::MAX_DEPTH, entities::EntityTypes, schema::ContextAttribute, text::quoted};

/// Most pairs of a condition and an action that conditions name: validation takes each of them a few microseconds.
const MAX_CHECKS: usize = 500_000;

/// What the document lists; none: nothing is listed, anything goes.
pub(crate) struct Listed<'d> {
    pub(crate) roles: Option<HashSet<&'d str>>,
    pub(crate) tools: Option<HashSet<&'d str>>,
}

/// Checks all drafts and says what each reads from the context, such as `context.amount_cents`, in their order. `declared`
/// is what the document declares of the context.
pub(crate) fn validate(
    drafts: &[Draft],
    listed: &Listed<'_>,
    declared: Option<&[ContextAttribute]>,
    entities: Option<&EntityTypes>,
    findings: &mut Findings<'_>,
) -> Vec<Vec<String>> {
    let clauses: Vec<Vec<Clause>> =
        drafts.iter().map(|draft| draft.check.as_ref().map_or_else(Vec::new, clauses)).collect();
    let (types, contradicting) = infer(drafts, &clauses, ContextTypes::declared(declared), entities, findings);
    let named = check_names(drafts, listed, findings);
    let paths: Vec<BTreeSet<Path>> =
        drafts.iter().zip(&clauses).map(|(draft, clauses)| paths_of(draft, clauses, &types, entities)).collect();
    check_declared(drafts, &types, &paths, findings);
    let sure = |nth: usize| !contradicting.contains(&nth) && !paths[nth].iter().any(|path| types.is_guess(path));
    let sure: Vec<usize> = (0..drafts.len()).filter(|nth| sure(*nth)).collect();
    let among_entities = sure.iter().copied().filter(|nth| drafts[*nth].world != World::Runs).collect::<Vec<_>>();
    let among_runs = sure.into_iter().filter(|nth| drafts[*nth].world.has_runs());
    let (for_one, for_all): (Vec<_>, Vec<_>) = among_runs.partition(|nth| drafts[*nth].scope.tool.is_some());
    for (nths, for_one_tool) in [(for_one, true), (for_all, false)] {
        check_types(drafts, &nths, &schema(&types, for_one_tool, &named), named.len(), findings);
    }
    if let Some(entities) = entities {
        check_types(drafts, &among_entities, &entity_schema(entities, &types, &named), named.len(), findings);
    }
    paths.iter().map(|paths| paths.iter().map(|path| spelled(path)).collect()).collect()
}

fn paths_of(
    draft: &Draft,
    clauses: &[Clause],
    types: &ContextTypes<'_>,
    entities: Option<&EntityTypes>,
) -> BTreeSet<Path> {
    let attributes = |var: &Var, name: &str| draft.world.attribute(entities, var, name);
    reads(clauses, types, &attributes).into_iter().map(|read| read.path).collect()
}

fn clauses(policy: &Policy) -> Vec<Clause> {
    // What parsed as Cedar text always has this form; without it Cedar's own validation below still runs.
    policy.to_pst().map(|policy| policy.body().clauses().clone()).unwrap_or_default()
}

/// Reads the context's types off all conditions. A type may come to light only after another one did, so this repeats until
/// nothing changes. Also says which drafts contradict others, or what is declared.
fn infer<'d>(
    drafts: &[Draft],
    clauses: &[Vec<Clause>],
    mut types: ContextTypes<'d>,
    entities: Option<&EntityTypes>,
    findings: &mut Findings<'_>,
) -> (ContextTypes<'d>, HashSet<usize>) {
    const PASSES: usize = 4;
    let mut contradictions = Vec::new();
    for _ in 0..PASSES {
        let mut changed = false;
        contradictions.clear();
        for (nth, clauses) in clauses.iter().enumerate() {
            let attributes = |var: &Var, name: &str| drafts[nth].world.attribute(entities, var, name);
            for read in reads(clauses, &types, &attributes) {
                if read.path.len() > MAX_DEPTH {
                    contradictions.push((
                        nth,
                        format!("the context is at most {MAX_DEPTH} deep, {} is more", spelled(&read.path)),
                    ));
                    continue;
                }
                if types.is_inside_value(&read.path) {
                    continue;
                }
                match types.note(&read, nth) {
                    Ok(new) => changed |= new,
                    Err((other, words)) => {
                        let here = read.kind.map_or("something else", super::types::Kind::words);
                        let other = match other {
                            By::Declaration => format!("declared as {words}"),
                            By::Draft(other) => format!(
                                "{words} in rule {:?}; an attribute has one type in a whole document",
                                drafts[other].id
                            ),
                        };
                        contradictions.push((nth, format!("{} is {here} here and {other}", spelled(&read.path))));
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    if let Some((path, value, mapping)) = types.torn() {
        let place = |by| match by {
            By::Declaration => "as declared".to_owned(),
            By::Draft(nth) => format!("in rule {:?}", drafts[nth].id),
        };
        for (by, here, there, other) in
            [(value, "a value", "a mapping", mapping), (mapping, "a mapping", "a value", value)]
        {
            if let By::Draft(nth) = by {
                contradictions.push((nth, format!("{} is {here} here and {there} {}", spelled(path), place(other))));
            }
        }
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
        let text = OnceCell::new();
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
            let place = |check: &Policy| text.get_or_init(|| check.to_string()).find(&uid.to_string());
            let offset = draft.check.as_ref().filter(|_| !findings.is_full()).and_then(place);
            findings.report(draft, offset, format!("{}::{} {wrong}", kind.as_str(), quoted(id)));
        }
    }
    named
}

/// Holds what is read from the context to what is declared.
fn check_declared(drafts: &[Draft], types: &ContextTypes<'_>, paths: &[BTreeSet<Path>], findings: &mut Findings<'_>) {
    for (draft, paths) in drafts.iter().zip(paths) {
        for path in paths {
            if let Some(message) = types.unreadable(path, draft.scope.tool.as_deref()) {
                let offset = if findings.is_full() { None } else { draft.mention(path) };
                findings.report(draft, offset, message);
            }
        }
    }
}

/// Cedar's strict validation of the drafts `nths` against `schema`, which knows this many actions.
fn check_types(drafts: &[Draft], nths: &[usize], schema: &str, actions: usize, findings: &mut Findings<'_>) {
    let mut set = PolicySet::new();
    for (nth, check) in nths.iter().filter_map(|nth| Some((nth, drafts[*nth].check.as_ref()?))) {
        if set.add(check.new_id(PolicyId::new(nth.to_string()))).is_err() {
            findings.report(&drafts[*nth], None, "is not a policy by itself; templates are not supported");
        }
    }
    let Some(first) = set.policies().next().and_then(draft_of) else { return };
    if set.num_of_policies().saturating_mul(actions + 1) > MAX_CHECKS {
        let message = format!(
            "too much to validate: {} conditions that may meet {actions} actions named in conditions; name fewer, in `allowed_actions`",
            set.num_of_policies(),
        );
        findings.report(&drafts[first], None, message);
        return;
    }
    let schema = match Schema::from_cedarschema_str(schema) {
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
        let message = plain(&detail, error.policy_id());
        findings.report(draft, detail.source_locations.first().map(|label| label.loc.start), message);
    }
}

/// What the validator says, without what only it knows: the number of the draft, and for which action it looked at it.
fn plain(detail: &DetailedError, id: &PolicyId) -> String {
    let prefix = format!("for policy `{id}`, ");
    let mut message = detail.message.strip_prefix(&prefix).unwrap_or(&detail.message).to_owned();
    let action = " in context for Action::\"";
    if let Some(start) = message.find(action)
        && let Some(length) = message[start + action.len()..].find('"')
    {
        message.replace_range(start..=start + action.len() + length, " in context");
    }
    if let Some(help) = &detail.help {
        message.push_str("; ");
        message.push_str(help);
    }
    message
}

fn draft_of(policy: &Policy) -> Option<usize> {
    AsRef::<str>::as_ref(policy.id()).parse().ok()
}

/// The schema: what every principal has, and the context as it is declared or used. Only actions that conditions name need
/// to be told apart; all others are one, whose name no action can have.
fn schema(types: &ContextTypes<'_>, for_one_tool: bool, named: &BTreeSet<Arc<str>>) -> String {
    let mut text = String::from(
        "entity Role;\nentity Tool;\nentity Instance in [Role] = { agent_instance_id: String, root_instance_id: String, \
         sponsor_id: String, agent: String, role: String, depth: Long, purpose: String, tools: Set<String> } tags String;\n",
    );
    apply(&mut text, named, "Instance", "Tool", &types.schema(for_one_tool));
    text
}

/// The schema of declared types, any of which may act on any.
fn entity_schema(entities: &EntityTypes, types: &ContextTypes<'_>, named: &BTreeSet<Arc<str>>) -> String {
    let mut text = entities.schema();
    let all = entities.types.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    apply(&mut text, named, &all, &all, &types.schema(false));
    text
}

fn apply(text: &mut String, named: &BTreeSet<Arc<str>>, principals: &str, resources: &str, context: &str) {
    text.push_str("action \"(any other)\"");
    for action in named {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {action:?}");
    }
    let _ = writeln!(text, " appliesTo {{ principal: [{principals}], resource: [{resources}], context: {context} }};");
}
