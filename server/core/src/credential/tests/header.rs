//! Form, header and signature.

use super::*;

fn with_header(change: impl FnOnce(&mut Value)) -> String {
    let mut header = header(TYP_CREDENTIAL);
    change(&mut header);
    forge(&header.to_string(), &json!(claims()).to_string())
}

#[test]
fn what_is_no_token_of_our_form_is_malformed() {
    let good = sign_credential(&claims(), &KEY).unwrap();
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    for bad in [
        String::new(),
        "..".into(),
        "a.b".into(),
        format!("{good}."),
        format!("{good}.x"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}+.{signature}"),
        format!("{}.{body}.{signature}", encode("[]")),
        format!("{}.{body}.{signature}", encode("{} {}")),
        format!("{head}.{}.{signature}", encode("null")),
        format!("{head}.{}.{signature}", encode("[".repeat(4000))),
        format!("{head}.{}.{signature}", "A".repeat(MAX_TOKEN)),
        format!("{head}.{}.{signature}", encode([0xff, 0xfe])),
    ] {
        assert_refused(&bad, Reason::CredentialMalformed);
    }
}

#[test]
fn set_bits_after_the_last_byte_are_malformed() {
    let good = sign_credential(&claims(), &KEY).unwrap();
    // 64 bytes leave four unused bits in the last character: it is one of A, Q, g, w.
    let last = good.chars().last().unwrap();
    let other = char::from_u32(u32::from(last) + 1).unwrap();
    assert_refused(&format!("{}{other}", &good[..good.len() - 1]), Reason::CredentialMalformed);
}

#[test]
fn alg_none_is_refused() {
    let claims = json!(claims()).to_string();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": alg, "typ": TYP_CREDENTIAL, "kid": KEY.kid() }).to_string();
        assert_refused(&format!("{}.{}.", encode(&header), encode(&claims)), Reason::CredentialInvalid);
        assert_refused(&forge(&header, &claims), Reason::CredentialInvalid);
    }
    assert_refused(
        &format!("{}.{}.", encode(header(TYP_CREDENTIAL).to_string()), encode(&claims)),
        Reason::CredentialInvalid,
    );
}

#[test]
fn hs256_with_the_public_key_as_the_secret_is_refused() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    for (form, secret) in public_key_forms() {
        let mut header = Header::new(Algorithm::HS256);
        (header.typ, header.kid) = (Some(TYP_CREDENTIAL.into()), Some(KEY.kid().into()));
        let token = encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(verify(&token), Err(Refusal::Invalid("its alg is not ES256")), "{form}");
        // The same tag under a header that says ES256.
        let (_, rest) = token.split_once('.').unwrap();
        let dressed = format!("{}.{rest}", super::encode(super::header(TYP_CREDENTIAL).to_string()));
        assert_eq!(verify(&dressed), Err(Refusal::Invalid("its signature is invalid")), "{form}");
    }
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused() {
    for alg in [json!("HS256"), json!("RS256"), json!("ES384"), json!("es256"), json!(7), json!(null), json!(["ES256"])]
    {
        assert_refused(&with_header(|header| header["alg"] = alg), Reason::CredentialInvalid);
    }
}

#[test]
fn a_key_brought_along_is_refused() {
    let jwk = KEY.verifying_key().to_jwk();
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://id.example/.well-known/jwks.json")),
        ("x5u", json!("https://id.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("kid", json!(null)),
    ] {
        assert_refused(&with_header(|header| header[name] = value), Reason::CredentialInvalid);
    }
}

#[test]
fn crit_is_refused_whatever_it_names() {
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("exp"), json!(null)] {
        assert_refused(&with_header(|header| header["crit"] = crit), Reason::CredentialInvalid);
    }
    assert_refused(&with_header(|header| header["b64"] = json!(false)), Reason::CredentialInvalid);
    assert_refused(&with_header(|header| header["zip"] = json!("DEF")), Reason::CredentialInvalid);
}

#[test]
fn a_kid_that_is_not_known_is_refused() {
    let stranger = SigningKey::generate().unwrap();
    assert_refused(&sign_credential(&claims(), &stranger).unwrap(), Reason::CredentialInvalid);
    assert_refused(&with_header(|header| header["kid"] = json!(stranger.kid())), Reason::CredentialInvalid);
    assert_refused(&with_header(|header| header["kid"] = json!("")), Reason::CredentialInvalid);
    // Our kid over a stranger's signature.
    let forged = sign_credential(&claims(), &stranger).unwrap();
    let (_, rest) = forged.split_once('.').unwrap();
    assert_refused(&format!("{}.{rest}", encode(header(TYP_CREDENTIAL).to_string())), Reason::CredentialInvalid);
}

#[test]
fn another_typ_is_another_kind() {
    for typ in ["JWT", "AT+JWT", "application/at+jwt", "", TYP_RECEIPT] {
        assert_refused(&with_header(|header| header["typ"] = json!(typ)), Reason::CredentialWrongKind);
    }
    let missing = with_header(|header| drop(header.as_object_mut().unwrap().remove("typ")));
    assert_refused(&missing, Reason::CredentialInvalid);
}

#[test]
fn a_receipt_is_no_credential_and_a_credential_no_receipt() {
    let receipt = sign_receipt(&receipt_claims(), &KEY).unwrap();
    assert_refused(&receipt, Reason::CredentialWrongKind);
    let credential = sign_credential(&claims(), &KEY).unwrap();
    assert_eq!(verify_at_billing(&credential), Err(Refusal::WrongKind(TYP_RECEIPT)));
    // Nor with the other's typ over its claims.
    let dressed = forge(&header(TYP_CREDENTIAL).to_string(), &json!(receipt_claims()).to_string());
    assert_refused(&dressed, Reason::CredentialInvalid);
    let dressed = forge(&header(TYP_RECEIPT).to_string(), &json!(claims()).to_string());
    assert_eq!(verify_at_billing(&dressed).unwrap_err().reason(), Reason::CredentialInvalid);
}

#[test]
fn a_jwt_svid_is_no_credential_and_no_receipt() {
    let svid = sign_jwt_svid(&jwt_svid_claims(), &KEY).unwrap();
    assert_refused(&svid, Reason::CredentialWrongKind);
    assert_eq!(verify_at_billing(&svid), Err(Refusal::WrongKind(TYP_RECEIPT)));
    // Nor with another typ over its claims.
    for typ in [TYP_CREDENTIAL, TYP_RECEIPT] {
        let dressed = forge(&header(typ).to_string(), &json!(jwt_svid_claims()).to_string());
        assert!(matches!(verify(&dressed), Err(Refusal::Invalid(_) | Refusal::WrongKind(_))), "{typ}");
        assert!(matches!(verify_at_billing(&dressed), Err(Refusal::Invalid(_) | Refusal::WrongKind(_))), "{typ}");
    }
}

#[test]
fn a_jwt_svid_says_what_spiffe_asks_for_and_no_more() {
    let svid = sign_jwt_svid(&jwt_svid_claims(), &KEY).unwrap();
    let decode = |part: &str| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let parts: Vec<_> = svid.split('.').collect();
    assert_eq!(decode(parts[0]), json!({ "alg": "ES256", "typ": "JWT", "kid": KEY.kid() }));
    let iat = NOW.unix_timestamp() - 2;
    assert_eq!(
        decode(parts[1]),
        json!({
            "iss": EXPECT.issuer,
            "sub": format!("spiffe://example.com/instance/{}", instance(3)),
            "aud": ["countersign", "billing"],
            "iat": iat,
            "exp": iat + 302,
            "jti": Uuid::from_u128(99),
        })
    );
}

#[test]
fn doubled_keys_are_malformed_wherever_they_stand() {
    let (head, body) = (header(TYP_CREDENTIAL).to_string(), json!(claims()).to_string());
    let double = |text: &str, member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    assert_refused(&forge(&double(&head, r#""alg":"ES256""#), &body), Reason::CredentialMalformed);
    assert_refused(&forge(&head, &double(&body, r#""sponsor_id":"alice""#)), Reason::CredentialMalformed);
    assert_refused(&forge(&head, &double(&body, r#""sponsor\u005fid":"bob""#)), Reason::CredentialMalformed);
    assert_refused(&forge(&head, &double(&body, r#""unknown":{"a":[{"b":1,"b":1}]}"#)), Reason::CredentialMalformed);
    assert_refused(
        &forge(&head, &body.replace(r#"{"tier":"free"}"#, r#"{"tier":"free","tier":"paid"}"#)),
        Reason::CredentialMalformed,
    );
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let good = sign_credential(&claims(), &KEY).unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let changes: [fn(&mut Value); 5] = [
        |claims| claims["act"]["act"]["sub"] = json!(instance(9)),
        |claims| claims["sponsor_id"] = json!("mallory"),
        |claims| claims["tools"] = json!(["billing", "search", "file-store"]),
        |claims| claims["exp"] = json!(claims["exp"].as_i64().unwrap() + 1),
        |claims| claims["rev"] = json!(i64::MAX),
    ];
    for change in changes {
        let mut altered = json!(claims());
        change(&mut altered);
        let token = format!("{}.{}.{}", parts[0], encode(altered.to_string()), parts[2]);
        assert_eq!(verify(&token), Err(Refusal::Invalid("its signature is invalid")));
    }
}
