//! A compiled document, ready to answer: how it is loaded, new (`load`) or stored (`load_stored`, which later checks do
//! not refuse), the probe that refuses a policy that allows everything, its content hash, and its rules, roles and
//! tools.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use aws_lc_rs::digest;
use cedar_policy::{Entities, PolicySet};
use countersign_core::{
    decision::Effect,
    names::{RoleName, ToolId},
};

use crate::{
    cedar::{
        draft::{Draft, Findings},
        raw,
        rewrite::rewritten,
        spelling,
        validate::{Validated, validate},
    },
    context::{Context, Named},
    document::{Document, MAX_RULES, RoleSpec, RolloutSpec, ToolSpec},
    entities::EntityTypes,
    evaluation::Request,
    index::Index,
    principal::{Principal, PrincipalSpec},
    recorded::{Recorded, recorded},
    schema::ContextAttribute,
    text::spelled,
    violation::{At, Violation, Violations},
};

/// Stack for loading, in bytes; only the part that is used becomes memory. Cedar's parser and validator recurse with
/// the depth of an expression. The deepest expression that is passed to them needs a fraction of this, which is more
/// than a worker thread has.
const LOAD_STACK: usize = 64 << 20;

/// A compiled, validated, probed policy document. Immutable; cheap to share in an `Arc`.
pub struct CompiledPolicy {
    content_hash: [u8; 32],
    roles: Option<Table<RoleName, RoleSpec>>,
    tools: Option<Table<ToolId, ToolSpec>>,
    context: Option<Vec<ContextAttribute>>,
    pub(crate) types: Option<EntityTypes>,
    rules: Vec<Rule>,
    /// How many of the rules are in the document; the others are raw Cedar.
    documented: usize,
    rollout: Option<RolloutSpec>,
    cedar: Vec<String>,
    pub(crate) compiled: Vec<Compiled>,
    pub(crate) index: Index,
    /// The policies about declared types, with the types of subject and resource in the place of role and tool.
    pub(crate) entity_index: Index,
    /// The attributes of a call's context that are recorded, sorted by name.
    pub(crate) recorded: Vec<Recorded>,
    faults: Vec<Violation>,
    warnings: Vec<Violation>,
}

/// A rule in a form for persons and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id, as in decisions.
    pub rule_id: String,
    /// Its answer if it applies.
    pub effect: Effect,
    /// The role it covers; `None` for every role. For raw Cedar: to the extent that the policy's head states it.
    pub role: Option<String>,
    /// The tool it covers; `None` for every tool.
    pub tool: Option<String>,
    /// The actions it covers, sorted; empty for every action.
    pub actions: Vec<String>,
    /// Whether it applies to declared types, and never to a run.
    pub of_entities: bool,
    /// Its condition as written; for raw Cedar with more than a plain head, the policy's text.
    pub when: Option<String>,
}

/// The part of a rule that is needed for answering.
pub(crate) struct Compiled {
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    /// The rule alone in Cedar. `None` if its scope alone decides.
    pub(crate) policy: Option<PolicySet>,
    /// The entities of the document that its condition names. `None` if it names none. Besides these it can reach only
    /// the entities of the call, because no entity of a document refers to another.
    pub(crate) reaches: Option<Entities>,
    /// The parts of the context that it names: those that it reads, and those whose presence it only tests.
    pub(crate) names: Vec<Named>,
    /// The same as text: `context.amount_cents`.
    pub(crate) reads: Vec<String>,
}

/// A list in the document's order, with look-up by name.
struct Table<K, V> {
    rows: Vec<V>,
    by_name: HashMap<K, usize>,
}

impl<K: Eq + std::hash::Hash, V> Table<K, V> {
    fn new(rows: Vec<V>, name: impl Fn(&V) -> K) -> Self {
        let by_name = rows.iter().enumerate().map(|(nth, row)| (name(row), nth)).collect();
        Self { rows, by_name }
    }

    fn get(&self, name: &str) -> Option<&V>
    where
        K: std::borrow::Borrow<str>,
    {
        self.by_name.get(name).and_then(|nth| self.rows.get(*nth))
    }
}

impl CompiledPolicy {
    /// Loads a YAML document and the raw Cedar policies beside it (each with an `@id`; the text may be empty). A
    /// document with errors is refused completely, with every error and its line and column. At the end the policy is
    /// asked a question that it must deny; a policy that does not is refused too.
    pub fn load(document: &str, cedar: &str) -> Result<Self, Violations> {
        stacker::grow(LOAD_STACK, || Self::load_here(document, cedar, true))
    }

    /// Like [`Self::load`], for a document that was stored under an older version of this code: it continues to answer,
    /// whatever later checks would have refused. Those violations are in [`Self::faults`].
    pub fn load_stored(document: &str, cedar: &str) -> Result<Self, Violations> {
        stacker::grow(LOAD_STACK, || Self::load_here(document, cedar, false))
    }

    fn load_here(document: &str, cedar: &str, strictly: bool) -> Result<Self, Violations> {
        let content_hash = content_hash(document, cedar);
        let Document { roles, tools, types, context, rules, rollout, violations } =
            Document::read(document, !cedar.trim().is_empty());
        let mut findings = Findings::new(document, cedar, violations);
        let mut drafts: Vec<Draft> =
            rules.into_iter().enumerate().map(|(nth, rule)| Draft::from_rule(nth, rule, &mut findings)).collect();
        let documented = drafts.len();
        drafts.extend(raw::read(&mut findings, &drafts, types.as_ref()));
        if drafts.len() > MAX_RULES {
            let message = format!("must be at most {MAX_RULES} rules with those in Cedar, are {}", drafts.len());
            findings.document.push(Violation::new(At::START, "rules", message));
        }
        spelling::check(&drafts, &mut findings);
        let Validated { names, rewritten: forms } =
            validate(&drafts, roles.as_deref(), tools.as_deref(), context.as_deref(), types.as_ref(), &mut findings);
        Violations::check(findings.errors(strictly))?;
        for nth in forms {
            if let Some(policy) = &mut drafts[nth].policy {
                *policy = rewritten(policy).unwrap_or_else(|| policy.clone());
            }
        }

        let mut policy = Self {
            content_hash,
            roles: roles.map(|rows| Table::new(rows, |spec| spec.role.clone())),
            tools: tools.map(|rows| Table::new(rows, |spec| spec.tool.clone())),
            recorded: context.as_deref().map(recorded).unwrap_or_default(),
            context,
            types,
            rules: drafts.iter().map(rule).collect(),
            documented,
            rollout,
            cedar: drafts.iter().map(Draft::to_cedar).collect(),
            compiled: Vec::with_capacity(drafts.len()),
            index: Index::default(),
            entity_index: Index::default(),
            faults: Vec::new(),
            warnings: Vec::new(),
        };
        for (nth, (draft, names)) in drafts.iter().zip(names).enumerate() {
            if draft.domain.has_runs() {
                policy.index.insert(nth, &draft.scope);
            }
            if let Some(scope) = draft.domain.entity_scope(&draft.scope) {
                policy.entity_index.insert(nth, &scope);
            }
            let compiled = compile(draft, names, policy.types.as_ref());
            policy.compiled.push(compiled);
        }
        policy.probe(&drafts, &mut findings);
        Violations::check(findings.errors(strictly))?;
        policy.faults = Violations::sorted(findings.faults);
        policy.warnings = Violations::sorted(findings.warnings);
        Ok(policy)
    }

    /// Asks for a call that must never be allowed, with names that no role, tool or action can have. Only a policy that
    /// allows everything would allow it, and such a policy must not exist.
    fn probe(&self, drafts: &[Draft], findings: &mut Findings<'_>) {
        const NOBODY: &str = "(probe)";
        let principal = Principal::new(&PrincipalSpec {
            agent_instance_id: NOBODY,
            root_instance_id: NOBODY,
            sponsor_id: NOBODY,
            agent: NOBODY,
            role: NOBODY,
            inherited_roles: &[],
            depth: 0,
            purpose: NOBODY,
            tools: &[],
            labels: &BTreeMap::new(),
        });
        let context = Context::default();
        let request =
            Request { principal: &principal, tool: NOBODY, action: NOBODY, purpose: NOBODY, context: &context };
        let answer = self.by_rules(&request);
        if answer.effect == Effect::Deny {
            return;
        }
        // Sorted, as in every answer.
        for draft in drafts.iter().filter(|draft| answer.rule_ids.binary_search(&draft.id).is_ok()) {
            let message = "allows a call that must be denied, by an unknown role on an unknown tool: name a role, a tool or an action";
            findings.report(draft, None, message);
        }
    }

    /// The [`content_hash`] of the texts from which it was loaded.
    #[must_use]
    pub const fn content_hash(&self) -> [u8; 32] {
        self.content_hash
    }

    /// Violations that would refuse a new document. Only a document that was loaded as stored can have them.
    #[must_use]
    pub fn faults(&self) -> &[Violation] {
        &self.faults
    }

    /// Constructs that are permitted but are probably a mistake.
    #[must_use]
    pub fn warnings(&self) -> &[Violation] {
        &self.warnings
    }

    /// Every rule: those of the document in its order, then raw Cedar in its order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules of the document alone, in its order.
    pub(crate) fn documented(&self) -> &[Rule] {
        &self.rules[..self.documented]
    }

    /// Raw Cedar only, in its order: each policy's id and text.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.rules.iter().zip(&self.cedar).skip(self.documented);
        pairs.map(|(rule, text)| (rule.rule_id.as_str(), text.as_str()))
    }

    /// The document's roles, in its order. `None` if it lists none.
    pub(crate) fn roles(&self) -> Option<&[RoleSpec]> {
        self.roles.as_ref().map(|table| table.rows.as_slice())
    }

    /// The document's tools, in its order. `None` if it registers none.
    pub(crate) fn tools(&self) -> Option<&[ToolSpec]> {
        self.tools.as_ref().map(|table| table.rows.as_slice())
    }

    /// The names of the document's roles, in its order. Empty if it lists none.
    pub fn role_names(&self) -> impl Iterator<Item = &RoleName> {
        self.roles.iter().flat_map(|table| &table.rows).map(|spec| &spec.role)
    }

    /// Whether the document lists roles. If it does, other roles are denied.
    #[must_use]
    pub const fn lists_roles(&self) -> bool {
        self.roles.is_some()
    }

    /// The document's entry for a role. `None` if it does not list the role.
    #[must_use]
    pub fn role(&self, role: &str) -> Option<&RoleSpec> {
        self.roles.as_ref()?.get(role)
    }

    /// Whether the document registers tools. If it does, other tools are denied.
    #[must_use]
    pub const fn lists_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// The document's entry for a tool. `None` if it does not register the tool.
    #[must_use]
    pub fn tool(&self, tool: &str) -> Option<&ToolSpec> {
        self.tools.as_ref()?.get(tool)
    }

    /// Every tool that any part of the document names; some more than once.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        let registered = self.tools().into_iter().flatten().map(|spec| spec.tool.as_str());
        let of_roles = self.roles().into_iter().flatten().flat_map(|spec| &spec.tools).map(ToolId::as_str);
        registered.chain(of_roles).chain(self.rules.iter().filter_map(|rule| rule.tool.as_deref()))
    }

    /// The document's declarations about a call's context, in its order. `None` if it declares nothing, so that any
    /// attribute may be read.
    #[must_use]
    pub fn context(&self) -> Option<&[ContextAttribute]> {
        self.context.as_deref()
    }

    /// Whether the document declares any context of calls on `tool`.
    pub(crate) fn declares_for(&self, tool: &str) -> bool {
        self.context.iter().flatten().any(|attribute| attribute.is_for(tool))
    }

    /// The actions that rules name for calls of `tool` by a run of `role`, sorted.
    #[must_use]
    pub fn actions(&self, role: &str, tool: &str) -> Vec<&str> {
        self.index.actions(tool, role)
    }

    /// The actions that rules name for an entity of type `subject` acting on one of type `resource`, sorted.
    #[must_use]
    pub fn entity_actions(&self, subject: &str, resource: &str) -> Vec<&str> {
        self.entity_index.actions(resource, subject)
    }

    /// The document's wishes for its rollout, if it states any.
    #[must_use]
    pub const fn rollout(&self) -> Option<&RolloutSpec> {
        self.rollout.as_ref()
    }

    /// The whole policy as Cedar text, one policy per rule, in the order of [`Self::rules`], for any Cedar tool. A
    /// permit with `@require_approval` allows only after a person has approved.
    #[must_use]
    pub fn to_cedar(&self) -> String {
        self.cedar.join("\n\n")
    }
}

/// The rules are too long for a log line; their number and the hash identify the policy.
impl fmt::Debug for CompiledPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledPolicy").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

fn rule(draft: &Draft) -> Rule {
    let text = |name: &Arc<str>| name.as_ref().to_owned();
    Rule {
        rule_id: text(&draft.id),
        effect: draft.effect,
        role: draft.scope.role.as_ref().map(text),
        tool: draft.scope.tool.as_ref().map(text),
        actions: draft.scope.actions.iter().flatten().map(text).collect(),
        of_entities: !draft.domain.has_runs(),
        when: draft.when().map(str::to_owned),
    }
}

fn compile(draft: &Draft, names: Vec<Named>, types: Option<&EntityTypes>) -> Compiled {
    let mut reads: Vec<String> = names.iter().map(|named| spelled(&named.path)).collect();
    reads.dedup();
    let policy = draft.policy.as_ref().map(|policy| {
        PolicySet::from_policies([policy.clone()]).expect("one static policy is a policy set: templates were refused")
    });
    let reaches = draft.policy.as_ref().and_then(|policy| types?.named_by(policy));
    Compiled { id: draft.id.clone(), effect: draft.effect, policy, reaches, names, reads }
}

/// SHA-256 over a document and the Cedar text beside it, each preceded by its length in bytes as a big-endian u64.
#[must_use]
pub fn content_hash(document: &str, cedar: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in [document, cedar] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
