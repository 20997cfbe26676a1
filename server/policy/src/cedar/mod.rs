//! Rules and raw policies in Cedar, which are checked before they are evaluated; and the message and place of a parse
//! error.

mod absence;
pub(crate) mod domain;
pub(crate) mod draft;
pub(crate) mod entity;
mod lint;
mod nesting;
pub(crate) mod raw;
mod reads;
pub(crate) mod rewrite;
pub(crate) mod scope;
pub(crate) mod spelling;
mod typed;
pub(crate) mod types;
pub(crate) mod validate;

use cedar_policy::{ParseError, ParseErrors, ffi::DetailedError};

/// The place of an error in the parsed text, if it has one, and its message.
fn parse_error(error: &ParseError) -> (Option<usize>, String) {
    let detail = DetailedError::from(error);
    let label = detail.source_locations.first();
    let mut message = detail.message;
    for more in [label.and_then(|label| label.label.clone()), detail.help].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(&more);
    }
    (label.map(|label| label.loc.start), message)
}

fn parse_errors(errors: &ParseErrors) -> impl Iterator<Item = (Option<usize>, String)> + '_ {
    errors.iter().map(parse_error)
}
