//! Of what reads policies and their tests: nothing panics, every refusal says where, and what loads allows nothing that Cedar
//! does not.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Decision, Entities, Entity, EntityUid, PolicySet, Request as CedarRequest};
use countersign_core::decision::Effect;
use countersign_policy::{
    CompiledPolicy, Context, PolicyTests, Principal, PrincipalSpec, Request, Rule, Violations, diff,
};
use serde_json::json;

/// The policy that tests are run against.
pub const STARTER: &str = include_str!("../../server/policy/tests/documents/starter.yaml");

/// Documents of the tests, and the Cedar beside them after a NUL.
const DOCUMENTS: [&str; 4] = [
    STARTER,
    include_str!("../../server/policy/tests/documents/policy-config.yaml"),
    concat!(
        include_str!("../../server/policy/tests/documents/authzen.yaml"),
        "\0",
        include_str!("../../server/policy/tests/documents/authzen.cedar")
    ),
    concat!(
        "context: {n: {type: long, required: false}}\nrollout: {percent: 10}\n",
        "rules:\n- {id: r, effect: deny, role: a, when: '(context has n && context.n > 5) || principal.depth == 1'}\n",
        "\0@id(\"p\") @require_approval permit(principal is Instance in Role::\"b\", action, resource);",
    ),
];
/// Files of tests.
const SUITES: [&str; 2] = [
    include_str!("../../server/policy/tests/documents/starter.tests.yaml"),
    include_str!("../../server/policy/tests/documents/policy-config.tests.yaml"),
];

/// Most rules whose calls are asked for.
const ASKED: usize = 16;
/// Stands for whoever and whatever a rule does not name.
const OTHER: &str = "other";

/// Where to begin with documents.
#[must_use]
pub fn document_seeds() -> Vec<Vec<u8>> {
    DOCUMENTS.map(|text| text.as_bytes().to_vec()).into()
}

/// Where to begin with files of tests.
#[must_use]
pub fn tests_seeds() -> Vec<Vec<u8>> {
    SUITES.map(|text| text.as_bytes().to_vec()).into()
}

/// A document and, after the first NUL, the Cedar beside it: refused with places, or the same policy each time.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (document, cedar) = text.split_once('\0').unwrap_or((text, ""));
    let policy = match CompiledPolicy::load(document, cedar) {
        Ok(policy) => policy,
        Err(violations) => return says_where(&violations, document, cedar),
    };
    let again = CompiledPolicy::load(document, cedar).expect("what loaded once loads again");
    assert_eq!((policy.content_hash(), diff(&policy, &again)), (again.content_hash(), Vec::new()));
    let whole: PolicySet = policy.to_cedar().parse().expect("what is written as Cedar is Cedar");
    assert_eq!(whole.num_of_policies(), policy.rules().len());
    for rule in policy.rules().iter().take(ASKED) {
        allows_no_more(&policy, &whole, rule);
    }
}

/// A file of tests: refused with places, or run.
pub fn tests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let tests = match PolicyTests::read(text) {
        Ok(tests) => tests,
        Err(violations) => return says_where(&violations, text, ""),
    };
    let policy = CompiledPolicy::load(STARTER, "").expect("a policy");
    assert!(!tests.cases().is_empty());
    for case in tests.cases() {
        let mut reached = BTreeSet::new();
        let result = case.run(&policy, &mut reached);
        assert!(!result.message.is_empty() && case.line() > 0 && reached.len() <= policy.rules().len());
    }
}

fn says_where(violations: &Violations, document: &str, cedar: &str) {
    let violations = violations.as_slice();
    assert!((1..=Violations::MAX + 1).contains(&violations.len()));
    for violation in violations.iter().take(Violations::MAX) {
        let text = if violation.path.starts_with("cedar") { cedar } else { document };
        // A YAML reader also ends a line at a carriage return.
        let lines = 1 + text.matches(['\n', '\r']).count();
        let place = (usize::try_from(violation.line), usize::try_from(violation.column));
        let (Ok(line), Ok(column)) = place else { panic!("no place: {violation}") };
        assert!((1..=lines).contains(&line) && (1..=text.len() + 1).contains(&column), "not in the text: {violation}");
        assert!(!violation.message.is_empty());
    }
}

/// Asks for a call that the rule's head covers, if any can be.
fn allows_no_more(policy: &CompiledPolicy, whole: &PolicySet, covered: &Rule) {
    let name = |name: Option<&String>| name.map_or(OTHER, String::as_str).to_owned();
    let (role, tool, action) =
        (name(covered.role.as_ref()), name(covered.tool.as_ref()), name(covered.actions.first()));
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: OTHER,
        root_instance_id: OTHER,
        sponsor_id: OTHER,
        agent: OTHER,
        role: &role,
        inherited_roles: &[],
        depth: 1,
        purpose: OTHER,
        tools: &[],
        labels: &BTreeMap::new(),
    });
    let context = Context::default();
    let request = Request { principal: &principal, tool: &tool, action: &action, purpose: OTHER, context: &context };
    let (answer, message) = policy.evaluate_in_words(&request);
    assert!(!message.is_empty());
    if answer.effect != Effect::Deny {
        assert_eq!(plain_cedar(whole, &role, &tool, &action), Decision::Allow, "{role} {action} {tool}");
    }
}

/// The answer of Cedar over all rules at once.
fn plain_cedar(whole: &PolicySet, role: &str, tool: &str, action: &str) -> Decision {
    let uid =
        |kind: &str, id: &str| EntityUid::from_json(json!({ "type": kind, "id": id })).expect("a name of an entity");
    let instance = json!({
        "uid": { "type": "Instance", "id": OTHER },
        "attrs": {
            "agent_instance_id": OTHER, "root_instance_id": OTHER, "sponsor_id": OTHER, "agent": OTHER, "role": role,
            "depth": 1, "purpose": OTHER, "tools": [],
        },
        "parents": [{ "type": "Role", "id": role }],
    });
    let instance = Entity::from_json_value(instance, None).expect("an entity");
    let entities = Entities::from_entities([instance], None).expect("entities");
    let context = cedar_policy::Context::from_json_value(json!({ "purpose": OTHER }), None).expect("a context");
    let request = CedarRequest::new(uid("Instance", OTHER), uid("Action", action), uid("Tool", tool), context, None)
        .expect("a request");
    Authorizer::new().is_authorized(&request, whole, &entities).decision()
}
