//! Replies that are kept for their request ids, as text: each lies in JSON objects of one field each, one in the other,
//! as servers of earlier versions write and read them.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Error, value::RawValue};

/// The names of those fields, the outer one first.
pub(super) type Fields = &'static [&'static str];

/// One reply.
pub(super) fn write(fields: Fields, reply: &impl Serialize) -> Result<String, Error> {
    let reply = serde_json::to_string(reply)?;
    Ok(fields.iter().rev().fold(reply, |inner, field| format!("{{\"{field}\":{inner}}}")))
}

/// The replies of one submission.
pub(super) fn write_all(fields: Fields, replies: &[impl Serialize]) -> Result<String, Error> {
    let replies = replies.iter().map(|reply| write(fields, reply)).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[{}]", replies.join(",")))
}

/// What [`write`] wrote.
pub(super) fn read<T: DeserializeOwned>(fields: Fields, kept: &str) -> Result<T, Error> {
    let mut inner = kept;
    for field in fields {
        let object: BTreeMap<&str, &RawValue> = serde_json::from_str(inner)?;
        let found = object.get(field).ok_or_else(|| serde::de::Error::missing_field(field))?;
        inner = found.get();
    }
    serde_json::from_str(inner)
}

/// What [`write_all`] wrote.
pub(super) fn read_all<T: DeserializeOwned>(fields: Fields, kept: &str) -> Result<Vec<T>, Error> {
    let replies: Vec<&RawValue> = serde_json::from_str(kept)?;
    replies.into_iter().map(|reply| read(fields, reply.get())).collect()
}

#[cfg(test)]
mod tests {
    use countersign_core::{ids::EventId, spiffe::TrustDomain};
    use serde_json::Value;

    use super::*;
    use crate::{ToolCallRecorded, recorder::MintedX509, testing::NOW};

    const OUTCOME: Fields = &["Outcome"];
    const SVID: Fields = &["Svid", "X509"];

    fn recorded(log_index: i64) -> ToolCallRecorded {
        let event_id: EventId = "evt_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        ToolCallRecorded { event_id, log_index }
    }

    #[test]
    fn a_reply_is_written_as_earlier_servers_write_it_and_read_back() {
        let (one, two) = (recorded(7), recorded(8));
        let text = write(OUTCOME, &one).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written["Outcome"]["log_index"], 7);
        assert_eq!(read::<ToolCallRecorded>(OUTCOME, &text).unwrap(), one);

        let text = write_all(OUTCOME, &[one, two]).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written[1]["Outcome"]["log_index"], 8);
        assert_eq!(read_all::<ToolCallRecorded>(OUTCOME, &text).unwrap(), [recorded(7), recorded(8)]);
        assert_eq!(read_all::<ToolCallRecorded>(OUTCOME, "[]").unwrap(), []);
    }

    #[test]
    fn a_nested_reply_is_written_and_read() {
        let domain: TrustDomain = "example.org".parse().unwrap();
        let minted = MintedX509 {
            certificate: vec![48, 0],
            serial: [1; 16],
            spiffe_id: domain.instance("inst_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
            expire_time: NOW,
            log_index: 9,
        };
        let kept = write(SVID, &minted).unwrap();
        assert!(kept.starts_with(r#"{"Svid":{"X509":{"certificate":[48,0],"#), "{kept}");
        let read = read::<MintedX509>(SVID, &kept).unwrap();
        assert_eq!((read.log_index, read.certificate, read.expire_time), (9, vec![48, 0], NOW));
    }

    #[test]
    fn a_reply_of_another_kind_is_refused() {
        let text = write(OUTCOME, &recorded(7)).unwrap();
        assert!(read::<ToolCallRecorded>(SVID, &text).is_err());
        for wrong in ["", "null", "[]", "{}", r#"{"Outcome":null}"#, &text[..text.len() - 1]] {
            assert!(read::<ToolCallRecorded>(OUTCOME, wrong).is_err(), "{wrong}");
        }
    }
}
