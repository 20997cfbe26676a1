//! `countersign approval list | show | approve | reject`: calls that wait for a person.

use clap::{Args, Subcommand, ValueEnum};
use countersign_client::v1::{
    Approval, ApprovalState, ApproveRequest, GetApprovalRequest, ListApprovalsRequest, ListApprovalsResponse,
    RejectRequest,
};

use super::{
    ChangeArgs, RemoteArgs, RemoteError,
    args::{EtagArgs, LimitArgs},
    block_on,
    output::{fact, facts, json, json_list, listed, or_dash, print, printable, time, word},
    pages::{Page, pages},
};

/// What to do with calls that wait for a person.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List the calls that wait for a person, newest first, or with --state others. Needs the role approver or auditor;
    /// a sponsor sees their own.
    #[command(after_help = "Example: countersign approval list --sponsor alice")]
    List(ListArgs),
    /// Show one call with its arguments, and all that an approval is bound to. Needs the role approver or auditor; a
    /// sponsor sees their own.
    #[command(after_help = "Example: countersign approval show appr_019ad0c4-...")]
    Show {
        /// The approval's id, as `approval list` shows it.
        #[arg(value_name = "APPROVAL")]
        approval_id: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Approve exactly this call, once. For the sponsor or the role approver, but not for the person who asked for the
    /// call.
    #[command(after_help = "Example: countersign approval approve appr_019ad0c4-... --reason 'I know the customer'")]
    Approve(AnswerArgs),
    /// Reject this call. For the sponsor or the role approver.
    #[command(after_help = "Example: countersign approval reject appr_019ad0c4-... --reason 'too much'")]
    Reject(AnswerArgs),
}

/// Which approvals to show.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this state.
    #[arg(long, value_enum, default_value_t, value_name = "STATE")]
    state: State,
    /// Only those of this sponsor.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    sponsor: String,
    /// Only those of this run.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    instance: String,
    /// Only those on this tool.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    tool: String,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The states of approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum State {
    #[default]
    Pending,
    Approved,
    Rejected,
    Expired,
    Used,
    All,
}

impl State {
    const fn on_the_wire(self) -> ApprovalState {
        match self {
            Self::Pending => ApprovalState::Pending,
            Self::Approved => ApprovalState::Approved,
            Self::Rejected => ApprovalState::Rejected,
            Self::Expired => ApprovalState::Expired,
            Self::Used => ApprovalState::Used,
            Self::All => ApprovalState::Unspecified,
        }
    }
}

/// An answer.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The approval's id, as `approval list` shows it.
    #[arg(value_name = "APPROVAL")]
    approval_id: String,
    #[command(flatten)]
    etag: EtagArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(crate) fn run(command: ApprovalsCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            ApprovalsCommand::List(args) => list(&args).await,
            ApprovalsCommand::Show { approval_id, remote } => show(approval_id, &remote).await,
            ApprovalsCommand::Approve(args) => approve(args).await,
            ApprovalsCommand::Reject(args) => reject(args).await,
        }
    })?)
}

async fn list(args: &ListArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let approvals = pages(args.limit.limit, async |page_size, page_token| {
        let request = ListApprovalsRequest {
            page_size,
            page_token,
            state: args.state.on_the_wire().into(),
            sponsor_id: args.sponsor.clone(),
            agent_instance_id: args.instance.clone(),
            tool_id: args.tool.clone(),
            ..ListApprovalsRequest::default()
        };
        let page = connection.approvals().list_approvals(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.approvals, next_page_token: page.next_page_token })
    });
    let approvals = approvals.await?;
    if args.remote.json() {
        return json_list("ListApprovalsResponse", &ListApprovalsResponse { approvals, ..Default::default() });
    }
    let none = if args.state == State::Pending { "No call waits for a person." } else { "There is no such approval." };
    Ok(rows(&approvals, none))
}

async fn show(approval_id: String, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let connection = remote.connect().await?;
    let answer = connection.approvals().get_approval(GetApprovalRequest { approval_id }).await;
    let answer = answer.map_err(|status| remote.call_failed(&status))?.into_inner();
    if remote.json() {
        return json("GetApprovalResponse", &answer);
    }
    Ok(all_of(&answer.approval.ok_or(RemoteError::Answer)?))
}

async fn approve(args: AnswerArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = ApproveRequest {
        approval_id: args.approval_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.approvals().approve(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    if args.remote.json() {
        return json("ApproveResponse", &answer);
    }
    let approval = answer.approval.ok_or(RemoteError::Answer)?;
    let until = time(approval.expire_time.as_ref());
    Ok(format!(
        "{}The run can use this approval once, before {until}: it asks again with the approval's id.\n",
        rows(std::slice::from_ref(&approval), "")
    ))
}

async fn reject(args: AnswerArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = RejectRequest {
        approval_id: args.approval_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.approvals().reject(request).await;
    args.remote.changed(answer, &request_id, "RejectResponse", |answer| {
        let after = format!("No call is allowed with it after entry {} of the custody log.\n", answer.log_index);
        rows(answer.approval.as_slice(), "") + &after
    })
}

fn rows(approvals: &[Approval], none: &str) -> String {
    let row = |approval: &Approval| {
        [
            printable(&approval.approval_id),
            state(approval),
            printable(&format!("{} on {}", approval.action, approval.tool_id)),
            or_dash(&approval.sponsor_id),
            time(approval.expire_time.as_ref()),
            or_dash(&approval.purpose),
        ]
    };
    let rows: Vec<_> = approvals.iter().map(row).collect();
    listed(["approval", "state", "call", "sponsor", "ends", "purpose"], &rows, none)
}

fn all_of(approval: &Approval) -> String {
    facts(&[
        fact("approval", printable(&approval.approval_id)),
        fact("state", state(approval)),
        fact("tool", printable(&approval.tool_id)),
        fact("action", printable(&approval.action)),
        fact("purpose", or_dash(&approval.purpose)),
        fact("arguments", or_dash(&approval.arguments)),
        fact("context", or_dash(&approval.context)),
        fact("hash of the arguments", or_dash(&hex::encode(&approval.request_hash))),
        fact("sponsor", or_dash(&approval.sponsor_id)),
        fact("run", or_dash(&approval.agent_instance_id)),
        fact("root of its chain", or_dash(&approval.root_instance_id)),
        fact("decision", or_dash(&approval.policy_decision_id)),
        fact("asked", time(approval.create_time.as_ref())),
        fact("ends", time(approval.expire_time.as_ref())),
        fact("answered by", or_dash(&approval.answered_by)),
        fact("answered", time(approval.answer_time.as_ref())),
        fact("they said", or_dash(&approval.reason)),
        fact("etag", or_dash(&approval.etag)),
    ])
}

fn state(approval: &Approval) -> String {
    let known = |state: ApprovalState| word(state.as_str_name(), "APPROVAL_STATE_");
    ApprovalState::try_from(approval.state).map_or_else(|_| approval.state.to_string(), known)
}
