//! `countersign operator add | list | ...`: who may call a running server, and their API keys.

mod add;
mod args;
mod keys;
mod rows;
mod standing;

use clap::{Args, Subcommand};
use countersign_client::v1::{ListOperatorsRequest, ListOperatorsResponse};

use self::{
    add::{AddArgs, NewKeyArgs},
    args::{KeysArgs, OneArgs, RolesArgs},
    keys::KeyArgs,
    rows::rows,
};
use super::{
    RemoteArgs, RemoteError,
    args::LimitArgs,
    block_on,
    output::{json_list, print},
    pages::{Page, pages},
};
use crate::arguments::operator_role;

/// What to do with operators and their keys.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorsCommand {
    /// Add a person or a service that may call the server, and with --key-file an API key for them. Needs the role
    /// admin; an admin can only grant roles that they have.
    #[command(
        after_help = "Example: countersign operator add ben --name 'Ben Example' --role approver --person ben --key-file ben.key"
    )]
    Add(AddArgs),
    /// List the operators of a running server, by id. Needs the role admin or auditor.
    #[command(after_help = "Example: countersign operator list --role admin -o json")]
    List(ListArgs),
    /// Disable an operator, whether they log in by API key, identity provider or certificate. Needs the role admin.
    #[command(after_help = "Example: countersign operator disable oidc.corp.eve --reason 'left on Friday'")]
    Disable(OneArgs),
    /// Enable a disabled operator other than yourself. Needs the role admin.
    #[command(after_help = "Example: countersign operator enable eve --reason 'back from leave'")]
    Enable(OneArgs),
    /// Delete an operator, permanently; the id cannot be used again, since the custody log names it. Needs the role
    /// admin.
    #[command(after_help = "Example: countersign operator delete eve --reason 'the pilot is over'")]
    Delete(OneArgs),
    /// Replace an operator's roles. Needs the role admin; an admin can only grant roles that they have.
    #[command(
        after_help = "Example: countersign operator roles ben --role approver --role auditor --reason 'takes over reviews'"
    )]
    Roles(RolesArgs),
    /// Make another API key for an operator, and write it into a file. Needs the role admin.
    #[command(
        after_help = "Example: countersign operator new-key gate --role gate --expires 2027-03-31T00:00:00Z --key-file gate.key"
    )]
    NewKey(NewKeyArgs),
    /// List API keys without their secrets, oldest first. Needs the role admin or auditor.
    #[command(after_help = "Example: countersign operator keys ben --dead")]
    Keys(KeysArgs),
    /// Confirm an API key that waits for a second person, after you checked that its owner has it. Needs the role admin
    /// or approver, and not the person who made the key.
    #[command(
        after_help = "Example: countersign operator confirm-key 019ad0c4-... --reason 'handed to Ben at his desk'"
    )]
    ConfirmKey(KeyArgs),
    /// Revoke an API key at once. Needs the role admin.
    #[command(after_help = "Example: countersign operator revoke-key 019ad0c4-... --reason 'seen in a chat'")]
    RevokeKey(KeyArgs),
}

/// Which operators to show.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those with this role.
    #[arg(long, value_name = "ROLE", value_parser = operator_role)]
    role: Option<String>,
    /// Also those that were deleted.
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(crate) fn run(command: OperatorsCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            OperatorsCommand::Add(args) => add::add(args).await,
            OperatorsCommand::NewKey(args) => add::new_key(args).await,
            OperatorsCommand::List(args) => list(&args).await,
            OperatorsCommand::Disable(args) => standing::disable(args).await,
            OperatorsCommand::Enable(args) => standing::enable(args).await,
            OperatorsCommand::Delete(args) => standing::delete(args).await,
            OperatorsCommand::Roles(args) => standing::roles(args).await,
            OperatorsCommand::Keys(args) => keys::list(&args).await,
            OperatorsCommand::ConfirmKey(args) => keys::confirm(args).await,
            OperatorsCommand::RevokeKey(args) => keys::revoke(args).await,
        }
    })?)
}

async fn list(args: &ListArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let operators = pages(args.limit.limit, async |page_size, page_token| {
        let request = ListOperatorsRequest {
            page_size,
            page_token,
            role: args.role.clone().unwrap_or_default(),
            include_deleted: args.deleted,
        };
        let page = connection.operators().list_operators(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.operators, next_page_token: page.next_page_token })
    });
    let operators = operators.await?;
    if args.remote.json() {
        return json_list("ListOperatorsResponse", &ListOperatorsResponse { operators, ..Default::default() });
    }
    Ok(rows(&operators))
}
