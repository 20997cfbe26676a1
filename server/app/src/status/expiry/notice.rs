//! The webhook messages about expiries: kinds, ids and times.

use countersign_core::expiry::{ExpiryKind, Threshold};
use countersign_store::expiry::Ending;
use serde_json::json;
use time::OffsetDateTime;

use super::stamp;
use crate::{
    Error,
    webhook::{Notice, Topic},
};

/// The messages for what reached `threshold`, the soonest first; beyond a few of a kind, the others share one.
pub(super) fn of(new: &[Ending], threshold: Threshold, now: OffsetDateTime) -> Result<Vec<Notice>, Error> {
    let mut notices = Vec::new();
    for kind in ExpiryKind::ALL {
        let of_kind: Vec<_> = new.iter().filter(|ending| ending.kind == kind).collect();
        let (alone, together) = Notice::one_by_one(&of_kind);
        for ending in alone {
            let mut data = json!({
                "kind": kind.as_str(),
                "id": ending.id,
                "expire_time": stamp(ending.end_time),
                "days": threshold.days(),
                "what_to_do": kind.remedy(),
            });
            if let (ExpiryKind::ApiKey, Some(operator), Some(data)) = (kind, &ending.of, data.as_object_mut()) {
                data.insert("operator_id".to_owned(), operator.as_str().into());
            }
            notices.push(Notice::new(Topic::ExpiryAnnounced, now, &data)?);
        }
        if let (Some(first), Some(last)) = (together.first(), together.last()) {
            let data = json!({
                "kind": kind.as_str(),
                "further": together.len(),
                "first_expire_time": stamp(first.end_time),
                "last_expire_time": stamp(last.end_time),
                "days": threshold.days(),
                "what_to_do": kind.remedy(),
            });
            notices.push(Notice::new(Topic::ExpiryAnnounced, now, &data)?);
        }
    }
    Ok(notices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn many_ends_of_one_kind_share_a_message() {
        let ending = |nth: usize| Ending {
            kind: ExpiryKind::SponsorReview,
            id: format!("s{nth}"),
            of: None,
            end_time: NOW + time::Duration::DAY,
        };
        for (ends, messages) in [(0, 0), (1, 1), (16, 16), (17, 17), (1_000, 17)] {
            let all: Vec<_> = (0..ends).map(ending).collect();
            assert_eq!(of(&all, Threshold::Day, NOW).unwrap().len(), messages, "{ends}");
        }
    }
}
