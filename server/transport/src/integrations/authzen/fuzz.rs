//! Rules for the bodies of AuthZEN's endpoints. For tests and fuzz targets only.

use serde_json::json;

use super::request::{Evaluations, evaluation, evaluations, search};
use crate::{
    fuzz::{SECRET, refused},
    http::strict_json,
};

/// Evaluations of each kind.
#[must_use]
pub fn authzen_seeds() -> Vec<Vec<u8>> {
    let id = "inst_01890a5d-ac96-774b-bcce-b302099a8057";
    let run = json!({
        "subject": { "type": "instance", "id": id, "properties": { "purpose": "ticket" } },
        "action": { "name": "refund", "properties": { "amount_cents": 500 } },
        "resource": { "type": "tool", "id": "billing", "properties": { "want_receipt": true,
            "request_hash": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" } },
        "context": { "region": "eu", "tags": ["a", null], "time": "2026-01-02T03:04:05Z" },
    });
    let person = json!({
        "subject": { "type": "user", "id": "alice", "properties": { "team": { "name": "a" } } },
        "action": { "name": "can_read" }, "resource": { "type": "record", "id": "1" },
    });
    let many = json!({
        "subject": { "type": "user", "id": "alice" }, "action": { "name": "can_read" },
        "options": { "evaluations_semantic": "deny_on_first_deny" },
        "evaluations": [{ "resource": { "type": "record", "id": "1" } }, { "resource": SECRET }, run],
        "page": { "limit": 2, "token": "" },
    });
    let wrong = json!({
        "subject": { "type": "credential", "id": format!("csk_{SECRET}"), "properties": { "purpose": [SECRET] } },
        "action": { "name": format!("{SECRET} {SECRET}") }, "resource": { "type": SECRET, "id": SECRET },
        "page": { "limit": SECRET, "token": SECRET },
    });
    [run, person, many, wrong].iter().map(|body| body.to_string().into_bytes()).collect()
}

/// A body of AuthZEN's endpoints is refused, or it is read the same way when it is written again.
///
/// # Panics
/// If that is not the case.
pub fn authzen(data: &[u8]) {
    let body = match strict_json::object(data, strict_json::VALUES[1]) {
        Ok(body) => body,
        Err(violation) => return refused(countersign_app::Error::Invalid(vec![violation])),
    };
    let written = serde_json::to_vec(&body).expect("an object can be written");
    let again = strict_json::object(&written, strict_json::VALUES[1]).expect("what was read once is read again");
    assert_eq!(again, body);
    match (evaluation(&body), evaluation(&again)) {
        (Ok(one), Ok(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        (Err(error), Err(_)) => refused(error),
        _ => panic!("read in one form only"),
    }
    match evaluations(&body) {
        Ok(Evaluations::One(_)) => {}
        Ok(Evaluations::Many(all, _)) => {
            assert!((1..=100).contains(&all.len()));
            all.into_iter().filter_map(Result::err).for_each(refused);
        }
        Err(error) => refused(error),
    }
    match search(&body) {
        Ok(found) => {
            let mut next = body;
            let token = found.pages.token(Some(&"refund".parse().expect("an action")));
            next.insert("page".to_owned(), json!({ "token": token }));
            let next = search(&next).expect("the next page of a search can be asked for");
            assert_eq!(next.command.after.map(|name| name.to_string()).as_deref(), Some("refund"));
        }
        Err(error) => refused(error),
    }
}
