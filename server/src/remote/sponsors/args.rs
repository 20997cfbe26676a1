//! Arguments of the sponsor commands.

use clap::Args;

use crate::remote::{ChangeArgs, RemoteArgs, args::EtagArgs};

/// One sponsor.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The sponsor's id.
    #[arg(value_name = "SPONSOR")]
    pub(super) sponsor_id: String,
    #[command(flatten)]
    pub(super) etag: EtagArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}
