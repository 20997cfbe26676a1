//! Rules for the bodies of `POST /issue`. For tests and fuzz targets only.

use serde_json::{Value, json};

use super::form;
use crate::fuzz::{SECRET, refused};

/// The documented curl request, and one with every field.
#[must_use]
pub fn issue_seeds() -> Vec<Vec<u8>> {
    let whole = json!({
        "tool": "billing", "sponsor_id": "alice", "ttl": 300, "role": "support", "purpose": "ticket 4711", "agent": "triage",
        "single_use": true, "on_behalf_of": "carol", "agent_version": "1.2", "model": "m", "platform": "p",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "request_id": "r1",
    });
    let wrong = json!({ "tool": SECRET.repeat(12), "sponsor_id": SECRET.to_uppercase(), "ttl": SECRET, "role": [SECRET],
        "request_id": " ", "model": format!("\u{e9}{SECRET}") });
    let texts = [
        r#"{"tool":"billing","sponsor_id":"alice","ttl":300}"#.to_owned(),
        whole.to_string(),
        wrong.to_string(),
        "null".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// A body of `POST /issue` is refused, or it is read the same way when it is written again.
///
/// # Panics
/// If that is not the case.
pub fn issue(data: &[u8]) {
    match form::read(data) {
        Ok(read) => {
            let value: Value = serde_json::from_slice(data).expect("what was read is JSON");
            let again = form::read(value.to_string().as_bytes()).expect("what was read once is read again");
            assert_eq!(format!("{again:?}"), format!("{read:?}"));
            assert_eq!(value["tool"], read.0.tools[0].as_str());
        }
        Err(error) => refused(error),
    }
}
