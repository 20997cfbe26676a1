//! Arguments that several commands take: a reason, a role of operators, an instant (RFC 3339), seconds, and a label.

use countersign_core::{
    operator::OperatorRole,
    text::{self, MAX_TEXT},
};
use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Reads a reason for the custody log.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    text::check("reason", text, MAX_TEXT).map(|()| text.to_owned()).map_err(|violation| violation.description)
}

/// Reads a role of operators.
pub(crate) fn operator_role(text: &str) -> Result<String, String> {
    text.parse::<OperatorRole>().map(|role| role.to_string()).map_err(|error| error.to_string())
}

/// Reads an instant.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339);
    let at = at.map_err(|_| "must be an RFC 3339 time, such as 2026-01-31T00:00:00Z".to_owned())?;
    Ok(Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) })
}

/// Reads a duration in whole seconds.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let digits = text.strip_suffix('s').unwrap_or(text);
    let seconds: u32 = digits.parse().map_err(|_| "must be whole seconds, such as 300 or 300s".to_owned())?;
    Ok(seconds.into())
}

/// A label of a sponsor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Reads `name=value`.
pub(crate) fn label(text: &str) -> Result<Label, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    Ok(Label { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_said_to_be_wrong() {
        assert_eq!(instant("1970-01-01T01:00:00.5+01:00").unwrap(), Timestamp { seconds: 0, nanos: 500_000_000 });
        assert!(instant("yesterday").is_err());
        assert_eq!((seconds("300"), seconds("5s")), (Ok(300), Ok(5)));
        assert!(seconds("-1").is_err() && seconds("5m").is_err() && seconds("").is_err());
        assert_eq!(label("team=a=b").unwrap(), Label { name: "team".to_owned(), value: "a=b".to_owned() });
        assert!(label("team").is_err());
        assert_eq!(operator_role("gate").unwrap(), "gate");
        assert!(operator_role("gaet").unwrap_err().contains("did you mean"));
    }
}
