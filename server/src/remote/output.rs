//! What remote commands print: tables for people, JSON for scripts.

use std::io::{self, Write as _};

use countersign_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Timestamp;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::RemoteError;

/// Prints to standard output.
pub(crate) fn print(text: &str) -> Result<(), RemoteError> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(RemoteError::Output)
}

/// A message of countersign.v1 as JSON, with the names and forms of the HTTP API.
pub(crate) fn json(name: &str, message: &impl Message) -> Result<String, RemoteError> {
    Ok(format!("{:#}\n", value(name, message)?))
}

/// The same, to be put into something larger.
pub(crate) fn value(name: &str, message: &impl Message) -> Result<Value, RemoteError> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|_| RemoteError::Answer)?;
    let descriptor = pool.get_message_by_name(&format!("countersign.v1.{name}")).ok_or(RemoteError::Answer)?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    message.ok().and_then(|message| serde_json::to_value(&message).ok()).ok_or(RemoteError::Answer)
}

/// Rows in columns, two blanks apart, under a head.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    [line(head)].into_iter().chain(rows).collect()
}

/// A time in UTC, to the second; `-` where there is none.
pub(crate) fn time(at: Option<&Timestamp>) -> String {
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.format(&Rfc3339).ok());
    at.unwrap_or_else(|| "-".to_owned())
}

/// Another's text on one line, unable to steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "NEXT".to_owned()], ["long".to_owned(), "-".to_owned()]];
        assert_eq!(table(["kid", "state"], &rows), "kid   state\na     NEXT\nlong  -\n");
        assert_eq!(table(["kid", "state"], &[]), "kid  state\n");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(Some(&Timestamp { seconds: 1_764_038_115, nanos: 5 })), "2025-11-25T02:35:15Z");
        assert_eq!(time(Some(&Timestamp { seconds: i64::MAX, nanos: 0 })), "-");
        assert_eq!(time(None), "-");
    }
}
