//! Claims: how they are written, and claims that contradict each other.

use super::*;
use crate::names::RoleName;

#[test]
fn a_credential_says_what_the_server_granted() {
    let verified = verify(&sign_credential(&claims(), &KEY).unwrap()).unwrap();
    assert_eq!(verified.sponsor_id.as_str(), "alice");
    assert_eq!(verified.chain, [instance(1), instance(2), instance(3)]);
    assert_eq!(verified.root_instance_id(), instance(1));
    assert_eq!(verified.parent_agent_id(), Some(instance(2)));
    assert_eq!((verified.agent_instance_id, verified.depth()), (instance(3), 2));
    assert_eq!(verified.credential_id, CredentialId(Uuid::from_u128(77)));
    assert!(verified.grants(&"billing".parse().unwrap()) && !verified.grants(&"file-store".parse().unwrap()));
    assert_eq!((verified.rev, verified.single_use, verified.ttl_seconds), (12, false, 300));
    assert_eq!(verified.labels["tier"], "free");
    assert_eq!(verified.issue_time, datetime!(2026-01-02 03:04:03 UTC));
    assert_eq!(verified.expire_time, datetime!(2026-01-02 03:09:03 UTC));
    assert_eq!(verified.kid, KEY.kid());
}

#[test]
fn its_tools_are_said_as_a_scope_too_where_there_is_room() {
    let said = |token: &str| -> serde_json::Value {
        serde_json::from_slice(&decode(token.split('.').nth(1).unwrap())).unwrap()
    };
    let claims = claims();
    let token = sign_credential(&claims, &KEY).unwrap();
    assert_eq!(said(&token)["scope"], "billing search");
    assert_eq!(said(&token)["tools"], json!(claims.tools));
    // As older servers write it.
    let without = credential_with(|_| {});
    assert!(said(&without).get("scope").is_none());
    assert_eq!(verify(&without).unwrap().digest(), verify(&token).unwrap().digest());

    let mut many = claims;
    many.tools = (0..32).map(|nth| format!("{nth}-{}", "x".repeat(120)).parse().unwrap()).collect();
    let token = sign_credential(&many, &KEY).unwrap();
    assert!(said(&token).get("scope").is_none(), "the token would be too long");
    assert_eq!(verify(&token).unwrap().tools, many.tools);
}

#[test]
fn a_root_says_that_it_has_no_parent() {
    let mut root = grant(&[]);
    root.labels.clear();
    let written = json!(root);
    assert_eq!(written["parent_agent_id"], json!(null));
    assert!(written.as_object().unwrap().contains_key("parent_agent_id"));
    assert!(written.get("labels").is_none());
    assert_eq!(written["act"], json!({ "sub": instance(3) }));
    assert_eq!(written["sub"], written["agent_instance_id"]);
    let verified = verify(&sign_credential(&root, &KEY).unwrap()).unwrap();
    assert_eq!((verified.parent_agent_id(), verified.depth()), (None, 0));
    assert_eq!(verified.root_instance_id(), verified.agent_instance_id);
}

#[test]
fn the_flat_claims_have_the_names_of_the_brief() {
    let written = json!(claims());
    for name in ["sponsor_id", "agent_instance_id", "parent_agent_id", "ttl_seconds"] {
        assert!(written.get(name).is_some(), "{name}");
    }
    assert_eq!(
        written["ttl_seconds"].as_i64(),
        Some(written["exp"].as_i64().unwrap() - written["iat"].as_i64().unwrap())
    );
    assert!(written.get("nbf").is_none());
}

#[test]
fn an_audience_may_be_an_array_of_exactly_ours() {
    assert!(verify(&credential_with(|claims| claims["aud"] = json!(["countersign"]))).is_ok());
}

#[test]
fn required_claims_must_be_there_and_of_their_type() {
    let names = [
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
        "agent",
        "role",
        "tools",
        "purpose",
        "depth",
        "single_use",
        "rev",
        "custody_ref",
    ];
    for name in names {
        let without = credential_with(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert_eq!(verify(&without).unwrap_err().reason(), Reason::CredentialInvalid, "{name}");
        for wrong in [json!(1.5), json!({}), json!([1]), json!(null)] {
            let wrongly = credential_with(|claims| claims[name] = wrong.clone());
            assert_eq!(verify(&wrongly).unwrap_err().reason(), Reason::CredentialInvalid, "{name}: {wrong}");
        }
    }
}

#[test]
fn times_must_be_whole_numbers() {
    let exp = claims().exp;
    for name in ["exp", "iat"] {
        for wrong in [json!(exp.to_string()), json!(1e18), json!(null), json!(true), json!([exp]), json!(u64::MAX)] {
            assert_refused(&credential_with(|claims| claims[name] = wrong), Reason::CredentialInvalid);
        }
    }
    let float = json!(claims()).to_string().replace(&format!("\"exp\":{exp}"), &format!("\"exp\":{exp}.0"));
    assert_refused(&forge(&header(TYP_CREDENTIAL).to_string(), &float), Reason::CredentialInvalid);
}

#[test]
fn another_issuer_is_refused() {
    for iss in ["https://id.example/", "https://ID.example", "", "evil"] {
        assert_refused(&credential_with(|claims| claims["iss"] = json!(iss)), Reason::CredentialInvalid);
    }
    assert_refused(&credential_with(|claims| claims["iss"] = json!([EXPECT.issuer])), Reason::CredentialInvalid);
}

#[test]
fn another_audience_is_refused() {
    for aud in [json!("other"), json!(""), json!(["other"]), json!("Countersign")] {
        assert_refused(&credential_with(|claims| claims["aud"] = aud), Reason::CredentialWrongAudience);
    }
    for aud in
        [json!([]), json!(["countersign", "other"]), json!(null), json!({ "countersign": 1 }), json!([["countersign"]])]
    {
        assert_refused(&credential_with(|claims| claims["aud"] = aud), Reason::CredentialInvalid);
    }
}

#[test]
fn ttl_seconds_must_be_the_lifetime_and_at_most_900() {
    let iat = claims().iat;
    let with = |exp: i64, ttl| credential_with(|claims| (claims["exp"], claims["ttl_seconds"]) = (json!(exp), ttl));
    assert!(verify(&with(iat + 900, json!(900))).is_ok());
    assert!(verify(&with(iat + 1, json!(1))).is_ok());
    for (exp, ttl) in [
        (iat + 901, json!(901)),
        (iat + 901, json!(900)),
        (iat + 300, json!(299)),
        (iat + 300, json!("300")),
        (iat, json!(0)),
        (iat - 1, json!(-1)),
        (i64::MAX, json!(300)),
        (i64::MIN, json!(300)),
    ] {
        assert_refused(&with(exp, ttl), Reason::CredentialInvalid);
    }
}

#[test]
fn a_chain_that_contradicts_itself_is_refused() {
    let nested = |ids: &[u128]| {
        ids.iter().fold(json!(null), |act, id| {
            if act.is_null() { json!({ "sub": instance(*id) }) } else { json!({ "sub": instance(*id), "act": act }) }
        })
    };
    let changes: [&dyn Fn(&mut Value); 9] = [
        &|claims| claims["agent_instance_id"] = json!(instance(4)),
        &|claims| claims["parent_agent_id"] = json!(instance(1)),
        &|claims| claims["parent_agent_id"] = json!(null),
        &|claims| claims["sub"] = json!(instance(3)),
        &|claims| claims["depth"] = json!(1),
        &|claims| claims["act"] = json!({ "sub": instance(3) }),
        &|claims| claims["act"] = nested(&[1, 3, 2, 3]),
        &|claims| claims["client_id"] = json!("other"),
        &|claims| claims["act"]["iss"] = json!("https://elsewhere.example"),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        assert_eq!(verify(&credential_with(change)).unwrap_err().reason(), Reason::CredentialInvalid, "{i}");
    }
    let deep = |depth: u128| {
        let ids: Vec<_> = (10..10 + depth).chain([2, 3]).collect();
        credential_with(|claims| {
            (claims["act"], claims["depth"], claims["sub"]) = (nested(&ids), json!(depth + 1), json!(instance(10)));
        })
    };
    assert!(verify(&deep(7)).is_ok());
    assert_refused(&deep(8), Reason::CredentialInvalid);
}

#[test]
fn tools_must_be_1_to_32_names_each_once() {
    let many = |n: usize| json!((0..n).map(|i| format!("tool-{i}")).collect::<Vec<_>>());
    assert!(verify(&credential_with(|claims| claims["tools"] = many(32))).is_ok());
    for tools in [json!([]), many(33), json!(["billing", "billing"]), json!(["b c"]), json!([""]), json!("billing")] {
        assert_refused(&credential_with(|claims| claims["tools"] = tools), Reason::CredentialInvalid);
    }
}

#[test]
fn a_chains_other_roles_are_named_once_each_or_left_out() {
    assert!(json!(claims()).get("inherited_roles").is_none());
    let with = |roles: Value| credential_with(|claims| claims["inherited_roles"] = roles);
    let verified = verify(&with(json!(["finance", "audit"]))).unwrap();
    assert_eq!(verified.roles().map(RoleName::as_str).collect::<Vec<_>>(), ["support", "finance", "audit"]);
    let wrong = [
        json!([]),
        json!(null),
        json!("finance"),
        json!(["Finance"]),
        json!([""]),
        json!(["support"]),
        json!(["finance", "support"]),
        json!(["finance", "finance"]),
        json!(["finance", "audit", "admin"]),
    ];
    for wrong in wrong {
        assert_refused(&with(wrong), Reason::CredentialInvalid);
    }
    let mut root = json!(grant(&[]));
    root["inherited_roles"] = json!(["finance"]);
    assert_refused(&forge(&header(TYP_CREDENTIAL).to_string(), &root.to_string()), Reason::CredentialInvalid);
}

#[test]
fn the_roots_agent_is_named_only_where_it_is_another() {
    assert!(json!(claims()).get("root_agent").is_none());
    let with = |agent: Value| credential_with(|claims| claims["root_agent"] = agent);
    assert_eq!(verify(&with(json!("support-assistant"))).unwrap().agent_of_root().as_str(), "support-assistant");
    assert_eq!(verify(&sign_credential(&claims(), &KEY).unwrap()).unwrap().agent_of_root().as_str(), "billing-agent");
    for wrong in [json!("billing-agent"), json!(""), json!("Support"), json!(["support-assistant"])] {
        assert_refused(&with(wrong), Reason::CredentialInvalid);
    }
    let mut root = json!(grant(&[]));
    root["root_agent"] = json!("support-assistant");
    assert_refused(&forge(&header(TYP_CREDENTIAL).to_string(), &root.to_string()), Reason::CredentialInvalid);
    // Its value is part of what was granted.
    let said = verify(&with(json!("support-assistant"))).unwrap().digest();
    assert_ne!(said, verify(&with(json!("another"))).unwrap().digest());
}

#[test]
fn claims_that_are_not_known_are_passed_over() {
    assert!(verify(&credential_with(|claims| claims["later"] = json!({ "added": true }))).is_ok());
}

#[test]
fn contradicting_claims_are_not_signed() {
    let mut wrong = claims();
    wrong.ttl_seconds = 299;
    assert_eq!(sign_credential(&wrong, &KEY), Err(SignError::Inconsistent("ttl_seconds is not exp - iat")));
    let mut wrong = receipt_claims();
    wrong.exp = wrong.iat + 31;
    assert!(matches!(sign_receipt(&wrong, &KEY), Err(SignError::Inconsistent(_))));
}

#[test]
fn what_no_verifier_would_read_is_not_signed() {
    let mut long = claims();
    long.labels = (0..16).map(|i| (format!("{}{i:02}", "k".repeat(62)), "\"".repeat(128))).collect();
    long.tools = (0..32).map(|i| format!("{}{i:02}", "t".repeat(62)).parse().unwrap()).collect();
    assert_eq!(sign_credential(&long, &KEY), Err(SignError::TooLong));
}

#[test]
fn a_receipt_says_which_call_was_allowed() {
    let verified = verify_at_billing(&sign_receipt(&receipt_claims(), &KEY).unwrap()).unwrap();
    assert_eq!(verified.policy_decision_id, DecisionId(Uuid::from_u128(88)));
    assert_eq!(verified.chain, [instance(1), instance(2), instance(3)]);
    assert_eq!(verified.policy_version, Some(PolicyVersion(3)));
    assert!(verified.covers(&"refund".parse().unwrap(), &[9; 32]));
    assert!(!verified.covers(&"charge".parse().unwrap(), &[9; 32]));
    assert!(!verified.covers(&"refund".parse().unwrap(), &[8; 32]));
}

#[test]
fn a_receipt_is_for_one_tool_and_at_most_30_seconds() {
    let written = json!(receipt_claims());
    let search = "search".parse().unwrap();
    let receipt = sign_receipt(&receipt_claims(), &KEY).unwrap();
    assert_eq!(verify_receipt(&receipt, &KEYS, EXPECT.issuer, &search, NOW), Err(Refusal::WrongAudience));
    let changes: [fn(&mut Value); 6] = [
        |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 31),
        |claims| claims["tool_id"] = json!("search"),
        |claims| claims["jti"] = json!(DecisionId(Uuid::from_u128(89))),
        |claims| claims["request_hash"] = json!("AB".repeat(32)),
        |claims| claims["request_hash"] = json!("ab"),
        |claims| claims["iss"] = json!("evil"),
    ];
    for change in changes {
        let mut altered = written.clone();
        change(&mut altered);
        let token = forge(&header(TYP_RECEIPT).to_string(), &altered.to_string());
        assert_eq!(verify_at_billing(&token).unwrap_err().reason(), Reason::CredentialInvalid);
    }
}

#[test]
fn a_receipt_without_a_hash_covers_no_arguments() {
    let mut claims = receipt_claims();
    claims.request_hash = None;
    let verified = verify_at_billing(&sign_receipt(&claims, &KEY).unwrap()).unwrap();
    assert!(!verified.covers(&"refund".parse().unwrap(), &[0; 32]));
}
