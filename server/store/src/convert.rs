//! Columns into domain values.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use countersign_core::operator::{OperatorRole, Roles};

use crate::StoreError;

/// A text column that holds a domain value.
pub(crate) fn parse<T: FromStr>(table: &'static str, column: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(table, format!("{column} {text:?}")))
}

/// A text-array column.
pub(crate) fn parse_all<T: FromStr>(table: &'static str, column: &str, texts: &[String]) -> Result<Vec<T>, StoreError> {
    texts.iter().map(|text| parse(table, column, text)).collect()
}

/// A text-array column of operator roles.
pub(crate) fn roles(table: &'static str, column: &str, texts: &[String]) -> Result<Roles, StoreError> {
    Ok(parse_all::<OperatorRole>(table, column, texts)?.into_iter().collect())
}

/// A column that holds exactly `N` bytes.
pub(crate) fn bytes<const N: usize>(table: &'static str, column: &str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::corrupt(table, format!("{column} of {} bytes", bytes.len())))
}

/// An integer column in the width the domain has.
pub(crate) fn number<N: TryFrom<I>, I: Display + Copy>(
    table: &'static str,
    column: &str,
    n: I,
) -> Result<N, StoreError> {
    N::try_from(n).map_err(|_| StoreError::corrupt(table, format!("{column} {n}")))
}

/// A domain number in the width of its column. What does not fit is an error, never another number.
pub(crate) fn stored<N: TryInto<I> + Display + Copy, I>(table: &'static str, n: N) -> Result<I, StoreError> {
    n.try_into().map_err(|_| StoreError::TooLarge { table, number: n.to_string() })
}

/// Each of these numbers.
pub(crate) fn all_stored<N: TryInto<I> + Display + Copy, I>(
    table: &'static str,
    numbers: impl IntoIterator<Item = N>,
) -> Result<Vec<I>, StoreError> {
    numbers.into_iter().map(|n| stored(table, n)).collect()
}

/// Texts for an array parameter.
pub(crate) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// A `jsonb` column of labels.
pub(crate) fn labels(table: &'static str, json: serde_json::Value) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_value(json).map_err(|error| StoreError::corrupt(table, format!("labels: {error}")))
}
