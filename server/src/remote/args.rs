//! Arguments that many remote commands take: `--reason`, `--request-id`, `--etag` and `--limit`, with the limit by
//! default.

use clap::Args;
use countersign_core::clock::{Clock as _, SystemClock, SystemEntropy, uuid_v7};

use crate::arguments::reason;

/// The argument that makes a change safe to repeat.
#[derive(Debug, Args)]
pub(crate) struct RequestIdArgs {
    /// Makes a repeated command safe: the same id makes the change only once within a day [default: a new one].
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestIdArgs {
    /// The request id of this run of the command. Call it once.
    pub(crate) fn request_id(&self) -> String {
        let fresh = || uuid_v7(SystemClock.now(), &SystemEntropy).to_string();
        self.request_id.clone().unwrap_or_else(fresh)
    }
}

/// The arguments that every change needs.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The reason, for the custody log.
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

/// The argument that makes a change depend on the version that was seen.
#[derive(Debug, Args)]
pub(crate) struct EtagArgs {
    /// Make the change only while this is the etag, as `-o json` shows it [default: make it in any case].
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// The argument that limits a list.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Most rows to show. A note says if there are more.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
}
