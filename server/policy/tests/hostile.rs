//! Whatever the text, loading ends with an answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;

use countersign_core::decision::Effect;
use countersign_policy::{CompiledPolicy, Context, Principal, PrincipalSpec, Request};

fn with_condition(when: &str) -> String {
    let when = serde_json::to_string(when).unwrap();
    format!("rules:\n- {{id: r, role: a, tool: t, allowed_actions: [x], when: {when}}}\n")
}

fn principal() -> Principal {
    Principal::new(&PrincipalSpec {
        agent_instance_id: "i",
        root_instance_id: "i",
        sponsor_id: "s",
        agent: "g",
        role: "a",
        inherited_roles: &[],
        depth: 0,
        purpose: "p",
        tools: &[],
        labels: &BTreeMap::new(),
    })
}

#[test]
fn deep_and_long_expressions_overflow_no_stack() {
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("!(", "true", ")"),
        ("-", "1", " == 1"),
        ("[", "1", "].isEmpty()"),
        ("{a: ", "1", "}"),
        ("if true then ", "true", " else false"),
        ("if true then true else ", "true", ""),
        ("if ", "true", " then true else true"),
        ("(true && true && true && true && true && true && true && true && 1 + 1 + 1 == 1 && ", "true", ")"),
        ("!(if (", "true", ") then true else true)"),
        ("[-{a: if ", "true", " then 1 else 2}.a].isEmpty()"),
        ("", "true", " && true"),
        ("true || ", "true", ""),
        ("1 + ", "1", ""),
        ("1 * ", "1", ""),
        ("", "context", ".a"),
        ("", "context", "[\"a\"]"),
        ("ip(", "\"::\"", ")"),
    ] {
        for count in [6, 8, 12, 20, 24, 100, 130, 200, 399, 400, 4_000] {
            let text = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
            if let Ok(policy) = CompiledPolicy::load(&with_condition(&text), "") {
                let principal = principal();
                let context = Context::default();
                let _ = policy.evaluate(&Request {
                    principal: &principal,
                    tool: "t",
                    action: "x",
                    purpose: "p",
                    context: &context,
                });
            }
            let raw = format!("@id(\"a\") forbid(principal, action, resource) when {{ {text} }};");
            let _ = CompiledPolicy::load(&with_condition("true"), &raw);
        }
    }
}

/// Cedar refuses to evaluate where little stack is left, and then the answer would hang on who asks, not on what.
#[test]
fn the_deepest_condition_that_loads_is_answered_everywhere() {
    for (text, count) in [("true && ", 399), ("(", 24)] {
        let condition =
            format!("{}true{}", text.repeat(count), if text == "(" { ")".repeat(count) } else { String::new() });
        let policy = CompiledPolicy::load(&with_condition(&condition), "").unwrap();
        let asked = move || {
            let (principal, context) = (principal(), Context::default());
            let request = Request { principal: &principal, tool: "t", action: "x", purpose: "p", context: &context };
            policy.evaluate(&request).effect
        };
        let narrow = std::thread::Builder::new().stack_size(256 << 10).spawn(asked).unwrap();
        assert_eq!(narrow.join().unwrap(), Effect::Allow, "{text}");
    }
}

#[test]
fn deep_and_exploding_documents_are_refused() {
    let bomb: String = (0..20).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let next = n + 1;
        text + &format!("a{next}: &a{next} [{}]\n", vec![format!("*a{n}"); 9].join(", "))
    });
    for document in [bomb, "[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "&a ".repeat(100_000)] {
        assert!(CompiledPolicy::load(&document, "").is_err());
    }
}
