//! Arguments of the operator commands.

use clap::Args;

use crate::{
    arguments::operator_role,
    remote::{
        ChangeArgs, RemoteArgs,
        args::{EtagArgs, LimitArgs},
    },
};

/// One operator.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The operator's id.
    #[arg(value_name = "OPERATOR")]
    pub(super) operator_id: String,
    #[command(flatten)]
    pub(super) etag: EtagArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}

/// One operator, and all that they may do.
#[derive(Debug, Args)]
pub(crate) struct RolesArgs {
    /// A role that they get; repeat for more.
    #[arg(long = "role", value_name = "ROLE", value_parser = operator_role, required_unless_present = "no_roles")]
    pub(super) roles: Vec<String>,
    /// They get no role, for sponsors who log in only for their own runs.
    #[arg(long, conflicts_with = "roles")]
    pub(super) no_roles: bool,
    #[command(flatten)]
    pub(super) operator: OneArgs,
}

/// Which keys to show.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// Only those of this operator.
    #[arg(value_name = "OPERATOR", default_value = "", hide_default_value = true)]
    pub(super) operator_id: String,
    /// Also those that have expired or were revoked.
    #[arg(long)]
    pub(super) dead: bool,
    #[command(flatten)]
    pub(super) limit: LimitArgs,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}
