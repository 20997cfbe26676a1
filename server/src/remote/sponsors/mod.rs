//! `countersign sponsor register | approve | ...`: the persons who are accountable for runs.

mod approve;
mod args;
mod register;
mod terms;
mod transitions;
mod update;

use clap::{Args, Subcommand, ValueEnum};
use countersign_client::v1::{ListSponsorsRequest, ListSponsorsResponse, SponsorState};

use self::{
    approve::ApproveArgs,
    args::OneArgs,
    register::RegisterArgs,
    terms::{get, rows, terms},
    transitions::RecertifyArgs,
    update::UpdateArgs,
};
use super::{
    RemoteArgs, RemoteError,
    args::LimitArgs,
    block_on,
    output::{json, json_list, print},
    pages::{Page, pages},
};

/// What to do with sponsors.
#[derive(Debug, Subcommand)]
pub(crate) enum SponsorsCommand {
    /// Register a person as a sponsor; another person approves it. Needs the role registrar.
    #[command(
        after_help = "Example: countersign sponsor register alice --name 'Alice Example' --email alice@example.com --role support --person alice"
    )]
    Register(RegisterArgs),
    /// Approve a registered sponsor on the terms that you saw: with --etag, or on a terminal, which shows them and
    /// asks. Needs the role approver, and a person who is not the sponsor and wrote none of the terms.
    #[command(
        after_help = "Example: countersign sponsor approve alice --reason 'leads the support team' --etag 7f3a..."
    )]
    Approve(ApproveArgs),
    /// Reject a registered sponsor, permanently. Needs the role approver.
    #[command(after_help = "Example: countersign sponsor reject alice --reason 'registered twice'")]
    Reject(OneArgs),
    /// Suspend a sponsor, and stop all their runs, until the sponsor is reinstated. For the sponsor or the role
    /// approver.
    #[command(after_help = "Example: countersign sponsor suspend alice --reason 'runs behave oddly'")]
    Suspend(OneArgs),
    /// Reinstate a suspended sponsor; earlier credentials stay invalid. Needs the role approver, and not the sponsor.
    #[command(after_help = "Example: countersign sponsor reinstate alice --reason 'it was the test tenant'")]
    Reinstate(OneArgs),
    /// Change a sponsor's terms. A change of anything but labels stops their runs until a new approval. Needs the role
    /// registrar.
    #[command(
        after_help = "Example: countersign sponsor update alice --role support --role billing --reason 'takes over billing'"
    )]
    Update(UpdateArgs),
    /// Renew a sponsor's review before it lapses, or after. Needs the role approver, and a person who is not the
    /// sponsor and wrote none of the terms.
    #[command(after_help = "Example: countersign sponsor recertify alice --reason 'quarterly review'")]
    Recertify(RecertifyArgs),
    /// Revoke a sponsor, and stop all their runs, permanently. For the sponsor or the role approver.
    #[command(after_help = "Example: countersign sponsor revoke alice --reason 'the account was taken over'")]
    Revoke(OneArgs),
    /// Record that a sponsor has left: their runs stop, and are revoked unless another sponsor accepts them within 14
    /// days. Needs the role registrar or approver.
    #[command(after_help = "Example: countersign sponsor depart alice --reason 'left the company'")]
    Depart(OneArgs),
    /// Show one sponsor with all terms. Needs the role registrar, approver, issuer, auditor or admin.
    #[command(after_help = "Example: countersign sponsor show alice -o json")]
    Show {
        /// The sponsor's id.
        #[arg(value_name = "SPONSOR")]
        sponsor_id: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// List sponsors, by id. Needs the role registrar, approver, issuer, auditor or admin.
    #[command(after_help = "Example: countersign sponsor list --state pending")]
    List(ListArgs),
}

/// Which sponsors to show.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this state.
    #[arg(long, value_enum, default_value_t, value_name = "STATE")]
    state: State,
    /// Only those with this role for runs.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    role: String,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The states of sponsors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum State {
    #[default]
    All,
    Pending,
    Active,
    Suspended,
    Rejected,
    Revoked,
    Departed,
}

impl State {
    const fn on_the_wire(self) -> SponsorState {
        match self {
            Self::All => SponsorState::Unspecified,
            Self::Pending => SponsorState::Pending,
            Self::Active => SponsorState::Active,
            Self::Suspended => SponsorState::Suspended,
            Self::Rejected => SponsorState::Rejected,
            Self::Revoked => SponsorState::Revoked,
            Self::Departed => SponsorState::Departed,
        }
    }
}

/// Runs the command and prints the result.
pub(crate) fn run(command: SponsorsCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            SponsorsCommand::Register(args) => register::register(args).await,
            SponsorsCommand::Approve(args) => approve::approve(args).await,
            SponsorsCommand::Reject(args) => transitions::reject(args).await,
            SponsorsCommand::Suspend(args) => transitions::suspend(args).await,
            SponsorsCommand::Reinstate(args) => transitions::reinstate(args).await,
            SponsorsCommand::Update(args) => update::update(args).await,
            SponsorsCommand::Recertify(args) => transitions::recertify(args).await,
            SponsorsCommand::Revoke(args) => transitions::revoke(args).await,
            SponsorsCommand::Depart(args) => transitions::depart(args).await,
            SponsorsCommand::Show { sponsor_id, remote } => show(sponsor_id, &remote).await,
            SponsorsCommand::List(args) => list(&args).await,
        }
    })?)
}

async fn show(sponsor_id: String, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let answer = get(&remote.connect().await?, sponsor_id, remote).await?;
    if remote.json() {
        return json("GetSponsorResponse", &answer);
    }
    Ok(terms(&answer.sponsor.ok_or(RemoteError::Answer)?))
}

async fn list(args: &ListArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let sponsors = pages(args.limit.limit, async |page_size, page_token| {
        let request = ListSponsorsRequest {
            page_size,
            page_token,
            state: args.state.on_the_wire().into(),
            role: args.role.clone(),
            review_due_before: None,
        };
        let page = connection.sponsors().list_sponsors(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.sponsors, next_page_token: page.next_page_token })
    });
    let sponsors = sponsors.await?;
    if args.remote.json() {
        return json_list("ListSponsorsResponse", &ListSponsorsResponse { sponsors, ..Default::default() });
    }
    Ok(rows(&sponsors))
}
