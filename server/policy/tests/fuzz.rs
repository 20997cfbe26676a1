//! The rules of the fuzz targets, for a bounded number of cases.

#[path = "../../core/tests/edits/mod.rs"]
mod edits;
#[expect(unreachable_pub, reason = "public to the fuzz targets, whose library it is")]
#[path = "../../../fuzz/src/policy.rs"]
mod targets;

use edits::{edited, edits, holds};
use proptest::prelude::*;

/// A document and the Cedar beside it, as the target reads them.
fn documents() -> Vec<String> {
    targets::document_seeds().into_iter().map(|seed| String::from_utf8(seed).expect("text")).collect()
}

fn suites() -> Vec<String> {
    targets::tests_seeds().into_iter().map(|seed| String::from_utf8(seed).expect("text")).collect()
}

/// Pieces that get further into the parsers than arbitrary text does.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "rules:",
        "roles:",
        "tools:",
        "rollout:",
        "\n",
        "  ",
        "- ",
        "id: a",
        "role: a",
        "tool: t",
        "when: ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "<<: ",
        "|\n",
        ">\n",
        "!!binary ",
        "\"",
        "'",
        "percent: 1",
        "effect: deny",
        "allowed_actions: [x]",
        "#",
        "?",
        "permit",
        "forbid",
        "(principal, action, resource)",
        "(",
        ")",
        "when",
        "context",
        "context.a",
        ".",
        "==",
        "&&",
        "!",
        "1",
        "-",
        "if ",
        " then ",
        " else ",
        "has ",
        "like ",
        "@id(\"a\")",
        ";",
        "//",
        "\\",
        "Role::\"a\"",
        "\u{0}",
        "ä",
        "\t",
        ",",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A document of one rule with this condition.
fn with_condition(when: &str) -> String {
    format!("rules:\n- {{id: r, role: a, tool: t, allowed_actions: [x], when: {}}}\n", serde_json::json!(when))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn arbitrary_text_is_refused_with_places(text: String, cedar: String) {
        targets::document(format!("{text}\0{cedar}").as_bytes());
        targets::tests(text.as_bytes());
    }

    #[test]
    fn arbitrary_pieces_are_refused_with_places_or_loaded(document in pieces(), cedar in pieces(), when in pieces()) {
        targets::document(format!("{document}\0{cedar}").as_bytes());
        targets::document(format!("{}\0{cedar}", with_condition(&when)).as_bytes());
    }

    #[test]
    fn a_changed_document_is_refused_or_allows_no_more_than_cedar(
        one in prop::sample::select(documents()),
        other in prop::sample::select(documents()),
        edits in edits(),
    ) {
        targets::document(&edited(&one, &other, &edits));
    }

    #[test]
    fn a_changed_file_of_tests_is_refused_with_places_or_run(
        one in prop::sample::select(suites()),
        other in prop::sample::select(suites()),
        edits in edits(),
    ) {
        targets::tests(&edited(&one, &other, &edits));
    }
}

#[test]
fn what_the_search_begins_with_loads() {
    for text in documents() {
        let (document, cedar) = text.split_once('\0').unwrap_or((&text, ""));
        countersign_policy::CompiledPolicy::load_stored(document, cedar)
            .unwrap_or_else(|error| panic!("{document}\n{error}"));
    }
    for text in suites() {
        countersign_policy::PolicyTests::read(&text).unwrap();
    }
    holds(&targets::document_seeds(), 32, targets::document);
    holds(&targets::tests_seeds(), 32, targets::tests);
}
