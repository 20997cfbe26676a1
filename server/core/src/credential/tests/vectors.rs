//! The test cases that verifiers in all languages share: `clients/conformance/credential.json`.
//!
//! An ECDSA signature is different each time, so the file is written once and only read afterwards. Set
//! `COUNTERSIGN_WRITE_VECTORS` to write it again with a new key after cases were added.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Vectors {
    about: String,
    issuer: String,
    audience: String,
    /// Seconds since the epoch.
    now: i64,
    jwks: Value,
    cases: Vec<Case>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Case {
    name: String,
    /// What is verified: `credential`, or `receipt` at the tool billing.
    verify_as: String,
    /// What is added to `now`, in seconds.
    clock_offset: i64,
    token: String,
    /// `VALID`, or the reason without its prefix.
    expect: String,
}

fn answer(vectors: &Vectors, keys: &KeySet, case: &Case) -> &'static str {
    let now = OffsetDateTime::from_unix_timestamp(vectors.now + case.clock_offset).unwrap();
    let expect = Expect { issuer: &vectors.issuer, audience: &vectors.audience };
    let refused = match case.verify_as.as_str() {
        "credential" => verify_credential(&case.token, keys, &expect, now).err().map(|refusal| refusal.reason()),
        "receipt" => verify_receipt(&case.token, keys, expect.issuer, &"billing".parse().unwrap(), now)
            .err()
            .map(|refusal| refusal.reason()),
        other => panic!("unknown kind {other}"),
    };
    refused.map_or("VALID", Reason::as_str)
}

#[test]
fn the_shared_cases_are_answered_alike() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/conformance/credential.json");
    if std::env::var_os("COUNTERSIGN_WRITE_VECTORS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&write()).unwrap() + "\n").unwrap();
    }
    let vectors: Vectors = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(vectors.cases.len() >= 50);
    let keys = KeySet::from_jwks(&vectors.jwks.to_string()).unwrap();
    for case in &vectors.cases {
        assert_eq!(answer(&vectors, &keys, case), case.expect, "{}", case.name);
    }
}

fn write() -> Vectors {
    let mut vectors = Vectors {
        about:
            "Cases of docs/verification.md. Verify each token with the key set, at now + clock_offset seconds, as a \
                credential for the audience or as a receipt for the tool billing; expect is VALID or a DecisionReason \
                without its prefix."
                .into(),
        issuer: EXPECT.issuer.into(),
        audience: EXPECT.audience.into(),
        now: NOW.unix_timestamp(),
        jwks: KEYS.to_jwks(),
        cases: Vec::new(),
    };
    vectors.cases.extend(good_and_late());
    vectors.cases.extend(bad_form());
    vectors.cases.extend(bad_headers());
    vectors.cases.extend(bad_claims());
    vectors.cases.extend(bad_receipts());
    vectors
}

fn case(name: &str, verify_as: &str, clock_offset: i64, token: String, expect: &str) -> Case {
    Case { name: name.into(), verify_as: verify_as.into(), clock_offset, token, expect: expect.into() }
}

fn good_and_late() -> Vec<Case> {
    let credential = || sign_credential(&claims(), &KEY).unwrap();
    let receipt = || sign_receipt(&receipt_claims(), &KEY).unwrap();
    let left = claims().exp - NOW.unix_timestamp();
    let receipt_left = receipt_claims().exp - NOW.unix_timestamp();
    vec![
        case("a grandchild's credential", "credential", 0, credential(), "VALID"),
        case("a root's credential", "credential", 0, sign_credential(&grant(&[]), &KEY).unwrap(), "VALID"),
        case(
            "roles that are inherited",
            "credential",
            0,
            credential_with(|claims| claims["inherited_roles"] = json!(["finance", "audit"])),
            "VALID",
        ),
        case(
            "a root of another agent",
            "credential",
            0,
            credential_with(|claims| claims["root_agent"] = json!("support-assistant")),
            "VALID",
        ),
        case(
            "tools as others name them",
            "credential",
            0,
            credential_with(|c| c["tools"] = json!(["Orders/Lookup:v2", "x".repeat(128), "orders/lookup:v2"])),
            "VALID",
        ),
        case(
            "an end user for whom it acts",
            "credential",
            0,
            credential_with(|c| c["on_behalf_of"] = json!("customer 4711, Zo\u{eb}")),
            "VALID",
        ),
        case("an unknown claim", "credential", 0, credential_with(|claims| claims["later"] = json!({})), "VALID"),
        case(
            "aud as an array of one",
            "credential",
            0,
            credential_with(|c| c["aud"] = json!([EXPECT.audience])),
            "VALID",
        ),
        case("4 s past exp", "credential", left + 4, credential(), "VALID"),
        case("6 s past exp", "credential", left + 6, credential(), "CREDENTIAL_EXPIRED"),
        case("clock 4 s before iat", "credential", left - 304, credential(), "VALID"),
        case("clock 6 s before iat", "credential", left - 306, credential(), "CREDENTIAL_INVALID"),
        case("a receipt", "receipt", 0, receipt(), "VALID"),
        case("a receipt 6 s past exp", "receipt", receipt_left + 6, receipt(), "CREDENTIAL_EXPIRED"),
        case("a receipt as a credential", "credential", 0, receipt(), "CREDENTIAL_WRONG_KIND"),
        case("a credential as a receipt", "receipt", 0, credential(), "CREDENTIAL_WRONG_KIND"),
    ]
}

fn bad_form() -> Vec<Case> {
    let good = sign_credential(&claims(), &KEY).unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let (head, body) = (header(TYP_CREDENTIAL).to_string(), json!(claims()).to_string());
    let doubled = |text: &str, member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    [
        ("empty", String::new()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.{}", parts[2])),
        ("padding", format!("{good}==")),
        ("a line break at the end", format!("{good}\n")),
        ("the standard base64 alphabet", format!("{}.{}+.{}", parts[0], parts[1], parts[2])),
        ("a header that is no object", format!("{}.{}.{}", encode("[]"), parts[1], parts[2])),
        ("longer than 8 KiB", format!("{}.{}.{}", parts[0], "A".repeat(MAX_TOKEN), parts[2])),
        ("alg twice", forge(&doubled(&head, r#""alg":"ES256""#), &body)),
        ("sponsor_id twice", forge(&head, &doubled(&body, r#""sponsor_id":"bob""#))),
        ("sponsor_id twice, once escaped", forge(&head, &doubled(&body, r#""sponsor\u005fid":"bob""#))),
        ("a label twice", forge(&head, &body.replace(r#"{"tier":"free"}"#, r#"{"tier":"a","tier":"b"}"#))),
        ("text after the claims", forge(&head, &format!("{body}{{}}"))),
    ]
    .map(|(name, token)| case(name, "credential", 0, token, "CREDENTIAL_MALFORMED"))
    .into()
}

fn bad_headers() -> Vec<Case> {
    let body = json!(claims()).to_string();
    let stranger = SigningKey::generate().unwrap();
    let by_stranger = sign_credential(&claims(), &stranger).unwrap();
    let under_our_kid =
        format!("{}.{}", encode(header(TYP_CREDENTIAL).to_string()), by_stranger.split_once('.').unwrap().1);
    let with = |name: &str, value: Value| {
        let mut header = header(TYP_CREDENTIAL);
        header[name] = value;
        header.to_string()
    };
    let none = format!("{}.{}.", encode(with("alg", json!("none"))), encode(&body));
    let invalid = [
        ("alg none without a signature", none),
        ("alg HS256", forge(&with("alg", json!("HS256")), &body)),
        ("alg in lower case", forge(&with("alg", json!("es256")), &body)),
        ("an embedded jwk", forge(&with("jwk", stranger.verifying_key().to_jwk()), &body)),
        ("a jku", forge(&with("jku", json!("https://evil.example/jwks.json")), &body)),
        ("an x5u", forge(&with("x5u", json!("https://evil.example/cert.pem")), &body)),
        ("an x5c", forge(&with("x5c", json!(["MIIB"])), &body)),
        ("an unknown crit", forge(&with("crit", json!(["later"])), &body)),
        ("an empty crit", forge(&with("crit", json!([])), &body)),
        ("b64 false", forge(&with("b64", json!(false)), &body)),
        ("an x5t", forge(&with("x5t", json!("AAAA")), &body)),
        ("zip", forge(&with("zip", json!("DEF")), &body)),
        ("an empty kid", forge(&with("kid", json!("")), &body)),
        ("kid is a number", forge(&with("kid", json!(7)), &body)),
        ("an unknown kid", by_stranger),
        ("another key's signature under our kid", under_our_kid),
        ("no typ", forge(&json!({ "alg": "ES256", "kid": KEY.kid() }).to_string(), &body)),
    ];
    let kinds = ["JWT", "AT+JWT", "application/at+jwt"];
    let confused = public_key_forms().map(|(form, secret)| {
        let name = format!("alg HS256 signed with the public key as {form}");
        case(&name, "credential", 0, hs256(&body, &secret), "CREDENTIAL_INVALID")
    });
    let invalid = invalid.map(|(name, token)| case(name, "credential", 0, token, "CREDENTIAL_INVALID"));
    let wrong = kinds.map(|typ| {
        case(&format!("typ {typ}"), "credential", 0, forge(&with("typ", json!(typ)), &body), "CREDENTIAL_WRONG_KIND")
    });
    invalid.into_iter().chain(confused).chain(wrong).collect()
}

/// The claims under an HMAC.
fn hs256(body: &str, secret: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let header = json!({ "alg": "HS256", "typ": TYP_CREDENTIAL, "kid": KEY.kid() }).to_string();
    let signed = format!("{}.{}", encode(header), encode(body));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", encode(tag))
}

fn bad_claims() -> Vec<Case> {
    let exp = claims().exp;
    let required = [
        "iss",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "sub",
        "act",
        "sponsor_id",
        "agent_instance_id",
        "parent_agent_id",
        "ttl_seconds",
        "tools",
        "rev",
        "single_use",
    ];
    let mut cases: Vec<_> = required
        .map(|name| (format!("no {name}"), credential_with(|c| drop(c.as_object_mut().unwrap().remove(name)))))
        .into();
    let wrong = [
        ("iss is another's", "iss", json!("https://id.example/")),
        ("iss is an array", "iss", json!([EXPECT.issuer])),
        ("aud is an array of two", "aud", json!([EXPECT.audience, "other"])),
        ("aud is an empty array", "aud", json!([])),
        ("exp is a string", "exp", json!(exp.to_string())),
        ("exp is a fraction", "exp", json!(1.5)),
        ("exp is null", "exp", json!(null)),
        ("iat is null", "iat", json!(null)),
        ("iat is a string", "iat", json!(claims().iat.to_string())),
        ("iss is a number", "iss", json!(7)),
        ("iss is empty", "iss", json!("")),
        ("aud is a number", "aud", json!(7)),
        ("aud is an object", "aud", json!({ "countersign": true })),
        ("jti is null", "jti", json!(null)),
        ("jti is a number", "jti", json!(7)),
        ("jti has another prefix", "jti", json!(instance(7))),
        ("ttl_seconds is not exp - iat", "ttl_seconds", json!(299)),
        ("ttl_seconds is 0", "ttl_seconds", json!(0)),
        ("ttl_seconds is a string", "ttl_seconds", json!("300")),
        ("act names another holder", "act", json!({ "sub": instance(9) })),
        ("act holds another member", "act", json!({ "sub": instance(3), "iss": "https://elsewhere.example" })),
        ("tools is a string", "tools", json!("billing")),
        ("sponsor_id is no name", "sponsor_id", json!("Alice Adams")),
        ("sub is the holder", "sub", json!(instance(3))),
        ("parent_agent_id is the root", "parent_agent_id", json!(instance(1))),
        ("parent_agent_id is null in a child", "parent_agent_id", json!(null)),
        ("agent_instance_id is not act.sub", "agent_instance_id", json!(instance(4))),
        ("depth is not the number of parents", "depth", json!(1)),
        ("act lacks the parents", "act", json!({ "sub": instance(3) })),
        ("client_id is not agent", "client_id", json!("other")),
        ("no tools", "tools", json!([])),
        ("a tool twice", "tools", json!(["billing", "billing"])),
        ("a tool with a space", "tools", json!(["Orders Lookup"])),
        ("a tool of 129 characters", "tools", json!(["x".repeat(129)])),
        ("an empty purpose", "purpose", json!("")),
        ("an empty on_behalf_of", "on_behalf_of", json!("")),
        ("on_behalf_of is a number", "on_behalf_of", json!(4711)),
        ("on_behalf_of of 257 bytes", "on_behalf_of", json!("x".repeat(257))),
        ("on_behalf_of with a control character", "on_behalf_of", json!("a\u{7}b")),
        ("rev is negative", "rev", json!(-1)),
        ("inherited_roles is empty", "inherited_roles", json!([])),
        ("inherited_roles is null", "inherited_roles", json!(null)),
        ("inherited_roles is a string", "inherited_roles", json!("finance")),
        ("inherited_roles names the role", "inherited_roles", json!(["support"])),
        ("an inherited role twice", "inherited_roles", json!(["finance", "finance"])),
        ("more inherited roles than parents", "inherited_roles", json!(["finance", "audit", "admin"])),
        ("root_agent is agent", "root_agent", json!("billing-agent")),
        ("root_agent is empty", "root_agent", json!("")),
        ("root_agent is a number", "root_agent", json!(4711)),
    ];
    cases.extend(wrong.map(|(name, claim, value)| (name.to_owned(), credential_with(|c| c[claim] = value))));
    let long = credential_with(|c| (c["exp"], c["ttl_seconds"]) = (json!(claims().iat + 901), json!(901)));
    cases.push(("a life of 901 s".to_owned(), long));
    let good = sign_credential(&claims(), &KEY).unwrap();
    for (name, value) in [("sponsor_id", json!("mallory")), ("tools", json!(["file-store"])), ("act", json!({}))] {
        let mut altered = json!(claims());
        altered[name] = value;
        let parts: Vec<_> = good.split('.').collect();
        let token = format!("{}.{}.{}", parts[0], encode(altered.to_string()), parts[2]);
        cases.push((format!("{name} altered after signing"), token));
    }
    let mut cases: Vec<_> =
        cases.into_iter().map(|(name, token)| case(&name, "credential", 0, token, "CREDENTIAL_INVALID")).collect();
    let elsewhere = credential_with(|c| c["aud"] = json!("other"));
    cases.push(case("aud is another's", "credential", 0, elsewhere, "CREDENTIAL_WRONG_AUDIENCE"));
    cases
}

fn bad_receipts() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!(receipt_claims());
        change(&mut claims);
        forge(&header(TYP_RECEIPT).to_string(), &claims.to_string())
    };
    let iat = receipt_claims().iat;
    let other = |claims: &mut Value| (claims["aud"], claims["tool_id"]) = (json!("search"), json!("search"));
    vec![
        case("a receipt for another tool", "receipt", 0, with(&other), "CREDENTIAL_WRONG_AUDIENCE"),
        case("a receipt of 31 s", "receipt", 0, with(&|c| c["exp"] = json!(iat + 31)), "CREDENTIAL_INVALID"),
        case("tool_id is not aud", "receipt", 0, with(&|c| c["tool_id"] = json!("search")), "CREDENTIAL_INVALID"),
        case(
            "jti is not the decision",
            "receipt",
            0,
            with(&|c| c["jti"] = json!(DecisionId(Uuid::nil()))),
            "CREDENTIAL_INVALID",
        ),
        case(
            "request_hash in upper case",
            "receipt",
            0,
            with(&|c| c["request_hash"] = json!("AB".repeat(32))),
            "CREDENTIAL_INVALID",
        ),
    ]
}
