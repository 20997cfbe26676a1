//! Which documents load, and what is said of those that do not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use countersign_core::{
    decision::Effect,
    ids::PolicyVersion,
    rollout::{Baseline, Gates, OnBreach, Percent, StickyKey},
};
use countersign_policy::{CompiledPolicy, MAX_DOCUMENT_BYTES, MAX_RULES, Risk};

const BRIEF: &str = include_str!("documents/policy-config.yaml");
const STARTER: &str = include_str!("documents/starter.yaml");

/// What is wrong with a document, a line each.
fn errors(document: &str, cedar: &str) -> Vec<String> {
    match CompiledPolicy::load(document, cedar) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.as_slice().iter().map(ToString::to_string).collect(),
    }
}

/// Holds the errors to `wanted`: as many, in this order, each starting with the place and holding the words after ` ~ `.
fn refused(document: &str, cedar: &str, wanted: &[&str]) {
    let errors = errors(document, cedar);
    assert_eq!(errors.len(), wanted.len(), "{document}\n{cedar}\n{errors:#?}");
    for (error, wanted) in errors.iter().zip(wanted) {
        let (place, words) = wanted.split_once(" ~ ").unwrap();
        assert!(error.starts_with(place) && error.contains(words), "{document}\n{cedar}\nwanted {wanted}\nis {error}");
    }
}

/// A document with one rule, whose condition starts on line 6.
fn with_condition(when: &str) -> String {
    format!("rules:\n- id: r\n  role: a\n  tool: t\n  allowed_actions: [x]\n  when: {when}\n")
}

#[test]
fn the_smallest_policy_config_loads() {
    let policy = CompiledPolicy::load(BRIEF, "").unwrap();
    let [rule] = policy.rules() else { panic!("one rule") };
    assert_eq!((rule.rule_id.as_str(), rule.effect), ("allow-support-billing", Effect::Allow));
    assert_eq!((rule.role.as_deref(), rule.tool.as_deref()), (Some("support"), Some("billing")));
    assert_eq!((rule.actions.as_slice(), &rule.when), (["charge".to_owned(), "refund".to_owned()].as_slice(), &None));
    let rollout = policy.rollout().unwrap();
    assert_eq!(
        (rollout.percent, rollout.increment, rollout.baseline),
        (Percent::of::<10>(), Some(Percent::of::<2>()), None)
    );
    assert!(!policy.lists_roles() && !policy.lists_tools());
    assert!(policy.role("support").is_none() && policy.tool("billing").is_none());
}

#[test]
fn the_starter_table_loads_with_its_roles_and_tools() {
    let policy = CompiledPolicy::load(STARTER, "").unwrap();
    let table: Vec<(String, Vec<String>, Option<u32>)> = policy
        .role_names()
        .map(|name| {
            let spec = policy.role(name.as_str()).unwrap();
            (spec.role.to_string(), spec.tools.iter().map(ToString::to_string).collect(), spec.max_ttl_seconds)
        })
        .collect();
    let row =
        |role: &str, tools: &[&str], ttl| (role.to_owned(), tools.iter().map(ToString::to_string).collect(), Some(ttl));
    assert_eq!(
        table,
        [
            row("support", &["billing", "search"], 300),
            row("admin", &["billing", "file"], 900),
            row("user", &["search"], 60)
        ]
    );
    let risks =
        ["billing", "file", "search"].map(|tool| policy.tool(tool).map(|spec| (spec.risk, spec.cacheable)).unwrap());
    assert_eq!(risks, [(Risk::High, false), (Risk::Medium, true), (Risk::Low, true)]);
    assert!(policy.tool("mail").is_none() && policy.role("root").is_none());
}

#[test]
fn whether_a_tool_is_cacheable_follows_its_risk_unless_said() {
    let policy = CompiledPolicy::load(
        "tools: [{id: a}, {id: b, risk: high, cacheable: true}, {id: c, risk: low, cacheable: false}]\n\
         rules: [{id: r, effect: deny}]",
        "",
    )
    .unwrap();
    let tools = ["a", "b", "c"].map(|tool| policy.tool(tool).map(|spec| (spec.risk, spec.cacheable)).unwrap());
    assert_eq!(tools, [(Risk::Medium, true), (Risk::High, true), (Risk::Low, false)]);
}

#[test]
fn gates_that_a_document_leaves_out_are_the_briefs() {
    let gates = |text: &str| {
        let document = format!("rules: [{{id: r, effect: deny}}]\nrollout:\n  percent: 10\n{text}");
        CompiledPolicy::load(&document, "").map(|policy| policy.rollout().unwrap().gates.clone())
    };
    assert_eq!(gates("").unwrap(), Gates::default());
    let some = "  gates: {latency_p95_ms: 200, on_breach: pause, issuance_failure_bp: 50}\n";
    let expected =
        Gates { latency_p95_ms: 200, on_breach: OnBreach::Pause, issuance_failure_bp: Some(50), ..Gates::default() };
    assert_eq!(gates(some).unwrap(), expected);
    let all = "  gates: {missing_sponsor_bp: 0, policy_error_bp: 1, window_seconds: 3600, min_decisions: 1}\n";
    let expected = Gates {
        missing_sponsor_bp: 0,
        policy_error_bp: 1,
        window_seconds: 3_600,
        min_decisions: 1,
        ..Gates::default()
    };
    assert_eq!(gates(all).unwrap(), expected);
    let wrong = "  gates:\n    missing_sponsor_bp: 10001\n    window_seconds: 9\n    min_decisions: 0\n    on_breach: stop\n    p95: 1\n";
    let found: Vec<_> = gates(wrong).unwrap_err().into_iter().map(|violation| violation.path).collect();
    let paths = ["missing_sponsor_bp", "window_seconds", "min_decisions", "on_breach", "p95"];
    let paths = paths.map(|key| format!("rollout.gates.{key}"));
    assert_eq!(found.len(), paths.len(), "{found:?}");
    assert!(paths.iter().all(|path| found.contains(path)), "{found:?}");
}

#[test]
fn a_rollout_says_everything_it_can() {
    let policy = CompiledPolicy::load(
        "rules: [{id: r, effect: deny}]\nrollout:\n  percent: 0\n  baseline: pv_3\n  sticky_key: sponsor\n  steps: [10, 100]\n  \
         min_soak_seconds: 60\n  scope: {tools: [t], sponsors: [alice], labels: {tier: trial}}\n",
        "",
    )
    .unwrap();
    let rollout = policy.rollout().unwrap();
    assert_eq!((rollout.percent, rollout.increment), (Percent::NONE, None));
    assert_eq!(rollout.baseline, Some(Baseline::Version(PolicyVersion(3))));
    assert_eq!(rollout.sticky_key, Some(StickyKey::Sponsor));
    assert_eq!(
        (rollout.steps.as_deref(), rollout.min_soak_seconds),
        (Some([Percent::of::<10>(), Percent::ALL].as_slice()), Some(60))
    );
    assert_eq!(
        (rollout.scope.tools.as_slice(), rollout.scope.labels["tier"].as_str()),
        (["t".to_owned()].as_slice(), "trial")
    );
    for (word, baseline) in [("observe", Baseline::Observe), ("deny", Baseline::Deny)] {
        let document = format!("rules: [{{id: r, effect: deny}}]\nrollout: {{percent: 1, baseline: {word}}}");
        assert_eq!(CompiledPolicy::load(&document, "").unwrap().rollout().unwrap().baseline, Some(baseline));
    }
}

#[test]
fn texts_that_are_no_document_are_refused() {
    refused("", "", &["1:1:  ~ empty"]);
    refused(" \n\n", "", &["1:1:  ~ empty"]);
    refused("# nothing\n", "", &["2:1:  ~ mapping"]);
    refused("[]", "", &["1:1:  ~ must be a mapping, is a list"]);
    refused("roles: [{id: a}]", "", &["1:1: rules:  ~ missing"]);
    refused("rules: []", "", &["1:8: rules:  ~ must not be empty"]);
    refused("rules:\n", "", &["1:6: rules:  ~ must be a list, is nothing"]);
    assert_eq!(errors("rules: [{id: r, effect: deny}]\n---\nrules: []\n", "").len(), 1);
    assert_eq!(errors("rules: [\n", "").len(), 1);
    refused(&"#".repeat(MAX_DOCUMENT_BYTES + 1), "", &["1:1:  ~ at most 1048576 bytes"]);
}

#[test]
fn every_error_is_named_at_once_with_its_place() {
    let document = "\
roles:
  - id: support
    tools: [billing, mail]
    max_ttl_seconds: 901
  - id: support
tools:
  - id: billing
    risk: extreme
  - id: Se arch
rules:
  - id: one
    role: supprot
    tool: maill
    allowed_actions: []
  - id: one
    role: support
    tool: billing
    allowed_actions: [refund, refund]
    allow: all
  - id: two
    effect: deny
    require_approval: true
  - id: three
    role: true
    when: 1
rollout:
  percent: 101
  increment: 0
  baseline: v3
  steps: [30, 10]
extra: 1
";
    refused(
        document,
        "",
        &[
            "3:22: roles[0].tools[1]:  ~ \"mail\" is not registered under `tools`",
            "4:22: roles[0].max_ttl_seconds:  ~ must be 1 to 900, is 901",
            "5:9: roles[1].id:  ~ duplicate id \"support\", first on line 2",
            "8:11: tools[0].risk:  ~ must be low or medium or high, is \"extreme\"",
            "9:9: tools[1].id:  ~ must be 1 to 128 characters",
            "12:11: rules[0].role:  ~ role \"supprot\" is not listed",
            "13:11: rules[0].tool:  ~ tool \"maill\" is not registered",
            "14:22: rules[0].allowed_actions:  ~ must not be empty",
            "15:9: rules[1].id:  ~ duplicate id \"one\", first on line 11",
            "18:31: rules[1].allowed_actions[1]:  ~ occurs twice",
            "19:5: rules[1].allow:  ~ unknown key \"allow\"; known here: id, effect",
            "22:23: rules[2].require_approval:  ~ nothing to approve",
            "23:5: rules[3].allowed_actions:  ~ is missing",
            "23:5: rules[3].tool:  ~ is missing",
            "24:11: rules[3].role:  ~ must be text, is a true or false; put it in quotes",
            "25:11: rules[3].when:  ~ must be text, is a whole number",
            "27:12: rollout.percent:  ~ must be 0 to 100, is 101",
            "28:14: rollout.increment:  ~ must be 1 to 100",
            "29:13: rollout.baseline:  ~ pv_3, or observe, or deny",
            "30:15: rollout.steps[1]:  ~ steps must rise",
            "31:1: extra:  ~ unknown key \"extra\"; known here: roles, tools, context, types, entities, rules, rollout",
        ],
    );
}

#[test]
fn names_that_differ_by_case_only_are_refused() {
    let document = "\
tools:
  - id: Orders/Lookup:v2
  - id: billing
  - id: orders/lookup:V2
roles:
  - id: support
    tools: [Billing]
types:
  - id: User
  - id: user
rules:
  - id: one
    role: support
    tool: BILLING
    allowed_actions: [view:public, getWeather]
  - id: two
    effect: deny
    allowed_actions: [getweather]
    when: action == Action::\"View:public\"
";
    let by_case = "by case only: names are compared exactly, so spell them alike";
    refused(
        document,
        "@id(\"three\") forbid(principal is Instance, action == Action::\"GETWEATHER\", resource);",
        &[
            &format!(
                "4:9: tools[2].id:  ~ tool \"orders/lookup:V2\" differs from \"Orders/Lookup:v2\" on line 2 {by_case}"
            ),
            &format!("7:13: roles[0].tools[0]:  ~ tool \"Billing\" differs from \"billing\" on line 3 {by_case}"),
            &format!("10:9: types[1].id:  ~ type \"user\" differs from \"User\" on line 9 {by_case}"),
            &format!("14:11: rules[0].tool:  ~ tool \"BILLING\" differs from \"billing\" on line 3 {by_case}"),
            &format!(
                "18:23: rules[1].allowed_actions[0]:  ~ action \"getweather\" differs from \"getWeather\" on line 15 {by_case}"
            ),
            "19:21: rules[1].when:  ~ is in no rule's actions",
            "19:21: rules[1].when:  ~ unrecognized action",
            &format!(
                "19:29: rules[1].when:  ~ action \"View:public\" differs from \"view:public\" in rule \"one\" {by_case}"
            ),
            &format!(
                "1:62: cedar[three]:  ~ action \"GETWEATHER\" differs from \"getWeather\" in rule \"one\" {by_case}"
            ),
        ],
    );
}

#[test]
fn names_of_others_stand_wherever_tools_and_actions_do() {
    let document = "\
tools: [{id: Orders/Lookup:v2}]
roles: [{id: support, tools: [Orders/Lookup:v2]}]
context:
  amount: {type: long, tools: [Orders/Lookup:v2]}
types: [{id: User}, {id: Album}]
rules:
  - {id: one, role: support, tool: Orders/Lookup:v2, allowed_actions: [view:public, tools/call.Get-One_2@eu]}
rollout: {percent: 10, scope: {tools: [Orders/Lookup:v2]}}
";
    let cedar = "@id(\"two\") forbid(principal in Role::\"support\", action == Action::\"view:public\", \
                 resource == Tool::\"Orders/Lookup:v2\") when { context.amount > 5 };";
    assert_eq!(errors(document, cedar), Vec::<String>::new());
    refused(
        "rules: [{id: one, role: support, tool: a b, allowed_actions: [x+y]}]",
        "",
        &[
            "1:40: rules[0].tool:  ~ must be 1 to 128 characters of A-Z a-z 0-9 . _ @ : / -, is \"a b\"",
            "1:63: rules[0].allowed_actions[0]:  ~ must be 1 to 128 characters of A-Z a-z 0-9 . _ @ : / -, is \"x+y\"",
        ],
    );
}

#[test]
fn conditions_are_located_as_they_are_written() {
    refused(&with_condition("principal.depth > > 1"), "", &["6:27: rules[0].when:  ~ unexpected token"]);
    refused(&with_condition("\"principal.depth > > 1\""), "", &["6:28: rules[0].when:  ~ unexpected token"]);
    refused(
        &with_condition("|\n    principal.depth > 0 &&\n      principal.dept > 1\n"),
        "",
        &["8:7: rules[0].when:  ~ dept"],
    );
    refused(
        &with_condition(">\n    principal.depth > 0 &&\n    principal.dept > 1\n"),
        "",
        &["7:5: rules[0].when:  ~ dept"],
    );
    // An escape is one letter of the text and several of the document: the place is where the text starts.
    refused(&with_condition("\"true &&\\n\\n\\n> 1\""), "", &["6:9: rules[0].when:  ~ unexpected token"]);
    refused(&with_condition("'principal.role == \"it''s\" && 1 ++ 1'"), "", &["6:9: rules[0].when:  ~ "]);
}

#[test]
fn conditions_must_be_one_true_or_false_expression() {
    for bad in [
        "true } unless { false",
        "true }; permit(principal, action, resource) when { true",
        "'?principal == principal'",
        "principal.depth",
        "1",
        "context.amount_cents <= \"50000\"",
        "principal.depth == \"1\"",
        "principal.secret == \"x\"",
        "resource.owner == \"x\"",
        "User::\"x\" == principal",
        "action == Action::\"y\"",
        "principal.getTag(\"tier\") == \"x\"",
        "context.a.b.c.d.e == 1",
        "ip(context.address).isLoopback()",
        "context.address.isLoopback()",
    ] {
        let errors = errors(&with_condition(&serde_json::to_string(bad).unwrap()), "");
        assert!(!errors.is_empty() && errors.iter().all(|error| error.starts_with("6:")), "{bad}: {errors:?}");
    }
}

#[test]
fn conditions_may_read_whatever_they_use_consistently() {
    for good in [
        "true // a comment",
        "context.amount_cents <= 50000",
        "context has amount_cents && context.amount_cents <= 50000",
        "!(context has region) || context.region == \"eu\"",
        "context.a == context.b",
        "context.a == context.b && context.b > 1",
        "context.tags.contains(\"x\") && !context.tags.isEmpty()",
        "[\"eu\", \"us\"].contains(context.region)",
        "[context.region].containsAny([\"eu\"])",
        "context.order.total > 1 && context.order.customer.tier == \"gold\"",
        "context has order.total && context.order.total > 1",
        "context.mail like \"*@example.com\"",
        "if context.urgent then context.limit < 3 else principal.depth == 0",
        "context.depth == principal.depth && context.agent == principal.agent",
        "principal.tools.contains(context.tool)",
        "principal.hasTag(\"tier\") && principal.getTag(\"tier\") == context.tier",
        "context.purpose == principal.purpose",
        "action == Action::\"x\" && resource == Tool::\"t\" && principal in Role::\"a\"",
        "-context.n < context.m * 2",
        "context[\"odd key\"] == 1",
    ] {
        assert_eq!(errors(&with_condition(&serde_json::to_string(good).unwrap()), ""), [""; 0], "{good}");
    }
}

#[test]
fn an_attribute_has_one_type_in_a_whole_document() {
    let document = "\
rules:
  - {id: a, effect: deny, when: context.n > 1}
  - {id: b, effect: deny, when: context.n == \"x\"}
  - {id: c, effect: deny, when: context.o.p > 1}
  - {id: d, effect: deny, when: context.o == 1}
";
    refused(
        document,
        "forbid(principal, action, resource) when { context.n };",
        &[
            "3:33: rules[1].when:  ~ context.n is text here and a whole number in rule \"a\"",
            "4:33: rules[2].when:  ~ context.o is a mapping here",
            "5:33: rules[3].when:  ~ context.o is a value here and a mapping in rule \"c\"",
            "1:1: cedar:  ~ needs an id",
        ],
    );
}

#[test]
fn raw_cedar_stands_beside_rules_or_alone() {
    let cedar = "// comment; with \"things\n@id(\"a\")\nforbid(principal, action == Action::\"x\", resource);\n\
                 @id(\"b\") @require_approval permit(principal in Role::\"r\", action in [Action::\"x\"], resource == Tool::\"t\")\n\
                 when { context.n > 1 };";
    let policy = CompiledPolicy::load(BRIEF, cedar).unwrap();
    let ids: Vec<&str> = policy.rules().iter().map(|rule| rule.rule_id.as_str()).collect();
    assert_eq!(ids, ["allow-support-billing", "a", "b"]);
    let [_, a, b] = policy.rules() else { panic!("three rules") };
    assert_eq!(
        (a.effect, &a.role, &a.when, a.actions.as_slice()),
        (Effect::Deny, &None, &None, ["x".to_owned()].as_slice())
    );
    assert_eq!((b.effect, b.role.as_deref(), b.tool.as_deref()), (Effect::RequireApproval, Some("r"), Some("t")));
    assert!(b.when.as_ref().unwrap().contains("context.n > 1"));
    assert_eq!(errors("roles: [{id: r}]\ntools: [{id: t}]", cedar), [""; 0]);
}

#[test]
fn raw_cedar_is_held_to_the_same_rules() {
    let roles = "roles: [{id: r}]\ntools: [{id: t}]\nrules: [{id: one, effect: deny}]";
    refused(
        roles,
        "@id(\"one\")\nforbid(principal, action, resource);\n@id(\"B\")\nforbid(principal, action, resource);\n@id(\"c\")\npermit(\n  \
         principal in Role::\"s\",\n  action,\n  resource == Tool::\"u\");\n@id(\"d\")\npermit(principal, action, resource) when { \
         principal.dept };\n@id(\"e\") permit(principal == ?principal, action, resource);\n@id(\"f\") permit(x);\n@id(\"g\") \
         @require_approval forbid(principal, action, resource);",
        &[
            "1:1: cedar:  ~ duplicate id \"one\", first on line 3",
            "3:1: cedar:  ~ @id must be 1 to 64",
            "7:16: cedar[c]:  ~ is not listed under `roles`",
            "9:15: cedar[c]:  ~ is not registered under `tools`",
            "11:44: cedar[d]:  ~ dept",
            "12: ~ template",
            "13:17: ~ invalid variable",
            "13:18: ~ missing the `action`",
            "13:18: ~ missing the `resource`",
            "14:1: cedar:  ~ nothing to approve",
        ],
    );
    refused(roles, "@id(\"x\") permit(principal, action, resource)", &["1: ~ unexpected"]);
    refused(roles, "@id(\"x\") forbid(principal in Group::\"x\", action, resource);", &["1: ~ Group"]);
}

#[test]
fn a_policy_that_allows_everything_is_refused_by_the_probe() {
    for cedar in
        ["permit(principal, action, resource);", "permit(principal, action, resource) when { principal.depth == 0 };"]
    {
        refused(BRIEF, &format!("\n@id(\"all\") {cedar}"), &["2:1: cedar[all]:  ~ must be denied"]);
    }
}

#[test]
fn the_hash_tells_apart_what_stands_where() {
    let hash = |document: &str, cedar: &str| CompiledPolicy::load(document, cedar).unwrap().content_hash();
    assert_eq!(hash(BRIEF, ""), hash(BRIEF, ""));
    assert_ne!(hash(BRIEF, ""), hash(BRIEF, " "));
    assert_ne!(hash(BRIEF, " "), hash(&format!("{BRIEF} "), ""));
}

#[test]
fn the_largest_document_loads_and_one_rule_more_does_not() {
    let rules = |count: usize| {
        let rules: Vec<String> = (0..count).map(|n| format!("- {{id: r{n}, effect: deny, role: r{n}}}")).collect();
        format!("rules:\n{}\n", rules.join("\n"))
    };
    assert_eq!(CompiledPolicy::load(&rules(MAX_RULES), "").unwrap().rules().len(), MAX_RULES);
    assert_eq!(errors(&rules(MAX_RULES + 1), "").len(), 1);
    refused(&rules(MAX_RULES), "@id(\"x\") forbid(principal, action, resource);", &["1:1: rules:  ~ at most 20000"]);
}
