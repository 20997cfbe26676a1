//! For any input, verification never panics, and never accepts what was not signed.

use proptest::prelude::*;

use super::*;

/// Any JSON value of small depth.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_text_never_verifies(text in any::<String>()) {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify_at_billing(&text).is_err());
        prop_assert!(KeySet::from_jwks(&text).is_err());
    }

    #[test]
    fn three_arbitrary_parts_never_verify(parts in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..200))) {
        prop_assert!(verify(&parts.map(encode).join(".")).is_err());
    }

    #[test]
    fn a_token_with_any_byte_changed_never_verifies(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let good = sign_credential(&claims(), &KEY).unwrap();
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert!(verify(&String::from_utf8(bytes).unwrap()).is_err());
    }

    #[test]
    fn a_token_cut_anywhere_never_verifies(at in any::<prop::sample::Index>()) {
        let good = sign_credential(&claims(), &KEY).unwrap();
        prop_assert!(verify(&good[..at.index(good.len())]).is_err());
    }

    /// If even a holder of the key writes an arbitrary value into one claim, it is refused or read exactly as written.
    #[test]
    fn an_arbitrary_claim_never_panics(name in "[a-z_]{1,12}|exp|iat|act|tools|aud|depth|labels", value in value()) {
        let token = credential_with(|claims| claims[&name] = value);
        if let Ok(verified) = verify(&token) {
            prop_assert_eq!(verified.chain.len(), 3);
            prop_assert!((1..=900).contains(&verified.ttl_seconds));
        }
    }

    #[test]
    fn arbitrary_signed_json_never_verifies(header in value(), claims in value()) {
        prop_assert!(verify(&forge(&header.to_string(), &claims.to_string())).is_err());
        let real = super::header(TYP_CREDENTIAL).to_string();
        prop_assert!(verify(&forge(&real, &claims.to_string())).is_err());
    }

    #[test]
    fn what_is_signed_is_read_back(
        depth in 0_u128..=8,
        ttl_seconds in 10_u32..=900,
        tools in prop::collection::btree_set("[A-Za-z0-9._@:/-]{1,128}", 1..=8),
        purpose in "[!-~][^\\p{C}\\p{Zl}\\p{Zp}]{0,100}",
        single_use: bool,
        rev in 0..=i64::MAX,
    ) {
        let ancestors: Vec<_> = (0..depth).map(|n| instance(100 + n)).collect();
        let mut claims = grant(&ancestors);
        claims.exp = claims.iat + i64::from(ttl_seconds);
        claims.ttl_seconds = ttl_seconds;
        claims.tools = tools.iter().map(|tool| tool.parse().unwrap()).collect();
        (claims.purpose, claims.single_use, claims.rev) = (purpose.clone(), single_use, rev);
        let verified = verify(&sign_credential(&claims, &KEY).unwrap()).unwrap();
        prop_assert_eq!(verified.ancestors(), &ancestors[..]);
        prop_assert_eq!(verified.tools, claims.tools);
        prop_assert_eq!((verified.purpose, verified.single_use, verified.rev), (purpose, single_use, rev));
        prop_assert_eq!(verified.expire_time.unix_timestamp(), claims.exp);
    }
}
