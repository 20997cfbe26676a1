//! The rules of the fuzz targets, for a bounded number of cases.

#[expect(unreachable_pub, reason = "public to the fuzz targets, whose library it is")]
#[path = "../../../fuzz/src/tokens.rs"]
mod targets;
#[expect(unreachable_pub, reason = "public to the fuzz targets, whose library it is")]
#[path = "../../../fuzz/src/text.rs"]
mod text;

mod edits;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use edits::{edited, edits, holds};
use proptest::prelude::*;

fn token() -> impl Strategy<Value = String> {
    prop::sample::select(targets::tokens())
}

/// The claims of a token of the shared cases, or the token where it has none.
fn claims_of(token: &str) -> String {
    let part = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    part.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| token.to_owned())
}

#[test]
fn there_are_cases_to_begin_with() {
    assert!(targets::tokens().len() >= 50);
    assert!(targets::tokens().iter().filter(|token| claims_of(token).starts_with('{')).count() >= 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_changed_token_says_what_was_signed_or_is_refused(one in token(), other in token(), edits in edits()) {
        let token = edited(&one, &other, &edits);
        targets::credential(&token);
        targets::receipt(&token);
    }

    #[test]
    fn changed_claims_are_read_as_what_they_say_or_refused(one in token(), other in token(), edits in edits()) {
        targets::claims(&edited(claims_of(&one), claims_of(&other), &edits));
    }

    #[test]
    fn a_changed_key_set_is_read_alike_again_or_refused(edits in edits(), other in token()) {
        let vectors: serde_json::Value = serde_json::from_str(targets::VECTORS).unwrap();
        targets::jwks(&edited(vectors["jwks"].to_string(), &other, &edits));
    }
}

#[test]
fn arguments_have_one_reading_and_one_canonical_form() {
    holds(&text::arguments_seeds(), 2_000, text::arguments);
}

#[test]
fn a_name_has_one_spelling() {
    holds(&text::names_seeds(), 2_000, text::names);
}

#[test]
fn the_targets_begin_where_the_tests_do() {
    let claims = targets::claims_seeds();
    assert!(claims.len() >= 50 && targets::tokens_seeds().len() == targets::tokens().len());
    holds(&targets::jwks_seeds(), 100, targets::jwks);
}
