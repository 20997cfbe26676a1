//! Finds mistakes that Cedar accepts: attributes that do not exist, entities that no policy can know, deny rules that
//! do not apply if an attribute is missing, rules for a tool that the role may not use, and denied actions that no rule
//! allows.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Write as _,
};

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Var};
use countersign_core::{decision::Effect, likeness::did_you_mean};

use super::{
    absence::{Asked, Root, asked, children, presence, switched_off},
    domain::PolicyDomain,
    draft::{Draft, Findings},
    types::ContextTypes,
};
use crate::{
    document::RoleSpec,
    entities::EntityTypes,
    schema::{ContextAttribute, ContextType},
    text::{listed, quoted},
};

/// The attributes of every run.
pub(crate) const OF_RUNS: [&str; 8] =
    ["agent", "agent_instance_id", "depth", "purpose", "role", "root_instance_id", "sponsor_id", "tools"];
/// Longest corrected form that is written into a message, in bytes.
const MAX_FORM: usize = 300;
/// For how many names a similar name is searched, at most.
const MAX_HINTS: usize = 100;

/// A name that a draft uses and that does not exist, and what to say of it.
#[derive(PartialEq, Eq)]
struct UnknownName {
    name: String,
    message: String,
}

/// The document's declarations, against which drafts are checked.
pub(crate) struct Linter<'d> {
    pub(crate) types: &'d ContextTypes<'d>,
    pub(crate) entities: Option<&'d EntityTypes>,
    pub(crate) roles: HashMap<&'d str, &'d RoleSpec>,
    /// How many more similar names it searches; this limits the cost of a hostile document.
    hints: Cell<usize>,
}

impl<'d> Linter<'d> {
    pub(crate) fn new(
        types: &'d ContextTypes<'d>,
        entities: Option<&'d EntityTypes>,
        roles: Option<&'d [RoleSpec]>,
    ) -> Self {
        let roles = roles.into_iter().flatten().map(|spec| (spec.role.as_str(), spec)).collect();
        Self { types, entities, roles, hints: Cell::new(MAX_HINTS) }
    }

    fn hint<'k>(&self, name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
        let left = self.hints.get();
        self.hints.set(left.saturating_sub(1));
        if left == 0 { String::new() } else { did_you_mean(name, known) }
    }

    /// Checks all drafts. Returns those that name something that does not exist, because a message that they never
    /// apply would be redundant.
    pub(crate) fn look(
        &self,
        drafts: &[Draft],
        clauses: &[Vec<Clause>],
        findings: &mut Findings<'_>,
    ) -> HashSet<usize> {
        let mut unknown = HashSet::new();
        for (nth, (draft, clauses)) in drafts.iter().zip(clauses).enumerate() {
            let mut wrong = Vec::new();
            for clause in clauses {
                let (Clause::When(expr) | Clause::Unless(expr)) = clause;
                self.visit(draft, expr, &mut wrong);
            }
            if !wrong.is_empty() {
                unknown.insert(nth);
            }
            wrong.dedup();
            for UnknownName { name, message } in wrong {
                findings.weigh(draft, draft.question(&[name]), message);
            }
            if draft.effect == Effect::Deny {
                self.absent(draft, clauses, findings);
            }
            self.outside_role(draft, findings);
        }
        self.unallowed(drafts, findings);
        unknown
    }

    /// The names in an expression that do not exist: each name, and the message.
    fn visit(&self, draft: &Draft, expr: &Expr, wrong: &mut Vec<UnknownName>) {
        match expr {
            Expr::HasAttr { expr: of, attrs } => {
                wrong.extend(self.attribute(draft, of, attrs.iter().map(ToString::to_string).collect()));
            }
            Expr::GetAttr { expr: of, attr } => wrong.extend(self.elsewhere(of, attr)),
            Expr::BinaryOp { op: BinaryOp::HasTag | BinaryOp::GetTag | BinaryOp::In, left, .. } => {
                wrong.extend(self.elsewhere(left, ""));
            }
            _ => {}
        }
        for inner in children(expr) {
            self.visit(draft, inner, wrong);
        }
    }

    /// What is wrong with testing whether `of` has the attribute at `path`.
    fn attribute(&self, draft: &Draft, of: &Expr, mut path: Vec<String>) -> Option<UnknownName> {
        let mut root = of;
        while let Expr::GetAttr { expr, attr } = root {
            path.insert(0, attr.to_string());
            root = expr;
        }
        match root {
            Expr::Var(Var::Principal) => self.of_principal(draft, &path),
            Expr::Var(Var::Resource) => {
                let kinds = self.kinds(draft, Root::Resource);
                self.missing("resource", &path, &kinds, &[], draft.domain.has_runs())
            }
            Expr::Var(Var::Action) => {
                Some(UnknownName { name: path.first()?.clone(), message: "an action has no attributes".to_owned() })
            }
            Expr::Literal(Literal::EntityUID(uid)) => {
                let kind = self.entities?.attributes(&uid.ty.to_string())?;
                self.elsewhere(root, path.first()?)
                    .or_else(|| self.missing(&uid.to_string(), &path, &[kind], &[], false))
            }
            _ => None,
        }
    }

    fn of_principal(&self, draft: &Draft, path: &[String]) -> Option<UnknownName> {
        let runs = draft.domain.has_runs();
        let kinds = self.kinds(draft, Root::Principal);
        let mut unknown = self.missing("principal", path, &kinds, if runs { &OF_RUNS } else { &[] }, runs)?;
        if runs && path.len() == 1 {
            let name = &unknown.name;
            // Writing to a String cannot fail.
            let _ = write!(
                unknown.message,
                "; a label is read as principal.hasTag({name:?}) && principal.getTag({name:?}) == \"...\""
            );
        }
        Some(unknown)
    }

    /// The declared types that the principal or the resource may have.
    fn kinds(&self, draft: &Draft, root: Root) -> Vec<&[ContextAttribute]> {
        let Some(entities) = self.entities else { return Vec::new() };
        let named = match (&draft.domain, root) {
            (PolicyDomain::Runs, _) => return Vec::new(),
            (PolicyDomain::Entities { subject, .. }, Root::Principal) => subject.as_deref(),
            (PolicyDomain::Entities { resource, .. }, _) => resource.as_deref(),
            (PolicyDomain::Both, _) => None,
        };
        let all = entities.types.iter().filter(|(name, _)| named.is_none_or(|named| named == &***name));
        all.map(|(_, declared)| declared.as_slice()).collect()
    }

    /// Why an attribute of an entity that a policy names by its id is not known, if that is the case.
    fn elsewhere(&self, of: &Expr, attribute: &str) -> Option<UnknownName> {
        let Expr::Literal(Literal::EntityUID(uid)) = of else { return None };
        let kind = uid.ty.to_string();
        if kind == "Instance" {
            let message =
                format!("a policy knows only the run that calls: compare principal with {uid}, or read principal");
            return Some(UnknownName { name: uid.eid.to_string(), message });
        }
        self.entities?.attributes(&kind)?;
        let known = self.entities?.known.get(kind.as_str());
        if attribute.is_empty() || known.is_some_and(|known| known.contains_key(uid.eid.as_str())) {
            return None;
        }
        let ids = known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
        let message = format!(
            "{kind}::{} is not among `entities`, so it has no attributes{}",
            quoted(&uid.eid),
            self.hint(&uid.eid, ids)
        );
        Some(UnknownName { name: uid.eid.to_string(), message })
    }

    /// Warns if a caller can evade a deny rule by leaving out an attribute.
    fn absent(&self, draft: &Draft, clauses: &[Clause], findings: &mut Findings<'_>) {
        let absent: Vec<Asked> = asked(clauses)
            .into_iter()
            .filter(|asked| self.is_optional(draft, asked) && switched_off(clauses, asked))
            .collect();
        let Some(first) = absent.first() else { return };
        let names = absent.iter().map(|asked| format!("{}.{}", asked.root.as_str(), asked.path.join(".")));
        let form = safe_form(clauses, &absent).unwrap_or_else(|| {
            let not = absent.iter().map(|asked| format!("!({})", has(asked))).collect::<Vec<_>>().join(" || ");
            let unless = clauses.iter().any(|clause| matches!(clause, Clause::Unless(_)));
            if unless { format!("when {{ {not} || ... }}") } else { format!("{not} || ...") }
        });
        let message = format!(
            "this deny rule does not apply if {} is missing, so a call can avoid it by leaving that out; to deny \
             such calls too: {form}",
            listed(names)
        );
        findings.warn(draft, draft.question(&first.path), message);
    }

    /// Whether the declarations permit that this attribute is missing.
    fn is_optional(&self, draft: &Draft, Asked { root, path }: &Asked) -> bool {
        match root {
            Root::Context => self.types.is_optional(path),
            Root::Action => false,
            Root::Principal | Root::Resource => {
                self.kinds(draft, *root).into_iter().any(|declared| reaches_optional(declared, path))
            }
        }
    }

    /// Warns about a rule for a role and a tool that the role may not use.
    fn outside_role(&self, draft: &Draft, findings: &mut Findings<'_>) {
        let (Some(role), Some(tool)) = (&draft.scope.role, &draft.scope.tool) else { return };
        let Some(spec) = self.roles.get(&**role).filter(|spec| !spec.tools.is_empty()) else { return };
        if draft.domain.has_runs() && !spec.tools.iter().any(|listed| listed.as_str() == &**tool) {
            let message = format!("never applies: `roles` does not let the role {role:?} use the tool {tool:?}");
            findings.warn(draft, None, message);
        }
    }

    /// Warns about deny rules whose actions no rule allows: they deny what is denied anyway, or the action is misspelt.
    fn unallowed(&self, drafts: &[Draft], findings: &mut Findings<'_>) {
        let allowing = || drafts.iter().filter(|draft| draft.effect != Effect::Deny);
        if allowing().any(|draft| draft.scope.actions.is_none()) {
            return;
        }
        let allowed: BTreeSet<&str> =
            allowing().flat_map(|draft| draft.scope.actions.iter().flatten()).map(AsRef::as_ref).collect();
        for draft in drafts.iter().filter(|draft| draft.effect == Effect::Deny) {
            for action in draft.scope.actions.iter().flatten().filter(|action| !allowed.contains(&***action)) {
                let hint = self.hint(action, allowed.iter().copied());
                let message = format!("no rule allows the action {action:?}, so denying it changes nothing{hint}");
                findings.warn(draft, None, message);
            }
        }
    }

    /// What is wrong with testing for `path`, which is in none of these types and is none of these names: the name, and
    /// the message. With `bare`, there may also be entities without attributes.
    fn missing(
        &self,
        of: &str,
        path: &[String],
        kinds: &[&[ContextAttribute]],
        names: &[&str],
        bare: bool,
    ) -> Option<UnknownName> {
        let first = path.first()?;
        if names.contains(&first.as_str()) && path.len() == 1 {
            return None;
        }
        let mut deepest = 0;
        for declared in kinds {
            let found = resolved(declared, path);
            if found == path.len() {
                return None;
            }
            deepest = deepest.max(found);
        }
        if kinds.is_empty() && !bare {
            return None;
        }
        let name = path.get(deepest)?;
        let known: BTreeSet<&str> = kinds
            .iter()
            .flat_map(|declared| inside(declared, &path[..deepest]))
            .map(|attribute| attribute.name.as_str())
            .chain(names.iter().copied().filter(|_| deepest == 0))
            .collect();
        let holder = path[..deepest].iter().fold(of.to_owned(), |text, name| text + "." + name);
        let has = if known.is_empty() { "no attributes".to_owned() } else { listed(&known) };
        let message = format!(
            "{holder} has no attribute {}{}; it has {has}",
            quoted(name),
            self.hint(name, known.iter().copied())
        );
        Some(UnknownName { name: name.clone(), message })
    }
}

/// How many of the names of `path`, from the start, are declared.
fn resolved(declared: &[ContextAttribute], path: &[String]) -> usize {
    let Some((name, rest)) = path.split_first() else { return 0 };
    match declared.iter().find(|attribute| attribute.name == *name).map(|attribute| &attribute.kind) {
        None => 0,
        Some(ContextType::Record(inside)) => 1 + resolved(inside, rest),
        Some(_) => 1,
    }
}

/// The attributes that are declared below `path`.
fn inside<'d>(declared: &'d [ContextAttribute], path: &[String]) -> &'d [ContextAttribute] {
    let Some((name, rest)) = path.split_first() else { return declared };
    match declared.iter().find(|attribute| attribute.name == *name).map(|attribute| &attribute.kind) {
        Some(ContextType::Record(below)) => inside(below, rest),
        _ => &[],
    }
}

fn reaches_optional(declared: &[ContextAttribute], path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    let Some(attribute) = declared.iter().find(|attribute| attribute.name == *name) else { return false };
    !attribute.required || matches!(&attribute.kind, ContextType::Record(below) if reaches_optional(below, rest))
}

fn has(Asked { root, path }: &Asked) -> String {
    let (last, holders) = path.split_last().map_or((String::new(), &[][..]), |(last, holders)| (last.clone(), holders));
    let holder = holders.iter().fold(root.as_str().to_owned(), |text, name| text + "." + name);
    format!("{holder} has {last}")
}

/// `a has b && rest` as `!(a has b) || rest`, if the condition is of this simple form.
fn safe_form(clauses: &[Clause], absent: &[Asked]) -> Option<String> {
    let [Clause::When(expr)] = clauses else { return None };
    let mut all = Vec::new();
    conjuncts(expr, &mut all);
    let asks = |expr: &&&Expr| presence(expr).is_some_and(|asked| absent.contains(&asked));
    let (leading, rest) = all.split_at(all.iter().take_while(asks).count());
    if leading.is_empty() || rest.is_empty() {
        return None;
    }
    let not = leading.iter().map(|expr| format!("!({expr})")).collect::<Vec<_>>().join(" || ");
    let rest = match rest {
        [one] => one.to_string(),
        more => format!("({})", more.iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")),
    };
    let form = format!("{not} || {rest}");
    (form.len() <= MAX_FORM).then_some(form)
}

fn conjuncts<'e>(expr: &'e Expr, all: &mut Vec<&'e Expr>) {
    match expr {
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            conjuncts(left, all);
            conjuncts(right, all);
        }
        other => all.push(other),
    }
}
