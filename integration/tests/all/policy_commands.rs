//! `countersign policy ...`: the real program, without a server and on a real one.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use countersign_client::v1;
use countersign_integration::{binary, record};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::World;

const RULES: &str = "rules:\n- {id: one, role: support, tool: billing, allowed_actions: [refund]}\n";
const ROLLOUT: &str =
    "rollout: {percent: 10, increment: 2, scope: {tools: [billing]}, steps: [10, 50, 100], min_soak_seconds: 60}\n";

/// A folder with files in it, in which the program runs.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs `countersign policy` in `folder`, with nothing of the environment.
fn policy(folder: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(binary().unwrap());
    let output = command.arg("policy").args(args).env_clear().current_dir(folder).output().unwrap();
    record::output("policy", &[output.stdout.as_slice(), &output.stderr].concat());
    output
}

/// The same, against the server of `world` as one of its operators.
fn remote(world: &World, operator: &str, folder: &TempDir, args: &[&str]) -> Output {
    let key = folder.path().join("api.key");
    if !key.exists() {
        fs::write(&key, world.server.operator_key(operator).unwrap()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    policy(folder, &[args, &["--server", &world.server.url(), "--api-key-file", "api.key"]].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command that ended with `code` said on standard error.
#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_document_is_validated_without_a_server_and_every_violation_has_its_place() {
    let cedar = "@id(\"two\")\nforbid (principal, action, resource) when { principal.dept };";
    let files =
        [("good.yaml", RULES), ("bad.yaml", "rules:\n- {id: one, effect: maybe}\nextra: 1\n"), ("p.cedar", cedar)];
    let folder = folder(&files);
    assert_eq!(done(&policy(&folder, &["validate", "good.yaml"])), "good.yaml is valid: 1 rule.\n");
    let said = failed(&policy(&folder, &["validate", "bad.yaml", "--cedar", "p.cedar"]), 1);
    let places: Vec<_> = said.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    let wanted = [
        "bad.yaml:2:3: rules[0].allowed_actions",
        "bad.yaml:2:3: rules[0].role",
        "bad.yaml:2:3: rules[0].tool",
        "bad.yaml:2:21: rules[0].effect",
        "bad.yaml:3:1: extra",
        "p.cedar:2:45: cedar[two]",
    ];
    assert_eq!(places, wanted, "{said}");
    let said = failed(&policy(&folder, &["validate", "missing.yaml"]), 2);
    assert!(said.starts_with("countersign: cannot read missing.yaml: "), "{said}");
    assert!(failed(&policy(&folder, &["validate"]), 2).contains("Usage"));
}

#[test]
fn a_deny_rule_that_denies_nothing_is_refused_and_one_that_may_not_be_meant_is_warned_of() {
    let deny = |when: &str| {
        format!("{RULES}- id: no\n  effect: deny\n  tool: billing\n  allowed_actions: [refund]\n  when: {when}\n")
    };
    let folder = folder(&[
        ("unknown.yaml", &deny("principal has detph && principal.depth > 1")),
        ("never.yaml", &deny("principal.depth < 0 && false")),
        ("past.yaml", &deny("context has amount && context.amount > 500")),
        ("safe.yaml", &deny("\"!(context has amount) || context.amount > 500\"")),
    ]);
    let said = failed(&policy(&folder, &["validate", "unknown.yaml"]), 1);
    assert!(
        said.starts_with(
            "unknown.yaml:7:23: rules[1].when: principal has no attribute \"detph\"; did you mean \"depth\"?"
        ),
        "{said}"
    );
    let said = failed(&policy(&folder, &["validate", "never.yaml"]), 1);
    assert!(said.starts_with("never.yaml:7:9: rules[1].when: can never apply"), "{said}");
    let said = done(&policy(&folder, &["validate", "past.yaml"]));
    assert!(said.starts_with("past.yaml:7:21: rules[1].when: warning: "), "{said}");
    assert!(
        said.contains("!(context has amount) || context.amount > 500\n")
            && said.ends_with("past.yaml is valid: 2 rules, 1 warning.\n"),
        "{said}"
    );
    assert_eq!(done(&policy(&folder, &["validate", "safe.yaml"])), "safe.yaml is valid: 2 rules.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stores_no_such_document_and_says_what_is_doubtful() {
    let world = World::start().await;
    let deny = |when: &str| {
        format!("{RULES}- {{id: no, effect: deny, tool: billing, allowed_actions: [refund], when: {when:?}}}\n")
    };
    let bad = deny("principal has detph");
    let mut policies = world.rita.policies();
    let create = v1::CreatePolicyRequest { document: bad.clone(), ..Default::default() };
    let refused = policies.create_policy(create).await.unwrap_err();
    assert!(refused.code() == tonic::Code::InvalidArgument && refused.message().contains("detph"), "{refused:?}");
    let validate = |document: String| v1::ValidatePolicyRequest { document, ..Default::default() };
    let said = policies.validate_policy(validate(bad)).await.unwrap().into_inner();
    assert!(said.violations.len() == 1 && said.rules.is_empty() && said.warnings.is_empty(), "{said:?}");
    let said = policies.validate_policy(validate(deny("context has n && context.n > 1"))).await.unwrap().into_inner();
    assert_eq!((said.violations.len(), said.rules.len(), said.warnings.len()), (0, 2, 1), "{said:?}");
    assert_eq!((said.warnings[0].line, said.warnings[0].path.as_str()), (3, "document.rules[1].when"));
}

#[test]
fn a_policy_is_tested_without_a_server_and_what_fails_is_readable() {
    let case = |name: &str, action: &str| {
        format!(
            "  - {name}\n    principal: {{role: support}}\n    tool: billing\n    action: {action}\n    expect: {{effect: allow}}\n"
        )
    };
    let good = format!("tests:\n{}", case("name: refunds", "refund"));
    let bad = format!("tests:\n{}{}", case("name: refunds", "refund"), case("name: voids", "void"));
    let unknown = good.replace("expect:", "expects:");
    let rules = format!("{RULES}- {{id: two, role: admin, tool: billing, allowed_actions: [void]}}\n");
    let folder = folder(&[
        ("policy.yaml", &rules),
        ("broken.yaml", "rules: []"),
        ("good.yaml", &good),
        ("bad.yaml", &bad),
        ("unknown.yaml", &unknown),
        ("empty.yaml", "tests: []"),
    ]);
    let said = done(&policy(&folder, &["test", "policy.yaml", "good.yaml", "good.yaml"]));
    assert_eq!(said, "2 cases passed.\nRules that applied to no case: two.\n");
    let output = policy(&folder, &["test", "policy.yaml", "good.yaml", "bad.yaml"]);
    assert_eq!(failed(&output, 1), "countersign: 1 of 3 test cases failed\n");
    let said = text(&output.stdout);
    assert!(
        said.starts_with("bad.yaml:7: voids\n    effect: expected ALLOW, is DENY\n    the policy says: no rule allows"),
        "{said}"
    );
    assert!(said.ends_with("1 of 3 cases failed.\nRules that applied to no case: two.\n"), "{said}");
    for (file, code, words) in [
        ("unknown.yaml", 2, "unknown.yaml:6:5: tests[0].expects: unknown key"),
        ("empty.yaml", 2, "empty.yaml:1:8: tests: must not be empty"),
        ("missing.yaml", 2, "countersign: cannot read missing.yaml"),
    ] {
        let output = policy(&folder, &["test", "policy.yaml", "good.yaml", file]);
        assert!(failed(&output, code).contains(words), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "no case ran");
    }
    assert!(failed(&policy(&folder, &["test", "broken.yaml", "good.yaml"]), 1).starts_with("broken.yaml:1:8: "));
    assert_eq!(policy(&folder, &["test", "policy.yaml"]).status.code(), Some(2));
}

#[test]
fn two_documents_are_compared_without_a_server() {
    let cedar =
        "@id(\"two\")\nforbid (principal, action == Action::\"refund\", resource) when { principal.depth > 2 };";
    let stricter = RULES.replace("id: one", "id: one, require_approval: true");
    let files = [("old.yaml", RULES), ("new.yaml", &stricter), ("bad.yaml", "rules: 7\n"), ("p.cedar", cedar)];
    let folder = folder(&files);
    let said = done(&policy(&folder, &["diff", "old.yaml", "new.yaml", "--new-cedar", "p.cedar"]));
    let change = "rule \"one\": effect was allow, is allow once a person has approved it\n";
    let added = "Cedar policy \"two\" is added: text `@id(\"two\")\\nforbid (principal, ";
    assert!(said.starts_with(&format!("{change}{added}")), "{said}");
    let minded = policy(&folder, &["diff", "old.yaml", "new.yaml", "--exit-code"]);
    assert_eq!(failed(&minded, 3), "countersign: the two policies differ\n");
    assert_eq!(text(&minded.stdout), change, "shown in any case");
    let said = done(&policy(&folder, &["diff", "old.yaml", "old.yaml", "--exit-code"]));
    assert_eq!(said, "no changes: the two policies mean the same\n");
    let json: Value =
        serde_json::from_str(&done(&policy(&folder, &["diff", "new.yaml", "old.yaml", "--json"]))).unwrap();
    assert_eq!(json["changes"].as_array().unwrap().len(), 1);

    let said = failed(&policy(&folder, &["diff", "old.yaml", "bad.yaml"]), 1);
    assert!(said.starts_with("bad.yaml:1:8: rules: "), "{said}");
    assert!(failed(&policy(&folder, &["diff", "old.yaml", "none.yaml"]), 2).contains("cannot read none.yaml"));
    let said = failed(&policy(&folder, &["diff", "pv_1", "old.yaml", "--old-cedar", "p.cedar"]), 2);
    assert!(said.contains("has its Cedar with it"), "{said}");
    assert!(failed(&policy(&folder, &["diff", "old.yaml"]), 2).contains("<NEW>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_versions_are_compared_and_nothing_is_changed() {
    let world = World::start().await;
    let folder = folder(&[("mine.yaml", RULES), ("other.yaml", &RULES.replace("refund", "charge"))]);
    done(&remote(&world, "rita", &folder, &["apply", "mine.yaml", "--reason", "x", "--create-only"]));
    fs::remove_file(folder.path().join("api.key")).unwrap();
    let diff = |args: &[&str]| remote(&world, "oscar", &folder, &[&["diff"], args].concat());
    let size = world.log_size().await;
    assert_eq!(done(&diff(&["pv_2", "mine.yaml"])), "no changes: the two policies mean the same\n");
    let gained = "rule \"one\": actions gain \"charge\" and lose \"refund\"\n";
    assert_eq!(done(&diff(&["pv_2", "other.yaml"])), gained);
    let said = done(&diff(&["pv_1", "pv_2"]));
    assert!(said.contains("rule \"one\" is added: ") && said.contains(" is gone"), "{said}");
    let said = failed(&diff(&["pv_1", "pv_77"]), 1);
    assert!(said.starts_with("countersign: NOT_FOUND: "), "{said}");
    assert_eq!(world.log_size().await, size, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_a_document_activates_it_or_starts_the_rollout_that_it_asks_for_once() {
    let world = World::start().await;
    let rolling = format!("{RULES}{ROLLOUT}");
    let folder = folder(&[("plain.yaml", RULES), ("rolling.yaml", rolling.as_str())]);
    let apply = |args: &[&str]| remote(&world, "rita", &folder, &[&["apply", "--reason", "ticket 7"], args].concat());

    let said = done(&apply(&["plain.yaml", "--create-only"]));
    // Said before anything is done.
    assert!(said.starts_with("Changes from pv_1, which is active:\n"), "{said}");
    assert!(said.contains("\n  rule \"one\" is added: effect allow, role \"support\", tool \"billing\", "), "{said}");
    assert!(said.ends_with("\npv_2 stored: 1 rule.\nIt is not active yet: pv_1 is active.\n"), "{said}");
    let said = done(&apply(&["plain.yaml"]));
    assert!(said.contains("\npv_2 was stored before: 1 rule.\npv_2 is enforced for all callers from entry "), "{said}");
    let size = world.log_size().await;
    let said = done(&apply(&["plain.yaml"]));
    assert!(said.starts_with("No changes from pv_2, which is active.\n"), "{said}");
    assert!(said.ends_with("pv_2 is already active: nothing was changed.\n"), "{said}");
    assert_eq!(world.log_size().await, size, "nothing was changed");

    let json: Value = serde_json::from_str(&done(&apply(&["rolling.yaml", "--json"]))).unwrap();
    let rollout = &json["rollout"];
    assert!(json["changes"][0].as_str().unwrap().starts_with("the rollout is added: percent 10, "), "{json}");
    assert_eq!(
        (&json["created"], &rollout["candidate"], &rollout["percent"]),
        (&true.into(), &"pv_3".into(), &10.into())
    );
    assert_eq!((&rollout["baseline"], &rollout["scope"]["tools"][0]), (&"pv_2".into(), &"billing".into()));
    assert_eq!((&rollout["steps"][1], &rollout["minSoak"]), (&50.into(), &"60s".into()));
    assert_eq!(rollout["incrementPerDay"], 2);
    assert!(rollout.get("salt").is_none(), "a build's log is no place for it");
    let said = done(&apply(&["rolling.yaml"]));
    assert!(said.ends_with("pv_3 is already the candidate of the open rollout: nothing was changed.\n"), "{said}");
    // While it is open, it says who answers.
    let open = format!(
        "Rollout {} is open: pv_3 is enforced for 10 % of callers; pv_2 ",
        rollout["rolloutId"].as_str().unwrap()
    );
    let said = done(&apply(&["plain.yaml"]));
    assert!(said.starts_with(&open), "{said}");
    assert!(said.contains("\nNo changes from pv_2, which is the baseline of the open rollout.\n"), "{said}");
    assert!(
        said.ends_with("pv_2 is the baseline of the open rollout, enforced for the other 90 %: nothing was changed.\n"),
        "{said}"
    );

    // What is doubtful is said with it.
    let deny =
        "- {id: no, effect: deny, tool: billing, allowed_actions: [refund], when: context has n && context.n > 1}\n";
    fs::write(folder.path().join("doubtful.yaml"), format!("{RULES}{deny}")).unwrap();
    let said = done(&apply(&["doubtful.yaml", "--create-only"]));
    assert!(said.starts_with("doubtful.yaml:3:") && said.contains("warning: "), "{said}");
    let json: Value = serde_json::from_str(&done(&apply(&["doubtful.yaml", "--create-only", "--json"]))).unwrap();
    assert!(json["warnings"][0].as_str().unwrap().starts_with("3:"), "{json}");

    // One rollout at a time: what another document asks for is refused, and what it is stays stored.
    let said = failed(&apply(&["plain.yaml", "--activate"]), 0);
    assert_eq!(said, "", "pv_2 is active");
    fs::write(folder.path().join("third.yaml"), RULES.replace("one", "third")).unwrap();
    let said = failed(&apply(&["third.yaml"]), 1);
    assert!(said.starts_with("countersign: ROLLOUT_OPEN: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_applied_that_is_not_valid_or_by_whom_may_not() {
    let world = World::start().await;
    let folder = folder(&[("bad.yaml", "rules: []"), ("good.yaml", RULES)]);
    let size = world.log_size().await;
    let said = failed(&remote(&world, "rita", &folder, &["apply", "bad.yaml", "--reason", "x"]), 1);
    assert!(said.starts_with("bad.yaml:1:8: rules: "), "{said}");
    assert!(failed(&remote(&world, "rita", &folder, &["apply", "good.yaml"]), 2).contains("--reason"));
    fs::remove_file(folder.path().join("api.key")).unwrap();
    fs::write(folder.path().join("api.key"), "csk_nobody_knows_this_key").unwrap();
    fs::set_permissions(folder.path().join("api.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = failed(&remote(&world, "rita", &folder, &["apply", "good.yaml", "--reason", "x"]), 1);
    assert!(said.starts_with("countersign: UNAUTHENTICATED: "), "{said}");
    assert_eq!(world.log_size().await, size, "nothing was changed");
    let listed = world.rita.policies().list_policies(v1::ListPoliciesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.policies.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn simulating_a_document_shows_what_would_have_come_out_otherwise_and_stores_nothing() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    for action in ["refund", "refund", "delete"] {
        run.decide("billing", action).await.unwrap();
    }
    run.decide("search", "query").await.unwrap();
    let folder = folder(&[("refunds.yaml", RULES), ("bad.yaml", "rules: 7\n")]);
    let simulate = |args: &[&str]| remote(&world, "oscar", &folder, &[&["simulate"], args].concat());
    let size = world.log_size().await;

    let said = done(&simulate(&["refunds.yaml"]));
    let row = said.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row[..6], ["1", "ALLOW", "DENY", "allow-support-search", "(NO_MATCHING_RULE)", "alice"], "{said}");
    assert!(said.contains(
        "4 decisions evaluated again: 1 would have had another answer, 0 newly allowed and 1 no longer allowed."
    ));
    let minded = simulate(&["refunds.yaml", "--exit-code"]);
    assert_eq!(failed(&minded, 3), "countersign: 1 decisions would have had another answer\n");
    assert_eq!(text(&minded.stdout), said, "shown in any case");

    let json: Value = serde_json::from_str(&done(&simulate(&["--stored", "pv_1", "--json", "--exit-code"]))).unwrap();
    assert_eq!(
        (&json["evaluated"], &json["done"], json["kinds"].as_array().unwrap().len()),
        (&"4".into(), &true.into(), 0)
    );
    let json: Value = serde_json::from_str(&done(&simulate(&["refunds.yaml", "--json", "--tool", "search"]))).unwrap();
    assert_eq!((&json["evaluated"], &json["kinds"][0]["sponsorId"]), (&"1".into(), &"alice".into()));
    let said = done(&simulate(&["--stored", "pv_1", "--end", "2020-01-01T00:00:00Z"]));
    assert!(said.starts_with("0 decisions evaluated again"), "{said}");

    assert!(failed(&simulate(&["bad.yaml"]), 1).starts_with("bad.yaml:1:"));
    assert!(failed(&simulate(&["--stored", "pv_77"]), 1).starts_with("countersign: NOT_FOUND: "));
    assert!(failed(&simulate(&[]), 2).contains("<FILE>"));
    failed(&simulate(&["refunds.yaml", "--stored", "pv_1"]), 2);
    assert_eq!(world.log_size().await, size, "nothing was stored");
}
