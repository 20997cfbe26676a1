//! Entities of declared types: the published AuthZEN scenarios, the rules of the language, and what keeps them apart from runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, sync::LazyLock};

use countersign_core::decision::{Effect, Reason};
use countersign_policy::{
    CompiledPolicy, Context, Entity, EntityRequest, Evaluation, Principal, PrincipalSpec, Request,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("documents/authzen.yaml");
const CEDAR: &str = include_str!("documents/authzen.cedar");

fn entity(value: &Value) -> Entity {
    let text = |name: &str| value[name].as_str().unwrap().to_owned();
    let properties = value["properties"].as_object().cloned().unwrap_or_default();
    Entity { kind: text("type"), id: text("id"), properties }
}

fn ask(policy: &CompiledPolicy, subject: &Value, action: &str, resource: &Value, context: &Value) -> Evaluation {
    let context = Context::from_json(context.as_object().cloned().unwrap_or_default()).unwrap();
    let (subject, resource) = (entity(subject), entity(resource));
    policy.evaluate_entities(&EntityRequest { subject: &subject, action, resource: &resource, context: &context })
}

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn said(evaluation: &Evaluation) -> (Effect, Reason) {
    (evaluation.effect, evaluation.reason)
}

const ALLOWED: (Effect, Reason) = (Effect::Allow, Reason::AllowedByRule);
const NO_RULE: (Effect, Reason) = (Effect::Deny, Reason::NoMatchingRule);
const FAILED: (Effect, Reason) = (Effect::Deny, Reason::PolicyError);
const UNKNOWN: (Effect, Reason) = (Effect::Deny, Reason::TypeUnknown);

/// The eight decisions that "AuthZEN Authorization API 1.0 - Certification Scenario", section "Required Policy Behaviour",
/// mandates, and those of the OpenID AuthZEN working group's Todo scenario.
#[test]
fn the_published_scenarios_are_decided_as_published() {
    let policy = CompiledPolicy::load(DOCUMENT, CEDAR).unwrap_or_else(|wrong| panic!("{wrong}"));
    let record = |id: &str| json!({"type": "record", "id": id});
    let archived = json!({"type": "record", "id": "record-2", "properties": {"status": "archived"}});
    let admin = json!({"type": "user", "id": "bob", "properties": {"role": "admin"}});
    let none = json!({});
    for (nth, subject, action, resource, context, allowed) in [
        (1, &user("alice"), "read", &record("record-1"), &none, true),
        (2, &user("alice"), "write", &record("record-1"), &none, true),
        (3, &user("bob"), "read", &record("record-1"), &none, true),
        (4, &user("bob"), "write", &record("record-1"), &none, false),
        (5, &user("alice"), "write", &archived, &none, false),
        (6, &admin, "write", &archived, &none, true),
        (7, &user("alice"), "delete", &record("record-1"), &json!({"soft": true}), true),
        (8, &user("alice"), "delete", &record("record-1"), &json!({"soft": false}), false),
    ] {
        let answer = ask(&policy, subject, action, resource, context);
        assert_eq!(answer.effect == Effect::Allow, allowed, "decision {nth}: {answer:?}");
    }
    let todo = |owner: &str| json!({"type": "todo", "id": "1", "properties": {"ownerID": owner}});
    let (rick, morty, beth) = ("rick@the-citadel.com", "morty@the-citadel.com", "beth@the-smiths.com");
    for (id, create, own, others) in
        [("rick", true, true, true), ("morty", true, true, false), ("beth", false, false, false)]
    {
        let of = |action, resource: &Value| ask(&policy, &user(id), action, resource, &none).effect == Effect::Allow;
        let mine = match id {
            "rick" => rick,
            "morty" => morty,
            _ => beth,
        };
        let theirs = if id == "rick" { morty } else { rick };
        assert!(
            of("can_read_user", &user("beth")) && of("can_read_user", &user(id)) && of("can_read_todos", &todo(theirs))
        );
        assert_eq!(of("can_create_todo", &todo(theirs)), create, "{id}");
        for action in ["can_update_todo", "can_delete_todo"] {
            assert_eq!((of(action, &todo(mine)), of(action, &todo(theirs))), (own, others), "{id} {action}");
        }
    }
}

#[test]
fn undeclared_entities_are_denied_and_properties_ignored() {
    let policy = CompiledPolicy::load(DOCUMENT, CEDAR).unwrap();
    let (alice, record, none) = (user("alice"), json!({"type": "record", "id": "record-1"}), json!({}));
    let with = |entity: &Value, properties: Value| {
        let mut entity = entity.clone();
        entity["properties"] = properties;
        entity
    };
    let many = with(
        &alice,
        json!({"department": "Sales", "score": 0.5, "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}}, "role": null}),
    );
    for (subject, action, resource, expected) in [
        (&alice, "read", &record, ALLOWED),
        (&many, "read", &record, ALLOWED),
        (&alice, "fly", &record, NO_RULE),
        (&user("nobody"), "read", &record, NO_RULE),
        (&json!({"type": "spaceship", "id": "alice"}), "read", &record, UNKNOWN),
        (&alice, "read", &json!({"type": "planet", "id": "record-1"}), UNKNOWN),
        (&json!({"type": "Instance", "id": "alice"}), "refund", &json!({"type": "Tool", "id": "billing"}), UNKNOWN),
        (&alice, "refund", &json!({"type": "tool", "id": "billing"}), UNKNOWN),
        // Of another type than declared: whatever it says, nothing is allowed on it.
        (&with(&alice, json!({"role": ["admin"]})), "read", &record, FAILED),
        (&with(&alice, json!({"roles": ["a", 1]})), "read", &record, FAILED),
        (&alice, "write", &json!({"type": "record", "id": "record-9", "properties": {"status": 5}}), FAILED),
        (
            &alice,
            "write",
            &json!({"type": "record", "id": "record-9", "properties": {"status": "x".repeat(2000)}}),
            FAILED,
        ),
    ] {
        assert_eq!(said(&ask(&policy, subject, action, resource, &none)), expected, "{subject} {action} {resource}");
    }
    let runs_only = CompiledPolicy::load("rules: [{id: a, role: r, tool: t, allowed_actions: [read]}]", "").unwrap();
    assert_eq!(said(&ask(&runs_only, &alice, "read", &record, &none)), UNKNOWN);
}

#[test]
fn what_the_document_says_of_an_entity_stands() {
    let policy = CompiledPolicy::load(DOCUMENT, CEDAR).unwrap();
    let none = json!({});
    let record = |id: &str, status: &str| json!({"type": "record", "id": id, "properties": {"status": status}});
    let ask = |subject: &Value, resource: &Value| said(&ask(&policy, subject, "write", resource, &none));
    assert_eq!(ask(&user("alice"), &record("record-1", "archived")), ALLOWED);
    assert_eq!(ask(&user("alice"), &record("record-2", "active")), NO_RULE);
    assert_eq!(ask(&user("alice"), &record("record-9", "archived")), NO_RULE, "of this one it says nothing");
    let morty = json!({"type": "user", "id": "morty", "properties": {"roles": ["evil_genius"], "role": "admin"}});
    let todo = json!({"type": "todo", "id": "1", "properties": {"ownerID": "rick@the-citadel.com"}});
    assert_eq!(said(&self::ask(&policy, &morty, "can_update_todo", &todo, &none)), NO_RULE);
}

#[test]
fn a_required_attribute_must_be_there() {
    let document = "types: [{id: user, attributes: {level: {type: long}}}, {id: door}]";
    let cedar = r#"@id("in") permit (principal is user, action == Action::"open", resource is door) when { principal.level > 2 };"#;
    let policy = CompiledPolicy::load(document, cedar).unwrap_or_else(|wrong| panic!("{wrong}"));
    let door = json!({"type": "door", "id": "1"});
    for (properties, expected) in [
        (json!({"level": 3}), ALLOWED),
        (json!({"level": 3.0}), ALLOWED),
        (json!({"level": 2}), NO_RULE),
        (json!({}), FAILED),
        (json!({"level": null}), FAILED),
        (json!({"level": "3"}), FAILED),
        (json!({"level": 2.5}), FAILED),
    ] {
        let subject = json!({"type": "user", "id": "u", "properties": properties});
        assert_eq!(said(&ask(&policy, &subject, "open", &door, &json!({}))), expected, "{subject}");
    }
}

#[test]
fn runs_and_entities_have_nothing_to_do_with_each_other() {
    let cedar = format!(
        "{CEDAR}\n@id(\"nobody-at-night\") forbid (principal, action, resource) when {{ context has night && context.night }};\n\
         @id(\"runs\") permit (principal is Instance, action == Action::\"read\", resource);"
    );
    let policy = CompiledPolicy::load(DOCUMENT, &cedar).unwrap_or_else(|wrong| panic!("{wrong}"));
    let run = |role: &str, tool: &str, action: &str, context: &Value| {
        let principal = Principal::new(&PrincipalSpec {
            agent_instance_id: "alice",
            root_instance_id: "alice",
            sponsor_id: "alice",
            agent: "user",
            role,
            inherited_roles: &[],
            depth: 0,
            purpose: "x",
            tools: &[],
            labels: &BTreeMap::new(),
        });
        let context = Context::from_json(context.as_object().cloned().unwrap()).unwrap();
        let request = Request { principal: &principal, tool, action, purpose: "x", context: &context };
        said(&policy.evaluate(&request))
    };
    let (day, night) = (json!({}), json!({"night": true}));
    assert_eq!(run("support", "billing", "refund", &day), ALLOWED);
    assert_eq!(run("user", "record", "write", &day), NO_RULE, "names that types have too");
    assert_eq!(run("user", "todo", "can_read_todos", &day), NO_RULE);
    assert_eq!(run("any", "thing", "read", &day), ALLOWED);
    let record = json!({"type": "record", "id": "record-1"});
    assert_eq!(
        said(&ask(&policy, &user("nobody"), "read", &record, &day)),
        NO_RULE,
        "a permit for runs is for no user"
    );
    // What forbids everything forbids both.
    let forbidden = (Effect::Deny, Reason::DeniedByRule);
    assert_eq!(run("support", "billing", "refund", &night), forbidden);
    assert_eq!(said(&ask(&policy, &user("alice"), "read", &record, &night)), forbidden);
    let of_entities: Vec<_> =
        policy.rules().iter().filter(|rule| rule.of_entities).map(|rule| rule.rule_id.as_str()).collect();
    assert_eq!(of_entities.len(), 10, "{of_entities:?}");
}

/// `settings::"global"` is frozen, and there are other entities.
const FROZEN: &str = r"
types: [{id: user, attributes: {level: {type: long, required: false}}}, {id: settings, attributes: {frozen: {type: bool, required: false}, limit: {type: long}, inner: {type: record, required: false, attributes: {a: {type: set, of: string}}}}}]
entities:
- {type: settings, id: global, attributes: {frozen: true, limit: 5, inner: {a: [x]}}}
- {type: settings, id: open, attributes: {frozen: false, limit: 900}}
- {type: user, id: root, attributes: {level: 9}}
rules: [{id: ok, role: r, tool: t, allowed_actions: [a]}]";

#[test]
fn policies_read_every_entity_of_the_document() {
    for (when, denied) in [
        (r#"settings::"global" has frozen && settings::"global".frozen"#, true),
        (r#"settings::"open" has frozen && settings::"open".frozen"#, false),
        (r#"settings::"global".limit < settings::"open".limit"#, true),
        (r#"settings::"global" has inner && settings::"global".inner.a.contains("x")"#, true),
        (r#"settings::"open" has inner"#, false),
        (r#"user::"root" has level && user::"root".level > 8"#, true),
        (r#"if principal == user::"root" then true else user::"root" has level && user::"root".level > 9"#, false),
    ] {
        let cedar = format!(
            "@id(\"yes\") permit (principal is user, action, resource is settings);\n\
             @id(\"no\") forbid (principal, action, resource) when {{ {when} }};"
        );
        let policy = CompiledPolicy::load(FROZEN, &cedar).unwrap_or_else(|wrong| panic!("{when}\n{wrong}"));
        let expected = if denied { (Effect::Deny, Reason::DeniedByRule) } else { ALLOWED };
        // Of an entity that is neither subject nor resource, and of one that is.
        for id in ["elsewhere", "global"] {
            let resource = json!({"type": "settings", "id": id, "properties": {"limit": 1, "frozen": false}});
            assert_eq!(said(&ask(&policy, &user("alice"), "a", &resource, &json!({}))), expected, "{when} on {id}");
        }
        // And of a run.
        let principal = Principal::new(&PrincipalSpec {
            agent_instance_id: "i",
            root_instance_id: "i",
            sponsor_id: "alice",
            agent: "user",
            role: "r",
            inherited_roles: &[],
            depth: 0,
            purpose: "x",
            tools: &[],
            labels: &BTreeMap::new(),
        });
        let context = Context::default();
        let request = Request { principal: &principal, tool: "t", action: "a", purpose: "x", context: &context };
        if !when.contains("principal ==") {
            assert_eq!(said(&policy.evaluate(&request)), expected, "{when}");
        }
    }
    // A rule of the document reads them too, and what the document does not say of one fails.
    let with = |rule: &str| FROZEN.replace("rules: [", &format!("rules: [{{id: no, effect: deny, when: '{rule}'}}, "));
    let policy =
        CompiledPolicy::load(&with(r#"settings::"global".limit < 9"#), "").unwrap_or_else(|wrong| panic!("{wrong}"));
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: "i",
        root_instance_id: "i",
        sponsor_id: "alice",
        agent: "user",
        role: "r",
        inherited_roles: &[],
        depth: 0,
        purpose: "x",
        tools: &[],
        labels: &BTreeMap::new(),
    });
    let context = Context::default();
    let request = Request { principal: &principal, tool: "t", action: "a", purpose: "x", context: &context };
    assert_eq!(said(&policy.evaluate(&request)), (Effect::Deny, Reason::DeniedByRule));
    let policy = CompiledPolicy::load_stored(&with(r#"settings::"other".limit < 9"#), "")
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(said(&policy.evaluate(&request)), FAILED);
}

#[test]
fn whatever_is_wrong_is_said_with_its_place() {
    let types = "types: [{id: user, attributes: {level: {type: long}}}, {id: door}]";
    let cedar = |text: &str| format!("@id(\"a\") {text}");
    let cases: &[(&str, String, &str)] = &[
        ("types: []", String::new(), "1:8: types: must not be empty"),
        ("types: [{id: Us er}]", String::new(), "types[0].id: must be 1 to 128"),
        ("types: [{id: Credential}]", String::new(), "is what runs and their tools are called"),
        ("types: [{id: a-b}]", String::new(), "types[0].id: must be an identifier of Cedar"),
        ("types: [{id: 1a}]", String::new(), "types[0].id: must be an identifier of Cedar"),
        ("types: [{id: instance}]", String::new(), "types[0].id: \"instance\" is what runs and their tools are called"),
        ("types: [{id: tool}]", String::new(), "is what runs and their tools are called"),
        ("types: [{id: credential}]", String::new(), "is what runs and their tools are called"),
        ("types: [{id: a}, {id: a}]", String::new(), "types[1].id: duplicate id \"a\", first on line 1"),
        ("types: [{id: a, attrs: {}}]", String::new(), "types[0].attrs: unknown key"),
        (
            "types: [{id: a, attributes: {b: {type: date}}}]",
            String::new(),
            "types[0].attributes.b.type: must be long or string",
        ),
        ("types: [{id: a, attributes: {b: {type: long, tools: [c]}}}]", String::new(), "unknown key \"tools\""),
        ("entities: [{type: a, id: b}]", String::new(), "entities: needs `types`"),
        (
            "types: [{id: a}]\nentities: [{type: b, id: c}]",
            String::new(),
            "2:19: entities[0].type: type \"b\" is not listed",
        ),
        ("types: [{id: a}]\nentities: [{type: a}]", String::new(), "entities[0].id: is missing"),
        (
            "types: [{id: a}]\nentities: [{type: a, id: b}, {type: a, id: b}]",
            String::new(),
            "entities[1].id: occurs twice",
        ),
        (
            "types: [{id: a}]\nentities: [{type: a, id: b, attributes: {c: 1}}]",
            String::new(),
            "entities[0].attributes.c: is not an attribute",
        ),
        (
            "types: [{id: a, attributes: {c: {type: long}}}]\nentities: [{type: a, id: b, attributes: {c: x}}]",
            String::new(),
            "entities[0].attributes.c: must be a whole number",
        ),
        (
            "types: [{id: a, attributes: {c: {type: set, of: string}}}]\nentities: [{type: a, id: b, attributes: {c: [x, 1]}}]",
            String::new(),
            "entities[0].attributes.c[1]: must be text",
        ),
        (
            types,
            cedar(r#"permit (principal, action == Action::"open", resource);"#),
            "cedar: must say what it is about",
        ),
        (types, cedar("permit (principal is user, action, resource is Tool);"), "can never apply"),
        (types, cedar(r#"permit (principal in Role::"support", action, resource is door);"#), "can never apply"),
        (
            types,
            cedar("@require_approval permit (principal is user, action, resource);"),
            "leave @require_approval out",
        ),
        (types, cedar("permit (principal is usr, action, resource);"), "usr"),
        (types, cedar("permit (principal is user, action, resource) when { principal.levle > 1 };"), "levle"),
        (types, cedar(r#"permit (principal is user, action, resource) when { principal.level == "x" };"#), "cedar[a]"),
        (types, cedar("permit (principal is user, action, resource) when { resource.level > 1 };"), "level"),
        (
            types,
            cedar(r#"permit (principal is user, action, resource) when { principal.sponsor_id == "x" };"#),
            "sponsor_id",
        ),
        (
            types,
            cedar(r#"permit (principal is Instance, action == Action::"x", resource) when { principal.level > 1 };"#),
            "level",
        ),
        (types, cedar("forbid (principal, action, resource) when { principal.depth > 1 };"), "depth"),
    ];
    for (document, cedar, expected) in cases {
        let rules = if cedar.is_empty() { "\nrules: [{id: r, role: r, tool: t, allowed_actions: [x]}]" } else { "" };
        let wrong = CompiledPolicy::load(&format!("{document}{rules}"), cedar).unwrap_err().to_string();
        assert!(wrong.contains(expected), "{document} {cedar}\n{wrong}");
    }
    // The type of an attribute is known, and what is compared with it has that type.
    let fits = cedar("permit (principal is user, action, resource) when { principal.level == context.level };");
    assert!(CompiledPolicy::load(types, &fits).is_ok());
    let more = format!(
        "{fits} @id(\"b\") {}",
        r#"permit (principal is user, action, resource) when { context.level == "x" };"#
    );
    let wrong = CompiledPolicy::load(types, &more).unwrap_err().to_string();
    assert!(wrong.contains("context.level is text here and a whole number in rule \"a\""), "{wrong}");
}

proptest! {
    /// Whoever asks, of whatever types, with whatever properties: a permit that covers it is needed.
    #[test]
    fn nothing_is_allowed_without_a_permit(
        subject in "[a-z]{1,6}|user|record|todo|Instance|Role",
        resource in "[a-z]{1,6}|user|record|todo|Tool",
        id in ".{0,8}",
        action in "[a-z_]{1,8}|refund",
        role in "[a-z_]{0,11}|admin",
    ) {
        static POLICY: LazyLock<CompiledPolicy> = LazyLock::new(|| CompiledPolicy::load(DOCUMENT, CEDAR).unwrap());
        let properties = json!({"role": role, "roles": [role], "email": id, "ownerID": id, "status": "archived"});
        let subject = Entity { kind: subject, id: id.clone(), properties: properties.as_object().cloned().unwrap() };
        let resource = Entity { kind: resource, id, properties: properties.as_object().cloned().unwrap() };
        let context = Context::default();
        let request = EntityRequest { subject: &subject, action: &action, resource: &resource, context: &context };
        let answer = POLICY.evaluate_entities(&request);
        let known = |kind: &str| ["user", "record", "todo"].contains(&kind);
        if answer.effect == Effect::Allow {
            prop_assert!(known(&subject.kind) && known(&resource.kind) && !answer.rule_ids.is_empty());
        }
        prop_assert_eq!(answer.reason == Reason::TypeUnknown, !(known(&subject.kind) && known(&resource.kind)));
    }
}
