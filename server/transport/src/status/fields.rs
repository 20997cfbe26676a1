//! The violations of a request's fields, within the space of a header (`MAX_BYTES`), and how many of them the message
//! names.

use countersign_core::Violation;
use tonic_types::FieldViolation;

use super::cut;
use crate::convert::policy::place;

/// Limit of all field violations in bytes. Details are base64-encoded in a header, beside the message, and gRPC
/// libraries refuse more than 8 KiB of headers (Java's default).
const MAX_BYTES: usize = 3 * 1024;
/// Longest description, bytes.
pub(super) const MAX_TEXT: usize = 512;
/// How many violations the message names.
const IN_MESSAGE: usize = 3;

/// Fields and descriptions of violations.
pub(super) fn of_core(found: Vec<Violation>) -> impl Iterator<Item = FieldViolation> {
    found.into_iter().map(|violation| FieldViolation::new(violation.field, violation.description))
}

/// Places and descriptions of a policy's errors: `line:column path`.
pub(super) fn of_policy(found: Vec<countersign_policy::Violation>) -> impl Iterator<Item = FieldViolation> {
    found.into_iter().map(|violation| {
        let place = format!("{}:{} {}", violation.line, violation.column, place(&violation.path));
        FieldViolation::new(place, violation.message)
    })
}

/// A message that names the first few, and as many violations as there is space for; the last one says how many are
/// left out.
pub(super) fn bounded(found: impl IntoIterator<Item = FieldViolation>) -> (String, Vec<FieldViolation>) {
    let (mut fields, mut bytes, mut left_out) = (Vec::new(), 0, 0_usize);
    for FieldViolation { field, description, .. } in found {
        let violation = FieldViolation::new(cut(&field, MAX_TEXT), cut(&description, MAX_TEXT));
        // Two tags and two lengths of at most two bytes, and the same again around the message.
        bytes += violation.field.len() + violation.description.len() + 9;
        if bytes > MAX_BYTES {
            left_out += 1;
        } else {
            fields.push(violation);
        }
    }
    let first = fields.iter().take(IN_MESSAGE).map(|one| format!("{} {}", one.field, one.description));
    let mut message: Vec<_> = first.collect();
    let unnamed = fields.len().saturating_sub(IN_MESSAGE) + left_out;
    if unnamed > 0 {
        message.push(format!("and {unnamed} more"));
    }
    if left_out > 0 {
        fields.push(FieldViolation::new("", format!("and {left_out} more, once these are fixed")));
    }
    (message.join("; ").trim_start().to_owned(), fields)
}
