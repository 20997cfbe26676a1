//! The results as a table for docs/reliability.md.

use std::time::Duration;

use crate::attack::{Attack, Target};

/// A limit for what well-behaved callers notice.
pub(crate) struct Claim {
    what: &'static str,
    is: String,
    bound: String,
    holds: bool,
}

impl Claim {
    pub(crate) fn within(what: &'static str, is: Option<Duration>, bound: Duration) -> Self {
        let text = is.map_or_else(|| "never asked".to_owned(), |is| format!("{} ms", is.as_millis()));
        Self { what, is: text, bound: format!("{} ms", bound.as_millis()), holds: is.is_some_and(|is| is <= bound) }
    }

    pub(crate) fn none(what: &'static str, is: u64) -> Self {
        Self { what, is: is.to_string(), bound: "0".to_owned(), holds: is == 0 }
    }

    pub(crate) fn at_least(what: &'static str, is: u64, bound: u64) -> Self {
        Self { what, is: is.to_string(), bound: format!(">= {bound}"), holds: is >= bound }
    }

    pub(crate) fn at_most(what: &'static str, is: u64, bound: u64) -> Self {
        Self { what, is: is.to_string(), bound: format!("<= {bound}"), holds: is <= bound }
    }
}

/// Prints both tables. Returns whether all limits were kept and all attacks were received.
pub(crate) fn print(attacks: &[&Attack], target: &Target, claims: &[Claim]) -> bool {
    println!("| attack | sent | refused or failed |\n|---|---|---|");
    let mut holds = true;
    for attack in attacks {
        let (sent, refused) = target.counted(attack.name);
        println!("| {}: {} | {sent} | {refused} |", attack.name, attack.what);
        if sent == 0 {
            println!("{} sent nothing: it was no attack", attack.name);
            holds = false;
        }
    }
    println!("\n| what others notice | seen | bound | |\n|---|---|---|---|");
    for Claim { what, is, bound, holds: this } in claims {
        println!("| {what} | {is} | {bound} | {} |", if *this { "holds" } else { "DOES NOT HOLD" });
        holds &= this;
    }
    holds
}
