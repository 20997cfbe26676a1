//! Files of test cases: how they are read, and what is said of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;

use countersign_policy::{CompiledPolicy, PolicyTests, TestResult};

/// Runs a file of cases: each case with its line and result, and the rules that applied to none.
fn run(document: &str, tests: &str) -> (Vec<(u32, TestResult)>, Vec<String>) {
    let policy = CompiledPolicy::load(document, "").unwrap();
    let tests = PolicyTests::read(tests).unwrap_or_else(|violations| panic!("{violations}"));
    let mut reached = BTreeSet::new();
    let results = tests.cases().iter().map(|case| (case.line(), case.run(&policy, &mut reached))).collect();
    let missed = policy.rules().iter().filter(|rule| !reached.contains(rule.rule_id.as_str()));
    (results, missed.map(|rule| rule.rule_id.clone()).collect())
}

fn errors(tests: &str) -> Vec<String> {
    PolicyTests::read(tests).err().into_iter().flatten().map(|violation| violation.to_string()).collect()
}

#[test]
fn shipped_policies_pass_their_tests_which_reach_every_rule() {
    for (document, tests) in [
        (include_str!("documents/policy-config.yaml"), include_str!("documents/policy-config.tests.yaml")),
        (include_str!("documents/starter.yaml"), include_str!("documents/starter.tests.yaml")),
    ] {
        let (results, missed) = run(document, tests);
        let failed: Vec<_> = results.iter().filter(|(_, result)| !result.differences.is_empty()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(missed, [""; 0]);
    }
}

#[test]
fn a_failing_case_says_every_difference_and_the_answer() {
    let tests = "\
tests:
  - name: wrong in every way
    principal: {role: support}
    tool: billing
    action: refund
    expect: {effect: deny, reason: DENIED_BY_RULE, rules: []}
  - name: wrong rules
    principal: {role: user}
    tool: billing
    action: refund
    expect: {effect: deny, rules: [one, two]}
";
    let (results, missed) = run(include_str!("documents/policy-config.yaml"), tests);
    assert_eq!(results[0].0, 2);
    assert_eq!(
        results[0].1.differences,
        [
            "effect: expected DENY, is ALLOW",
            "reason: expected DENIED_BY_RULE, is ALLOWED_BY_RULE",
            "rules: expected none, are allow-support-billing",
        ]
    );
    assert!(results[0].1.message.contains("allows role \"support\""));
    assert_eq!(
        (results[1].0, results[1].1.differences.as_slice()),
        (7, ["rules: expected one, two, are none".to_owned()].as_slice())
    );
    assert_eq!(missed, [""; 0]);
}

#[test]
fn a_case_stands_over_the_defaults_field_by_field() {
    let document = "\
rules:
  - id: all
    role: r
    tool: t
    allowed_actions: [a]
    when: principal.depth == 2 && principal.sponsor_id == \"alice\" && principal.agent == \"bot\" && principal.getTag(\"x\") == \"1\"
";
    let document = document.replace("principal.getTag", "principal.hasTag(\"x\") && principal.getTag");
    let document = document.replace(
        "\"1\"",
        "\"1\" && context.n == 1 && context.m == 2 && context.purpose == \"p, q\" && principal.tools.contains(\"t\")",
    );
    let tests = "\
defaults:
  principal: {role: nobody, sponsor_id: alice, depth: 2, labels: {x: '1', y: '2'}, purpose: p}
  tool: t
  action: a
  context: {n: 7, m: 2}
tests:
  - name: met
    principal: {role: r, agent: bot, labels: {y: '3'}}
    purpose: 'p, q'
    context: {n: 1}
    expect: {effect: allow}
  - name: by default the purpose is the caller's
    principal: {role: r, agent: bot}
    context: {n: 1}
    expect: {effect: deny, reason: NO_MATCHING_RULE}
  - name: a caller may have no tools
    principal: {role: r, agent: bot, tools: []}
    purpose: 'p, q'
    context: {n: 1}
    expect: {effect: deny, reason: NO_MATCHING_RULE}
";
    let (results, _) = run(&document, tests);
    assert!(results.iter().all(|(_, result)| result.differences.is_empty()), "{results:#?}");
}

#[test]
fn rules_that_applied_to_no_case_are_known() {
    let document = "\
rules:
  - {id: hit, role: r, tool: t, allowed_actions: [a]}
  - {id: overruled, role: r, tool: t, allowed_actions: [b]}
  - {id: unmet, role: r, tool: t, allowed_actions: [a], when: principal.depth > 0}
  - {id: elsewhere, role: r, tool: u, allowed_actions: [a]}
  - {id: stop, effect: deny, role: r, tool: t, allowed_actions: [b]}
";
    let case = |action: &str, effect: &str| {
        format!("- {{name: x, principal: {{role: r}}, tool: t, action: {action}, expect: {{effect: {effect}}}}}\n")
    };
    let (results, missed) = run(document, &format!("tests:\n{}{}", case("a", "allow"), case("b", "deny")));
    assert!(results.iter().all(|(_, result)| result.differences.is_empty()), "{results:#?}");
    assert_eq!(missed, ["unmet", "elsewhere"]);
}

#[test]
fn all_faults_of_a_file_are_said_at_once_with_their_places() {
    let tests = "\
default: {}
defaults:
  principal: {rol: support, depth: -1}
  tool: [billing]
tests:
  - name: ''
    principal: {labels: {X: 1}}
    action: refund
    context: {a: 0.5, b: {c: null}, purpose: x}
    expect: {effect: maybe, reason: KILL_SWITCH, rules: [One]}
    expected: x
  - expect: {}
";
    let wanted = [
        "1:1: default: unknown key \"default\"; known here: defaults, tests",
        "3:15: defaults.principal.rol: unknown key \"rol\"",
        "3:36: defaults.principal.depth: must be 0 to 1000, is -1",
        "4:9: defaults.tool: must be text, is a list",
        "6:5: tests[0].principal.role: is missing, here and in `defaults`",
        "6:11: tests[0].name: must not be empty",
        "7:26: tests[0].principal.labels.X: must be 1 to 64",
        "7:29: tests[0].principal.labels.X: must be text, is a whole number",
        "9:14: tests[0].context: context.purpose is the call's own purpose",
        "9:18: tests[0].context.a: must be a whole number",
        "9:30: tests[0].context.b.c: must not be nothing",
        "10:22: tests[0].expect.effect: must be allow or deny or require_approval, is \"maybe\"",
        "10:37: tests[0].expect.reason: must be ALLOWED_BY_RULE or",
        "10:58: tests[0].expect.rules[0]: must be 1 to 64",
        "11:5: tests[0].expected: unknown key \"expected\"",
        "12:5: tests[1].action: is missing",
        "12:5: tests[1].name: is missing",
        "12:5: tests[1].principal.role: is missing",
        "12:13: tests[1].expect.effect: is missing",
    ];
    let errors = errors(tests);
    assert_eq!(errors.len(), wanted.len(), "{errors:#?}");
    for (error, wanted) in errors.iter().zip(wanted) {
        assert!(error.starts_with(wanted), "wanted {wanted}\nis     {error}");
    }
}

#[test]
fn a_file_without_a_case_is_no_test() {
    assert_eq!(errors(""), ["1:1: the file is empty; it needs at least `tests`"]);
    assert_eq!(errors("defaults: {tool: t}"), ["1:1: tests: is missing"]);
    assert_eq!(errors("tests: []"), ["1:8: tests: must not be empty"]);
    assert_eq!(errors("tests:\n").len(), 1);
    assert_eq!(errors("tests: [\n").len(), 1);
    assert_eq!(errors(&"#".repeat((1 << 20) + 1)), ["1:1: must be at most 1048576 bytes, is 1048577"]);
}
