//! Arguments that many remote commands take.

use clap::Args;
use countersign_core::clock::{Clock as _, SystemClock, SystemEntropy, uuid_v7};

use crate::arguments::reason;

/// What makes a change safe to repeat.
#[derive(Debug, Args)]
pub(crate) struct RequestIdArgs {
    /// Makes it safe to run the command again: the same id changes something once within a day [default: a fresh one].
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestIdArgs {
    /// The id of this run of the command: ask once.
    pub(crate) fn request_id(&self) -> String {
        let fresh = || uuid_v7(SystemClock.now(), &SystemEntropy).to_string();
        self.request_id.clone().unwrap_or_else(fresh)
    }
}

/// What every change of something needs.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Why, for the custody log.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    repeat: RequestIdArgs,
}

impl ChangeArgs {
    pub(crate) fn request_id(&self) -> String {
        self.repeat.request_id()
    }
}

/// What is changed only as it was seen.
#[derive(Debug, Args)]
pub(crate) struct EtagArgs {
    /// Change it only as it was seen: the etag that `-o json` shows [default: as it stands].
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// How much a list shows.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Most rows to show. Where there are more, that is said.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
}
