//! Converts the claims of a verified token to an operator with roles: required claims, the claim with the name, the
//! mapping of a claim's values to roles (a token without a mapped role is refused), and the operator's id.

use countersign_core::{
    names::OperatorId,
    operator::{OIDC_PREFIX, OperatorRole, Roles},
};
use serde_json::{Map, Value};

use super::{OidcIssuer, RequiredClaim};
use crate::{Error, OperatorCaller, engine::sha256::sha256};

/// Claims whose text is a list separated by spaces (RFC 9068, and the short form of one large provider).
const LISTS: [&str; 2] = ["scope", "scp"];
/// How many bytes of a name's hash represent a name that cannot be part of an id: 160 bits.
const HASH_BYTES: usize = 20;

/// The operator that these claims name, with the roles to which their values are mapped.
pub(super) fn caller(issuer: &OidcIssuer, claims: &Map<String, Value>) -> Result<OperatorCaller, Error> {
    let wrong = |why: String| Error::Unauthenticated { message: format!("the token of {} {why}", issuer.name) };
    for RequiredClaim { claim, value: wanted } in &issuer.required {
        if !values(claims, claim).iter().any(|value| value == wanted) {
            return Err(wrong(format!("does not have the value that is required of its claim {claim}")));
        }
    }
    let named = at(claims, &issuer.operator_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
    let named =
        named.ok_or_else(|| wrong(format!("names no one: it has no text in its claim {}", issuer.operator_claim)))?;
    let operator_id = operator_id(&issuer.name, named)?;
    let held = values(claims, &issuer.role_claim);
    let granted = issuer.roles.iter().filter(|role| held.contains(&role.value));
    let roles: Roles = granted.flat_map(|role| role.grants.iter()).collect();
    if roles.is_empty() {
        return Err(Error::RoleRequired {
            message: format!(
                "{operator_id} is known, but has no role here: no value of the token's claim {} is mapped to a role. \
                 The administrator of the identity provider can add one that is",
                issuer.role_claim
            ),
            roles: issuer.grants().iter().collect::<Vec<OperatorRole>>(),
        });
    }
    Ok(OperatorCaller { operator_id, roles, anonymous: false, scope: None })
}

/// The operator id for the name `named` at a provider. A name that can be part of an id is used as it is; any other is
/// represented by its hash. The separator after the provider's name is `.` in the first case and `@` in the second, so
/// that no name can look like a hash.
fn operator_id(provider: &str, named: &str) -> Result<OperatorId, Error> {
    if let Ok(id) = format!("{OIDC_PREFIX}{provider}.{named}").parse() {
        return Ok(id);
    }
    let hash = hex::encode(&sha256(named.as_bytes())[..HASH_BYTES]);
    let id = format!("{OIDC_PREFIX}{provider}@{hash}");
    id.parse().map_err(|error| Error::internal("a provider's name makes no operator id", error))
}

/// The claim with this name; if there is none, dots lead into objects: `realm_access.roles`.
fn at<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut names = path.split('.');
    let outer = claims.get(names.next()?)?;
    names.try_fold(outer, |value, name| value.get(name))
}

/// The values of a claim as texts: the claim itself, or each item of its list.
fn values(claims: &Map<String, Value>, path: &str) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match at(claims, path) {
        Some(Value::String(list)) if LISTS.contains(&path) => list.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::authn::oidc::tests::issuer;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn who(claims: &Value) -> Result<(String, String), Error> {
        let caller = caller(&issuer(), &object(claims))?;
        Ok((caller.operator_id.to_string(), caller.roles.to_string()))
    }

    #[test]
    fn roles_are_those_that_values_are_mapped_to_and_no_others() {
        let with = |roles: Value| who(&json!({"sub": "ada", "tenant": "7", "realm_access": {"roles": roles}}));
        let ada = "oidc.corp.ada".to_owned();
        assert_eq!(with(json!(["cs-admins", "others"])).unwrap(), (ada.clone(), "admin,registrar".to_owned()));
        assert_eq!(with(json!(["cs-approvers", "cs-admins"])).unwrap().1, "admin,registrar,approver");
        assert_eq!(with(json!("cs-approvers")).unwrap().1, "approver", "one value needs no list");
        // A group that merely contains a mapped word is a different group.
        for none in
            [json!([]), json!(["CS-ADMINS"]), json!("not cs-admins"), json!({"cs-admins": true}), json!(7), json!(null)]
        {
            let refusal = with(none.clone()).unwrap_err();
            assert!(matches!(&refusal, Error::RoleRequired { roles, .. } if roles.len() == 3), "{none}: {refusal:?}");
        }
    }

    #[test]
    fn a_claim_is_found_by_its_whole_name_first_and_then_by_its_path() {
        let claims =
            object(&json!({"https://x.example/roles": ["a"], "a.b": "whole", "a": {"b": "path", "c": {"d": 1}}}));
        for (path, expected) in [
            ("https://x.example/roles", Some(json!(["a"]))),
            ("a.b", Some(json!("whole"))),
            ("a.c.d", Some(json!(1))),
            ("a.c.d.e", None),
            ("a.x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(at(&claims, path), expected.as_ref(), "{path}");
        }
        let scopes = object(&json!({"scope": "openid cs-admins"}));
        assert_eq!(values(&scopes, "scope"), ["openid", "cs-admins"]);
    }

    #[test]
    fn whom_the_token_does_not_name_or_lets_down_is_nobody() {
        let roles = json!({"roles": ["cs-admins"]});
        for claims in [
            json!({"tenant": "7", "realm_access": roles}),
            json!({"sub": "", "tenant": "7", "realm_access": roles}),
            json!({"sub": 7, "tenant": "7", "realm_access": roles}),
            json!({"sub": "ada", "realm_access": roles}),
            json!({"sub": "ada", "tenant": "8", "realm_access": roles}),
        ] {
            assert!(matches!(who(&claims), Err(Error::Unauthenticated { .. })), "{claims}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_stable_a_name_of_ours_and_nobody_elses(one in ".{1,80}", other in ".{1,80}") {
            let id = operator_id("corp", &one).unwrap();
            prop_assert_eq!(&id, &operator_id("corp", &one).unwrap());
            prop_assert!(countersign_core::operator::reserved(&id).is_some(), "no local operator can have it");
            prop_assert_eq!(one == other, id == operator_id("corp", &other).unwrap());
            prop_assert_ne!(id, operator_id("corp2", &one).unwrap());
        }
    }

    #[test]
    fn a_name_cannot_pass_for_the_hash_of_another() {
        let hashed = operator_id("corp", "Ada Lovelace").unwrap();
        let (_, hash) = hashed.as_str().split_once('@').unwrap();
        assert_eq!(hashed.as_str(), format!("oidc.corp@{hash}"));
        assert_ne!(operator_id("corp", hash).unwrap(), hashed);
        assert_eq!(operator_id("corp", "ada@example.org").unwrap().as_str(), "oidc.corp.ada@example.org");
    }
}
