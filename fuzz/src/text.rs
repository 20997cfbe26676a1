//! Of what is hashed and what names things: one reading, one spelling.

use std::{fmt::Display, str::FromStr};

use countersign_core::{
    api_key::{self, ApiKeyId},
    client_certificate::SubjectAltName,
    ids::{ApprovalId, CredentialId, DecisionId, EventId, InstanceId, KillSwitchId, PolicyVersion, RolloutId},
    json::{self, Refused, Rules},
    names::{ActionName, AgentName, OperatorId, PersonId, RoleName, SponsorId, ToolId},
    operator::OperatorRole,
    spiffe::{SvidAudience, TrustDomain},
};
use serde_json::Value;

/// The cases that clients in every language share.
const CANONICAL: &str = include_str!("../../clients/conformance/canonical.json");
/// What no refusal may repeat.
const SECRET: &str = "hunter2hunter2";

/// Every text of the shared cases, and some of which no message may repeat a part.
#[must_use]
pub fn arguments_seeds() -> Vec<Vec<u8>> {
    let cases: Value = serde_json::from_str(CANONICAL).expect("the cases are JSON");
    let cases = cases["cases"].as_array().expect("cases");
    let texts = cases.iter().filter_map(|case| case["json"].as_str()).map(str::to_owned);
    let own = [
        format!(r#"{{"password":"{SECRET}","n":[1,0.5,-0,1e3,9007199254740991],"deep":{{"a":{{"a":[[[]]]}}}}}}"#),
        format!(r#"{{"password":"{SECRET}" "n":"{SECRET}"}}"#),
        r#"{"a":"\ud83d\ude00\u0041\n","\u0061":1e-7,"b":123456789012345680000}"#.to_owned(),
    ];
    texts.chain(own).map(String::into_bytes).collect()
}

/// Arguments that are hashed are read alike by another parser, and their canonical form is its own.
pub fn arguments(data: &[u8]) {
    if let Ok(value) = json::read(data, Rules::DOCUMENT) {
        assert_eq!(serde_json::from_slice::<Value>(data).expect("it is JSON"), value);
    }
    let canonical = match json::canonical(data) {
        Ok(canonical) => canonical,
        Err(refused) => return says_why(&refused),
    };
    let value: Value = serde_json::from_slice(data).expect("what is hashed is JSON");
    assert_eq!(json::read(data, Rules::STRICT), Ok(value.clone()));
    assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("a canonical form"), canonical.bytes);
    assert_eq!(json::canonical(&canonical.bytes), Ok(canonical.clone()));
    let again: Value = serde_json::from_slice(&canonical.bytes).expect("the canonical form is JSON");
    let Value::Object(object) = again else { panic!("no object is hashed") };
    assert_eq!(json::canonical_object(&object), Ok(canonical));
}

fn says_why(refused: &Refused) {
    assert!(!refused.why.is_empty() && !refused.why.contains(SECRET), "{refused}");
}

/// A name or id of every kind.
#[must_use]
pub fn names_seeds() -> Vec<Vec<u8>> {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let ids = ["appr_", "cred_", "dec_", "evt_", "inst_", "kill_", "roll_"].map(|prefix| format!("{prefix}{id}"));
    let names = [
        "alice@example.com",
        "Orders/Lookup:v2",
        "pv_12",
        "agents.example.com",
        "spiffe://example.com/billing",
        "dns:Gateway.example.com",
        "uri:spiffe://example.org/gateway",
        "email:a@b",
        "policy-admin",
        "oidc.corp.ada",
        "csk_01890a5dac96774bbcceb302099a8057_SECRETSECRETSECRETSECRETSECRETSECRETSECRETS",
        "01890a5dac96774bbcceb302099a8057",
    ];
    ids.into_iter().chain(names.map(str::to_owned)).map(String::into_bytes).collect()
}

/// A text that is a name has one spelling, and a refusal does not repeat it.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    spelt_once::<ActionName>(text);
    spelt_once::<AgentName>(text);
    spelt_once::<OperatorId>(text);
    spelt_once::<PersonId>(text);
    spelt_once::<RoleName>(text);
    spelt_once::<SponsorId>(text);
    spelt_once::<ToolId>(text);
    spelt_once::<ApiKeyId>(text);
    spelt_once::<ApprovalId>(text);
    spelt_once::<CredentialId>(text);
    spelt_once::<DecisionId>(text);
    spelt_once::<EventId>(text);
    spelt_once::<InstanceId>(text);
    spelt_once::<KillSwitchId>(text);
    spelt_once::<PolicyVersion>(text);
    spelt_once::<RolloutId>(text);
    spelt_once::<OperatorRole>(text);
    spelt_once::<TrustDomain>(text);
    if let Ok(audience) = text.parse::<SvidAudience>() {
        assert_eq!(audience.as_str(), text);
    }
    if let Ok(name) = text.parse::<SubjectAltName>() {
        assert_eq!(name.to_string().parse(), Ok(name), "{text:?}");
    }
    if let Some((key_id, secret)) = api_key::parse(text) {
        assert_eq!(api_key::write(key_id, secret), text);
    }
    if let Some(domain) = TrustDomain::of_issuer(text) {
        assert!(text.to_ascii_lowercase().contains(domain.as_str()), "{text:?}");
    }
}

fn spelt_once<T: FromStr<Err: Display> + Display>(text: &str) {
    match text.parse::<T>() {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            assert!(text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
        }
        Err(wrong) => {
            let wrong = wrong.to_string();
            assert!(!wrong.is_empty() && wrong.len() < 400, "{wrong}");
        }
    }
}
