//! Conversion of columns to domain values.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use countersign_core::operator::{OperatorRole, Roles};

use crate::StoreError;

/// Reads a text column that holds a domain value.
pub(crate) fn parse<T: FromStr>(table: &'static str, column: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(table, format!("{column} {text:?}")))
}

/// Reads a text-array column.
pub(crate) fn parse_all<T: FromStr>(table: &'static str, column: &str, texts: &[String]) -> Result<Vec<T>, StoreError> {
    texts.iter().map(|text| parse(table, column, text)).collect()
}

/// Reads a text-array column of operator roles.
pub(crate) fn roles(table: &'static str, column: &str, texts: &[String]) -> Result<Roles, StoreError> {
    Ok(parse_all::<OperatorRole>(table, column, texts)?.into_iter().collect())
}

/// Reads a column that holds exactly `N` bytes.
pub(crate) fn bytes<const N: usize>(table: &'static str, column: &str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::corrupt(table, format!("{column} of {} bytes", bytes.len())))
}

/// Reads an integer column into the domain's integer type.
pub(crate) fn number<N: TryFrom<I>, I: Display + Copy>(
    table: &'static str,
    column: &str,
    n: I,
) -> Result<N, StoreError> {
    N::try_from(n).map_err(|_| StoreError::corrupt(table, format!("{column} {n}")))
}

/// Converts a domain number to the integer type of its column. A number that does not fit is an error; it is never
/// changed.
pub(crate) fn stored<N: TryInto<I> + Display + Copy, I>(table: &'static str, n: N) -> Result<I, StoreError> {
    n.try_into().map_err(|_| StoreError::TooLarge { table, number: n.to_string() })
}

/// Converts each of these numbers.
pub(crate) fn all_stored<N: TryInto<I> + Display + Copy, I>(
    table: &'static str,
    numbers: impl IntoIterator<Item = N>,
) -> Result<Vec<I>, StoreError> {
    numbers.into_iter().map(|n| stored(table, n)).collect()
}

/// Converts values to texts for an array parameter.
pub(crate) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Reads a `jsonb` column of labels.
pub(crate) fn labels(table: &'static str, json: serde_json::Value) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_value(json).map_err(|error| StoreError::corrupt(table, format!("labels: {error}")))
}
