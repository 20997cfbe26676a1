//! The output of remote commands: tables for persons, JSON for scripts.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use countersign_proto::FILE_DESCRIPTOR_SET;
use countersign_transport::message_to_json;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor};
use prost_types::Timestamp;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) use super::printable::printable;
use super::{RemoteError, terminal};

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

/// Prints a note on standard error, wrapped if that is a terminal. An error here has no consequences.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", terminal::wrapped(text, terminal::width(io::stderr())));
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
    columns(Some(&head), rows, terminal::width(io::stdout()))
}

/// Rows in columns. In a terminal's width long cells are wrapped; otherwise each row is one line.
fn columns<const N: usize>(head: Option<&[&str; N]>, rows: &[[String; N]], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    if let Some(head) = head {
        table.set_header(head);
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
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
    let rows: Vec<_> = facts.iter().map(|Fact { name, value }| [(*name).to_owned(), value.clone()]).collect();
    columns(None, &rows, terminal::width(io::stdout()))
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

/// A time in UTC, to the second; `-` if there is none.
pub(crate) fn time(at: Option<&Timestamp>) -> String {
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.format(&Rfc3339).ok());
    at.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

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
    fn long_cells_wrap_to_a_terminal() {
        let rows = [["ap_1".to_owned(), "refund of 500 EUR to a customer who waited".to_owned(), "OPEN".to_owned()]];
        let head = ["approval", "purpose", "state"];
        let shown = columns(Some(&head), &rows, Some(40));
        assert!(shown.lines().all(|line| line.width() <= 40) && shown.lines().count() > 2, "{shown}");
        assert!(shown.starts_with("approval  purpose") && shown.contains("\nap_1"), "{shown}");
        assert_eq!(columns(Some(&head), &rows, None).lines().count(), 2);
        assert_eq!(columns(Some(&head), &rows, Some(200)), columns(Some(&head), &rows, None));
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
