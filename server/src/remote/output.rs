//! The output of remote commands: tables for persons, JSON for scripts.

use std::io::{self, Write as _};

use countersign_proto::FILE_DESCRIPTOR_SET;
use countersign_transport::message_to_json;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor};
use prost_types::Timestamp;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use unicode_width::UnicodeWidthStr;

use super::RemoteError;
pub(crate) use super::printable::printable;

/// Prints to standard output.
pub(crate) fn print(text: &str) -> Result<(), RemoteError> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(RemoteError::Output)
}

/// A message of countersign.v1 as JSON, with the names and forms of the HTTP API.
pub(crate) fn json(name: &str, message: &impl Message) -> Result<String, RemoteError> {
    Ok(format!("{:#}\n", value(name, message)?))
}

/// The same as a value, for a larger document.
pub(crate) fn value(name: &str, message: &impl Message) -> Result<Value, RemoteError> {
    let message = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice());
    message.ok().and_then(|message| message_to_json(&message).ok()).ok_or(RemoteError::Answer)
}

fn descriptor(name: &str) -> Result<MessageDescriptor, RemoteError> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|_| RemoteError::Answer)?;
    pool.get_message_by_name(&format!("countersign.v1.{name}")).ok_or(RemoteError::Answer)
}

/// A list as JSON: the message, in which an empty list is shown too.
pub(crate) fn json_list(name: &str, message: &impl Message) -> Result<String, RemoteError> {
    let mut value = value(name, message)?;
    for field in descriptor(name)?.fields().filter(FieldDescriptor::is_list) {
        let lists = value.as_object_mut().ok_or(RemoteError::Answer)?;
        lists.entry(field.json_name()).or_insert_with(|| Value::Array(Vec::new()));
    }
    Ok(format!("{value:#}\n"))
}

/// Prints a note on standard error. An error here has no consequences.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows in columns under a head; if there are no rows, `none` is printed on standard error.
pub(crate) fn listed<const N: usize>(head: [&str; N], rows: &[[String; N]], none: &str) -> String {
    if rows.is_empty() {
        note(none);
        return String::new();
    }
    table(head, rows)
}

/// Rows in columns, separated by two spaces, under a head.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str()).chain([head[column]]);
        cells.map(UnicodeWidthStr::width).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| padded(cell, width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    [line(head)].into_iter().chain(rows).collect()
}

/// Something that is known of a thing.
#[derive(Debug)]
pub(crate) struct Fact {
    name: &'static str,
    value: String,
}

pub(crate) const fn fact(name: &'static str, value: String) -> Fact {
    Fact { name, value }
}

/// The fields of one thing, one line each.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let width = facts.iter().map(|fact| fact.name.width()).max().unwrap_or_default();
    let line = |Fact { name, value }: &Fact| format!("{}  {value}", padded(name, width)).trim_end().to_owned() + "\n";
    facts.iter().map(line).collect()
}

/// A text and spaces up to a width on the screen, where a letter may be two columns wide.
fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// The word of an enum value, without the prefix that all values have.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_owned()
}

/// Names on one line.
pub(crate) fn joined(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { printable(&names.join(", ")) }
}

/// A text, or `-` if it is empty.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text) }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A time in UTC, to the second; `-` if there is none.
pub(crate) fn time(at: Option<&Timestamp>) -> String {
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.format(&Rfc3339).ok());
    at.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "NEXT".to_owned()], ["long".to_owned(), "-".to_owned()]];
        assert_eq!(table(["kid", "state"], &rows), "kid   state\na     NEXT\nlong  -\n");
        assert_eq!(table(["kid", "state"], &[]), "kid  state\n");
        let wide = [["\u{4e2d}\u{6587}".to_owned(), "x".to_owned()], ["abcd".to_owned(), "y".to_owned()]];
        assert_eq!(table(["a", "b"], &wide), "a     b\n\u{4e2d}\u{6587}  x\nabcd  y\n");
        assert_eq!(facts(&[fact("id", "a".to_owned()), fact("state", String::new())]), "id     a\nstate\n");
    }

    #[test]
    fn a_list_without_rows_shows_in_json() {
        let none = countersign_client::v1::ListOperatorsResponse::default();
        assert_eq!(json_list("ListOperatorsResponse", &none).unwrap(), "{\n  \"operators\": []\n}\n");
        assert_eq!(listed(["a"], &[], "none"), "");
    }

    #[test]
    fn texts_of_others_steer_no_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(Some(&Timestamp { seconds: 1_764_038_115, nanos: 5 })), "2025-11-25T02:35:15Z");
        assert_eq!(time(Some(&Timestamp { seconds: i64::MAX, nanos: 0 })), "-");
        assert_eq!(time(None), "-");
    }
}
