//! Strict validation of every condition: its uses of the context do not contradict others, it reads only declared
//! attributes, the roles, tools and actions that Cedar text names exist, and it can be true ("can never apply").

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use cedar_policy::{
    Policy,
    pst::{Clause, Var},
};
use countersign_core::names::{CALL_SHAPE, SHAPE, is_call_name, is_name};

use super::{
    domain::PolicyDomain,
    draft::{Draft, Findings},
    entity::Kind,
    lint::Linter,
    reads::reads,
    typed::{Schemas, Typed},
    types::{By, ContextTypes, Path},
};
use crate::{
    context::{MAX_DEPTH, Named},
    document::{RoleSpec, ToolSpec},
    entities::EntityTypes,
    schema::ContextAttribute,
    text::quoted,
    text::spelled,
};

/// The document's lists. `None` if a list is missing, so that any name is permitted.
struct Listed<'d> {
    roles: Option<HashSet<&'d str>>,
    tools: Option<HashSet<&'d str>>,
}

/// The results of checking drafts.
pub(crate) struct Validated {
    /// The parts of the context that each draft names, in the order of the drafts.
    pub(crate) names: Vec<Vec<Named>>,
    /// The drafts that are evaluated in a rewritten form, which is the one that was validated.
    pub(crate) rewritten: BTreeSet<usize>,
}

/// Checks all drafts. `declared` has the document's declarations about the context.
pub(crate) fn validate(
    drafts: &[Draft],
    roles: Option<&[RoleSpec]>,
    tools: Option<&[ToolSpec]>,
    declared: Option<&[ContextAttribute]>,
    entities: Option<&EntityTypes>,
    findings: &mut Findings<'_>,
) -> Validated {
    let listed = Listed {
        roles: roles.map(|roles| roles.iter().map(|spec| spec.role.as_str()).collect()),
        tools: tools.map(|tools| tools.iter().map(|spec| spec.tool.as_str()).collect()),
    };
    let clauses: Vec<Vec<Clause>> =
        drafts.iter().map(|draft| draft.check.as_ref().map_or_else(Vec::new, clauses)).collect();
    let (types, contradicting) = infer(drafts, &clauses, ContextTypes::declared(declared), entities, findings);
    let named = check_names(drafts, &listed, findings);
    let read: Vec<BTreeSet<Named>> =
        drafts.iter().zip(&clauses).map(|(draft, clauses)| names_in(draft, clauses, &types, entities)).collect();
    let paths: Vec<BTreeSet<Path>> = read.iter().map(|all| all.iter().map(|one| one.path.clone()).collect()).collect();
    check_declared(drafts, &types, &paths, findings);
    let outcome = check_types(
        drafts,
        &types,
        entities,
        &named,
        |nth| !contradicting.contains(&nth) && !paths[nth].iter().any(|path| types.is_guess(path)),
        findings,
    );
    let unknown = Linter::new(&types, entities, roles).look(drafts, &clauses, findings);
    // The other contents of an undeclared mapping are unknown.
    let opaque = |nth: &usize| read[*nth].iter().any(|one| !one.presence && types.is_open(&one.path));
    for nth in outcome.impossible().filter(|nth| !unknown.contains(nth) && !opaque(nth)) {
        findings.weigh(&drafts[nth], None, "can never apply: its condition is false whatever is asked");
    }
    let sure = |(draft, read): (&Draft, BTreeSet<Named>)| match &draft.check {
        // The attributes that it reads are unknown.
        Some(check) if check.to_pst().is_err() => vec![Named::everything()],
        _ => read.into_iter().collect(),
    };
    Validated { names: drafts.iter().zip(read).map(sure).collect(), rewritten: outcome.rewritten }
}

/// Checks all drafts with Cedar's validator. Those that are not `sure` may fail against the schema, in which their
/// types are guesses.
fn check_types(
    drafts: &[Draft],
    types: &ContextTypes<'_>,
    entities: Option<&EntityTypes>,
    named: &BTreeSet<Arc<str>>,
    sure: impl Fn(usize) -> bool,
    findings: &mut Findings<'_>,
) -> Typed {
    let mut outcome = Typed::default();
    let mut check = |of: &dyn Fn(&Draft) -> bool, schemas: &Schemas| {
        let nths = (0..drafts.len()).filter(|nth| drafts[*nth].check.is_some() && of(&drafts[*nth]));
        let (sure, guessed): (Vec<_>, Vec<_>) = nths.partition(|nth| sure(*nth));
        outcome.check(drafts, &sure, schemas, false, findings);
        outcome.check(drafts, &guessed, schemas, true, findings);
    };
    for for_one_tool in [true, false] {
        let of = |draft: &Draft| draft.domain.has_runs() && draft.scope.tool.is_some() == for_one_tool;
        check(&of, &Schemas::of_runs(types, entities, for_one_tool, named));
    }
    if let Some(entities) = entities {
        check(&|draft| draft.domain != PolicyDomain::Runs, &Schemas::of_entities(entities, types, named));
    }
    outcome
}

fn names_in(
    draft: &Draft,
    clauses: &[Clause],
    types: &ContextTypes<'_>,
    entities: Option<&EntityTypes>,
) -> BTreeSet<Named> {
    let attributes = |var: &Var, name: &str| draft.domain.attribute(entities, var, name);
    let reads = reads(clauses, types, &attributes).into_iter();
    reads.map(|read| Named { path: read.path, presence: read.presence }).collect()
}

fn clauses(policy: &Policy) -> Vec<Clause> {
    // A policy that was parsed as Cedar text always has this form; without it Cedar's validation below still runs.
    policy.to_pst().map(|policy| policy.body().clauses().clone()).unwrap_or_default()
}

/// Infers the context's types from all conditions. A type may become known only after another one, so this repeats
/// until nothing changes. Also returns the drafts that contradict others, or the declarations.
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
            let attributes = |var: &Var, name: &str| drafts[nth].domain.attribute(entities, var, name);
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

/// Checks every role, tool and action that Cedar text names against the document. Returns the actions that are named.
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
                Kind::Role if !is_name(id) => format!("must be named by {SHAPE}"),
                Kind::Tool | Kind::Action if !is_call_name(id) => format!("must be named by {CALL_SHAPE}"),
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

/// Checks the attributes that are read from the context against the declarations.
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
