//! Keys, their published form, and their states.

use super::*;

#[test]
fn next_active_and_retired_keys_verify() {
    let token = sign_credential(&claims(), &KEY).unwrap();
    for standing in [KeyStanding::Next, KeyStanding::Active, KeyStanding::Retired] {
        assert!(verify_credential(&token, &keys(standing), &EXPECT, NOW).is_ok(), "{standing:?}");
    }
}

#[test]
fn a_compromised_key_attributes_nothing() {
    let keys = keys(KeyStanding::Compromised);
    let token = sign_credential(&claims(), &KEY).unwrap();
    let refusal = verify_credential(&token, &keys, &EXPECT, NOW).unwrap_err();
    assert_eq!((&refusal, refusal.reason()), (&Refusal::KeyCompromised, Reason::CredentialRevoked));
    // Not after its time either.
    let late = NOW + Duration::days(1);
    assert_eq!(verify_credential(&token, &keys, &EXPECT, late), Err(Refusal::KeyCompromised));
    // A signature that is not the compromised key's is simply invalid.
    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", encode([1; 64]));
    assert_eq!(verify_credential(&forged, &keys, &EXPECT, NOW), Err(Refusal::Invalid("its signature is invalid")));
}

#[test]
fn an_empty_set_verifies_nothing() {
    let token = sign_credential(&claims(), &KEY).unwrap();
    assert_eq!(verify_credential(&token, &KeySet::default(), &EXPECT, NOW), Err(Refusal::UnknownKey));
    // A token that does not claim this issuer is no reason to ask the issuer for keys.
    let other = Expect { issuer: "https://other.example", ..EXPECT };
    assert!(matches!(verify_credential(&token, &KeySet::default(), &other, NOW), Err(Refusal::Invalid(_))));
}

#[test]
fn a_key_is_read_back_as_written() {
    let again = SigningKey::from_pkcs8(KEY.to_pkcs8().unwrap().as_ref()).unwrap();
    assert_eq!(again.kid(), KEY.kid());
    assert!(verify(&sign_credential(&claims(), &again).unwrap()).is_ok());
    assert_eq!(SigningKey::from_pkcs8(b"nonsense").unwrap_err(), KeyError::Pkcs8);
}

#[test]
fn debug_shows_no_private_key() {
    assert_eq!(format!("{:?}", *KEY), format!("SigningKey {{ kid: {:?}, .. }}", KEY.kid()));
}

/// RFC 7515, appendix A.3: the public key, with its RFC 7638 thumbprint computed by hand from the members.
#[test]
fn the_kid_is_the_rfc_7638_thumbprint() {
    use aws_lc_rs::digest::{SHA256, digest};
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let kid = encode(digest(&SHA256, members.as_bytes()));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "use": "sig", "kid": kid });
    assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().to_jwk(), jwk);
}

#[test]
fn a_jwk_that_is_not_exactly_a_p256_signature_key_is_refused() {
    let good = KEY.verifying_key().to_jwk();
    let other = SigningKey::generate().unwrap().verifying_key().to_jwk();
    assert!(VerifyingKey::from_jwk(&good).is_ok());
    for (name, value) in [
        ("kty", json!("RSA")),
        ("crv", json!("P-384")),
        ("alg", json!("ES384")),
        ("use", json!("enc")),
        ("kid", other["kid"].clone()),
        ("x", other["x"].clone()),
        ("x", json!("")),
        ("x", json!(format!("{}=", good["x"].as_str().unwrap()))),
        ("y", json!(encode([0; 32]))),
        ("y", json!(encode([1; 33]))),
        ("y", json!(null)),
        ("d", json!(encode([1; 32]))),
    ] {
        let mut jwk = good.clone();
        jwk[name] = value;
        assert!(matches!(VerifyingKey::from_jwk(&jwk), Err(KeyError::Jwk(_))), "{name}");
    }
    for name in ["kty", "crv", "alg", "use", "kid", "x", "y"] {
        let mut jwk = good.clone();
        jwk.as_object_mut().unwrap().remove(name);
        assert!(VerifyingKey::from_jwk(&jwk).is_err(), "{name}");
    }
}

#[test]
fn a_published_set_is_read_back_without_compromised_keys() {
    let mut set = keys(KeyStanding::Retired);
    let stolen = SigningKey::generate().unwrap();
    set.insert(stolen.verifying_key().clone(), KeyStanding::Compromised);
    let read = KeySet::from_jwks(&set.to_jwks().to_string()).unwrap();
    assert!(read.get(KEY.kid()).is_some() && read.get(stolen.kid()).is_none());
    assert!(verify_credential(&sign_credential(&claims(), &KEY).unwrap(), &read, &EXPECT, NOW).is_ok());
}

#[test]
fn keys_of_other_kinds_in_a_set_are_passed_over() {
    let own = KEY.verifying_key().to_jwk();
    let set = json!({ "keys": [
        { "kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig", "kid": "r" },
        { "kty": "oct", "k": "AAAA" },
        own,
    ] });
    assert!(KeySet::from_jwks(&set.to_string()).unwrap().get(KEY.kid()).is_some());
}

#[test]
fn a_set_that_is_ambiguous_or_too_large_is_refused() {
    let own = KEY.verifying_key().to_jwk().to_string();
    for text in [
        String::new(),
        "[]".into(),
        r#"{"keys":{}}"#.into(),
        format!(r#"{{"keys":[{own},{own}]}}"#),
        format!(r#"{{"keys":[],"keys":[{own}]}}"#),
        format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(",")),
        format!(r#"{{"keys":[]}}{}"#, " ".repeat(64 * 1024)),
    ] {
        assert!(matches!(KeySet::from_jwks(&text), Err(KeyError::KeySet(_))));
    }
    let broken = own.replace("\"P-256\"", "\"P-384\"");
    assert!(matches!(KeySet::from_jwks(&format!(r#"{{"keys":[{broken}]}}"#)), Err(KeyError::Jwk(_))));
}
