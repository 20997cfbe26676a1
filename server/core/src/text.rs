//! Bounded free text: purposes, reasons, display names, labels.

use std::collections::BTreeMap;

use crate::violation::Violation;

/// Longest purpose or reason, in bytes of UTF-8.
pub const MAX_TEXT: usize = 512;
/// Longest display name or e-mail address, in bytes of UTF-8.
pub const MAX_DISPLAY: usize = 254;
/// Longest name of an end user for whom a run acts, in bytes of UTF-8.
pub const MAX_ON_BEHALF_OF: usize = 256;
/// Most labels on one resource.
pub const MAX_LABELS: usize = 16;

/// Checks one free text: not blank, at most `max` bytes, no control characters.
pub fn check(field: &'static str, text: &str, max: usize) -> Result<(), Violation> {
    if text.trim().is_empty() {
        return Err(Violation::new(field, "must not be empty"));
    }
    if text.len() > max {
        return Err(Violation::new(field, format!("must be at most {max} bytes, is {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(Violation::new(field, "must not contain control characters"));
    }
    Ok(())
}

/// Checks an e-mail address as far as it can be checked without sending one: one `@`, something on both sides.
pub fn check_email(field: &'static str, text: &str) -> Result<(), Violation> {
    check(field, text, MAX_DISPLAY)?;
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !text.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(Violation::new(field, "must be an e-mail address, such as alice@example.com")),
    }
}

/// Checks labels: at most [`MAX_LABELS`], keys like names of 1 to 64, values up to 128 bytes.
#[must_use]
pub fn check_labels(labels: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if labels.len() > MAX_LABELS {
        violations.push(Violation::new("labels", format!("must be at most {MAX_LABELS}, are {}", labels.len())));
    }
    for (key, value) in labels {
        if !crate::names::is_name(key) {
            violations.push(Violation::new("labels", format!("key must be {}", crate::names::SHAPE)));
        }
        if value.len() > 128 || value.chars().any(char::is_control) {
            violations.push(Violation::new("labels", "values must be at most 128 bytes without control characters"));
        }
    }
    violations
}
