use countersign_core::decision::Reason;
use countersign_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;

use super::*;

/// The reasons of the contract, and the code in brackets in each one's comment.
fn contract() -> Vec<(ErrorReason, String)> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let reasons = pool.get_enum_by_name("countersign.v1.ErrorReason").unwrap();
    let file = reasons.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
    let values = reasons.values().filter(|value| value.number() != 0);
    values
        .map(|value| {
            let location = info.location.iter().find(|location| location.path == value.path()).unwrap();
            let comment = location.leading_comments().trim();
            let code = comment.strip_prefix('[').and_then(|rest| rest.split_once(']')).unwrap().0;
            (ErrorReason::try_from(value.number()).unwrap(), camel(code))
        })
        .collect()
}

/// `PERMISSION_DENIED` as tonic writes it: `PermissionDenied`.
fn camel(code: &str) -> String {
    let words = code.split('_').flat_map(|word| [word[..1].to_owned(), word[1..].to_ascii_lowercase()]);
    words.collect()
}

fn every_error() -> Vec<Error> {
    let field = || vec![Violation::new("ttl", "must be at most 900 s, is 901 s")];
    vec![
        Error::Invalid(field()),
        Error::Unauthenticated { message: "the key has expired".into() },
        Error::RoleRequired { message: "that takes an approver".into(), roles: vec![OperatorRole::Approver] },
        Error::NotFound { what: "sponsor", id: "alice".into() },
        Error::AlreadyExists { what: "sponsor", id: "alice".into() },
        Error::EtagMismatch { what: "sponsor" },
        Error::RequestIdReused,
        Error::IllegalTransition("a sponsor that is REVOKED cannot be asked to approve".into()),
        Error::FourEyes("the operator who registered cannot approve".into()),
        Error::SponsorNotActive {
            sponsor_id: "alice".parse().unwrap(),
            state: countersign_core::sponsor::SponsorState::Suspended,
        },
        Error::CredentialRefused { reason: Reason::CredentialExpired, message: "the credential has expired".into() },
        Error::GrantTooWide(field()),
        Error::NotReady("no policy is active".into()),
        Error::StoreUnavailable,
        Error::QueryTooSlow,
        Error::OutOfScope("this API key is for the tools billing alone".into()),
        Error::Overloaded,
        Error::RateLimited { of: "operator", id: "rita".into(), retry_after: Duration::from_millis(40) },
        Error::LiveInstancesExceeded {
            of: "chain",
            id: "inst_01890a5d-ac96-774b-bcce-b302099a8057".into(),
            live: 1_000,
            ceiling: 1_000,
            retry_after: Duration::from_secs(12),
        },
        Error::OutcomeRefused("the decision is no ALLOW".into()),
        Error::PolicyInvalid(vec![countersign_policy::Violation {
            line: 3,
            column: 5,
            path: "rules[0].tool".into(),
            message: "is not registered".into(),
        }]),
        Error::Conflict("a concurrent change won".into()),
        Error::RolloutOpen("roll_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
        Error::SoakNotOver { left_seconds: 60 },
        Error::Internal,
    ]
}

#[test]
fn every_reason_has_the_code_that_the_contract_names() {
    let contract = contract();
    assert!(contract.len() >= 25, "the comments were read");
    for (reason, code) in contract {
        assert_eq!(format!("{:?}", remedy::of(reason).0), code, "{}", reason::name(reason));
    }
}

#[test]
fn errors_bear_reason_and_request_id_and_only_faults_are_ours() {
    let contract = contract();
    for error in every_error() {
        let (what, is_internal) = (format!("{error:?}"), matches!(error, Error::Internal));
        let status = Refusal::from(error).status("req-1");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.metadata["request_id"].as_str()), (DOMAIN, "req-1"), "{what}");
        let named = contract.iter().find(|(reason, _)| reason::name(*reason) == info.reason);
        assert_eq!(named.map(|(_, code)| code.clone()), Some(format!("{:?}", status.code())), "{what}");
        assert_eq!(status.code() == Code::Internal, is_internal, "{what}");
        assert!(status.message().ends_with('.'), "{what}: {}", status.message());
    }
}

#[test]
fn details_hold_what_a_program_needs_to_go_on() {
    let status = |error: Error| Refusal::from(error).status("r").get_error_details();
    let soak = status(Error::SoakNotOver { left_seconds: 60 });
    assert_eq!(soak.error_info().unwrap().metadata["left_seconds"], "60");
    assert_eq!(soak.precondition_failure().unwrap().violations[0].r#type, "SOAK_NOT_OVER");
    assert_eq!(
        status(Error::RoleRequired { message: "no".into(), roles: vec![OperatorRole::Gate, OperatorRole::Auditor] })
            .error_info()
            .unwrap()
            .metadata["roles"],
        "gate,auditor"
    );
    assert_eq!(status(Error::StoreUnavailable).retry_info().unwrap().retry_delay, Some(RETRY_STORE));
    assert_eq!(status(Error::Overloaded).retry_info().unwrap().retry_delay, Some(RETRY_OVERLOADED));
    let missing = status(Error::NotFound { what: "sponsor", id: "alice".into() });
    assert_eq!(missing.resource_info().unwrap().resource_name, "alice");
}

#[test]
fn the_place_of_a_policy_error_is_named() {
    let document = |line, column, path: &str| countersign_policy::Violation {
        line,
        column,
        path: path.into(),
        message: "is not registered".into(),
    };
    let status =
        Refusal::from(Error::PolicyInvalid(vec![document(3, 5, "rules[0].tool"), document(1, 1, "")])).status("r");
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!((fields[0].field.as_str(), fields[1].field.as_str()), ("3:5 document.rules[0].tool", "1:1 document"));
}

#[test]
fn every_field_is_listed_and_the_first_ones_are_in_the_message() {
    let found = (0..10).map(|n| Violation::new(format!("tools[{n}]"), "must be a name")).collect();
    let status = Refusal::from(Error::Invalid(found)).status("r");
    assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 10);
    assert!(status.message().starts_with("tools[0] must be a name; tools[1]"), "{}", status.message());
    assert!(status.message().contains("and 7 more"));
}

#[test]
fn a_status_fits_the_header_of_every_grpc_library() {
    let long = "ä".repeat(10_000);
    let found = (0..5_000).map(|n| Violation::new(format!("f{n}{long}"), long.clone())).collect();
    let many = Refusal::from(Error::Invalid(found)).status("r");
    let fields = many.get_details_bad_request().unwrap().field_violations;
    assert!(fields.last().unwrap().description.contains("more"));
    assert!(many.message().ends_with("Sending the same request again will fail again."));

    let short = (0..5_000).map(|n| Violation::new(format!("f{n}"), "no")).collect();
    let missing = Error::NotFound { what: "sponsor", id: long.clone() };
    for error in [Error::Invalid(short), Error::IllegalTransition(long), missing] {
        assert!(header_bytes(Refusal::from(error).status("r")) < 7 * 1024);
    }
    assert!(header_bytes(many) < 7 * 1024);
}

fn header_bytes(status: Status) -> usize {
    let response = status.into_http::<String>();
    // HTTP/2 counts 32 bytes for each header in addition to its text (RFC 9113, section 6.5.2).
    response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[test]
fn what_four_gates_say_is_told_whole_and_fits_a_header() {
    use countersign_core::rollout::{Figures, Gates, Seen, Spans, Verdict};
    let gates = Gates { min_decisions: 10_000, issuance_failure_bp: Some(50), ..Gates::default() };
    let figures = |samples, wrong| Figures {
        decisions: samples,
        missing_sponsor: wrong,
        latency_p95_us: Some(if wrong > 0 { 59_999_999 } else { 1 }),
        candidate_evaluations: samples,
        candidate_errors: wrong,
        issuances: samples,
        issuance_failures: wrong,
        held_back: 0,
    };
    let seen = |recent, figures, seconds| {
        let spans = Spans { decisions: seconds, candidate_evaluations: seconds, issuances: seconds };
        Seen { recent, figures, spans }
    };
    for seen in [
        seen(figures(9_999, 0), figures(9_999, 4_321), 86_400),
        seen(figures(9_999, 0), figures(9_999, 4_321), 86_340),
        seen(figures(9_999, 9_999), figures(123_456_789, 0), 86_340),
        seen(figures(9_999, 9_999), figures(123_456_789, 123_456_789), 86_340),
    ] {
        let readings = gates.read(&seen);
        assert!(readings.len() == 4 && readings.iter().all(|reading| reading.verdict != Verdict::Pass));
        let last = readings[3].brief();
        let status = Refusal::from(Error::GateNotPassed(readings)).status("01890a5d-ac96-774b-bcce-b302099a8057");
        assert!(status.message().contains(&last) && !status.message().contains("..."), "{}", status.message());
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(bytes < 6 * 1024, "{bytes}");
    }
}
