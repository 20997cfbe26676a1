//! Clocks.

use super::*;

fn at(offset: Duration) -> Result<Verified, Refusal> {
    let claims = claims();
    let exp = OffsetDateTime::from_unix_timestamp(claims.exp).unwrap();
    verify_credential(&sign_credential(&claims, &KEY).unwrap(), &KEYS, &EXPECT, exp + offset)
}

#[test]
fn a_clock_may_be_4_seconds_ahead_and_not_6() {
    assert!(at(Duration::seconds(4)).is_ok());
    assert!(at(Duration::milliseconds(4_999)).is_ok());
    assert_eq!(at(Duration::seconds(5)).unwrap_err().reason(), Reason::CredentialExpired);
    assert_eq!(at(Duration::seconds(6)).unwrap_err().reason(), Reason::CredentialExpired);
}

#[test]
fn a_clock_may_be_4_seconds_behind_and_not_6() {
    let issued = |offset| at(Duration::seconds(-300) + offset);
    assert!(issued(Duration::seconds(-4)).is_ok());
    assert!(issued(Duration::seconds(-5)).is_ok());
    let Err(early @ Refusal::Early(_)) = issued(Duration::seconds(-6)) else { panic!("early") };
    assert_eq!(early.reason(), Reason::CredentialInvalid);
}

#[test]
fn an_expired_credential_still_says_who_held_it() {
    let Err(Refusal::Expired(verified)) = at(Duration::seconds(60)) else { panic!("expired") };
    assert_eq!((verified.sponsor_id.as_str(), verified.agent_instance_id), ("alice", instance(3)));
}

#[test]
fn an_expired_token_that_does_not_hold_says_nothing() {
    let late = NOW + Duration::hours(1);
    let token = credential_with(|claims| claims["aud"] = json!("other"));
    assert_eq!(verify_credential(&token, &KEYS, &EXPECT, late), Err(Refusal::WrongAudience));
    let token = credential_with(|claims| claims["depth"] = json!(7));
    assert!(matches!(verify_credential(&token, &KEYS, &EXPECT, late), Err(Refusal::Invalid(_))));
}

#[test]
fn a_receipt_lives_no_longer_than_its_credential() {
    let receipt = receipt_claims();
    assert_eq!(receipt.exp - receipt.iat, 30);
    let Err(Refusal::Expired(mut credential)) = at(Duration::seconds(60)) else { panic!("expired") };
    credential.expire_time = NOW + Duration::seconds(10);
    let short = ReceiptClaims::new(AllowedCall {
        issuer: EXPECT.issuer,
        credential: &credential,
        policy_decision_id: receipt.policy_decision_id,
        tool_id: receipt.tool_id,
        action: receipt.action,
        request_hash: None,
        policy_version: None,
        now: NOW,
    });
    assert_eq!(short.exp, credential.expire_time.unix_timestamp());
    let late = NOW + Duration::seconds(60);
    let token = sign_receipt(&short, &KEY).unwrap();
    let answer = verify_receipt(&token, &KEYS, EXPECT.issuer, &"billing".parse().unwrap(), late);
    assert!(matches!(answer, Err(Refusal::Expired(_))));
}
