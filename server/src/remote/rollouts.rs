//! `countersign rollout show | list | advance | pause | resume | rollback`: moves callers from one policy version to
//! another. The salt is never printed.

mod words;

use clap::{Args, Subcommand};
use countersign_client::v1::{
    AdvanceRolloutRequest, AdvanceRolloutResponse, GetRolloutRequest, GetRolloutResponse, ListRolloutsRequest,
    ListRolloutsResponse, PauseRolloutRequest, PauseRolloutResponse, ResumeRolloutRequest, ResumeRolloutResponse,
    RollbackRolloutRequest, RollbackRolloutResponse, Rollout, RolloutState,
};

use self::words::{all_of, rows};
use super::{
    ChangeArgs, RemoteArgs, RemoteError,
    args::{EtagArgs, LimitArgs},
    block_on,
    output::{json, json_list, note, print},
    pages::{Page, pages},
};

/// What to do with rollouts.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutsCommand {
    /// Show one rollout, or the open one, with its gates and the calls on which its two sides differ. Needs the role
    /// gate, policy-admin, auditor or admin.
    #[command(after_help = "Example: countersign rollout show")]
    Show {
        /// The rollout's id, as `rollout list` shows it [default: the open one].
        #[arg(value_name = "ROLLOUT")]
        rollout_id: Option<String>,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// List rollouts, newest first. Needs the role gate, policy-admin, auditor or admin.
    #[command(after_help = "Example: countersign rollout list --candidate pv_4")]
    List(ListArgs),
    /// Enforce a rollout's candidate for more callers: the next step, or --percent; 100 completes the rollout. Needs
    /// the role policy-admin.
    #[command(after_help = "Example: countersign rollout advance roll_019ad0c4-... --reason 'a calm week'")]
    Advance(AdvanceArgs),
    /// Pause a rollout: its percentage stays as it is. Needs the role policy-admin.
    #[command(after_help = "Example: countersign rollout pause roll_019ad0c4-... --reason 'support sees refusals'")]
    Pause(OneArgs),
    /// Resume a paused rollout. Needs the role policy-admin.
    #[command(after_help = "Example: countersign rollout resume roll_019ad0c4-... --reason 'it was the tool'")]
    Resume(OneArgs),
    /// Roll a rollout back: from its commit on, the baseline is enforced for all callers, on every server. Needs the
    /// role policy-admin.
    #[command(after_help = "Example: countersign rollout rollback roll_019ad0c4-... --reason 'it refuses refunds'")]
    Rollback(OneArgs),
}

/// Which rollouts to show.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those to this policy version.
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    candidate: String,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// One rollout.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The rollout's id, as `rollout list` shows it.
    #[arg(value_name = "ROLLOUT")]
    rollout_id: String,
    #[command(flatten)]
    etag: EtagArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The new percentage.
#[derive(Debug, Args)]
pub(crate) struct AdvanceArgs {
    /// The new percentage, above the current one [default: the next step].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    percent: Option<i32>,
    /// Skip the minimum soak and gates that do not pass; the custody log records that, and names the gates.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    rollout: OneArgs,
}

/// Runs the command and prints the result.
pub(crate) fn run(command: RolloutsCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            RolloutsCommand::Show { rollout_id, remote } => show(rollout_id, &remote).await,
            RolloutsCommand::List(args) => list(&args).await,
            RolloutsCommand::Advance(args) => advance(args).await,
            RolloutsCommand::Pause(args) => pause(args).await,
            RolloutsCommand::Resume(args) => resume(args).await,
            RolloutsCommand::Rollback(args) => rollback(args).await,
        }
    })?)
}

async fn show(rollout_id: Option<String>, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let connection = remote.connect().await?;
    let rollout = match rollout_id {
        Some(rollout_id) => {
            let answer = connection.rollouts().get_rollout(GetRolloutRequest { rollout_id }).await;
            let answer = answer.map_err(|status| remote.call_failed(&status))?.into_inner();
            Some(answer.rollout.ok_or(RemoteError::Answer)?)
        }
        None => open(&connection, remote).await?,
    };
    if remote.json() {
        return json("GetRolloutResponse", &GetRolloutResponse { rollout: rollout.map(saltless) });
    }
    let Some(rollout) = rollout else {
        note("No rollout is open.");
        return Ok(String::new());
    };
    Ok(all_of(&rollout))
}

/// The open rollout, if there is one.
pub(crate) async fn open(
    connection: &countersign_client::Connection,
    remote: &RemoteArgs,
) -> Result<Option<Rollout>, RemoteError> {
    for state in [RolloutState::Running, RolloutState::Paused] {
        let request = ListRolloutsRequest { page_size: 1, state: state.into(), ..ListRolloutsRequest::default() };
        let page = connection.rollouts().list_rollouts(request).await.map_err(|status| remote.call_failed(&status))?;
        if let Some(rollout) = page.into_inner().rollouts.pop() {
            return Ok(Some(rollout));
        }
    }
    Ok(None)
}

async fn list(args: &ListArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let rollouts = pages(args.limit.limit, async |page_size, page_token| {
        let candidate = args.candidate.clone();
        let request = ListRolloutsRequest { page_size, page_token, candidate, ..ListRolloutsRequest::default() };
        let page = connection.rollouts().list_rollouts(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.rollouts, next_page_token: page.next_page_token })
    });
    let rollouts: Vec<_> = rollouts.await?.into_iter().map(saltless).collect();
    if args.remote.json() {
        return json_list("ListRolloutsResponse", &ListRolloutsResponse { rollouts, ..Default::default() });
    }
    Ok(rows(&rollouts))
}

async fn advance(args: AdvanceArgs) -> Result<String, RemoteError> {
    let AdvanceArgs { percent, force, rollout: args } = args;
    let request_id = args.change.request_id();
    let request = AdvanceRolloutRequest {
        rollout_id: args.rollout_id,
        percent: percent.unwrap_or_default(),
        reason: args.change.reason,
        force,
        etag: args.etag.etag,
        request_id: request_id.clone(),
    };
    let answer = args.remote.connect().await?.rollouts().advance_rollout(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let (rollout, log_index) = (saltless(answer.rollout.ok_or(RemoteError::Answer)?), answer.log_index);
    if args.remote.json() {
        return json("AdvanceRolloutResponse", &AdvanceRolloutResponse { rollout: Some(rollout), log_index });
    }
    Ok(changed(&rollout, log_index))
}

async fn pause(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = PauseRolloutRequest {
        rollout_id: args.rollout_id,
        reason: args.change.reason,
        etag: args.etag.etag,
        request_id: request_id.clone(),
    };
    let answer = args.remote.connect().await?.rollouts().pause_rollout(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let (rollout, log_index) = (saltless(answer.rollout.ok_or(RemoteError::Answer)?), answer.log_index);
    if args.remote.json() {
        return json("PauseRolloutResponse", &PauseRolloutResponse { rollout: Some(rollout), log_index });
    }
    Ok(changed(&rollout, log_index))
}

async fn resume(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = ResumeRolloutRequest {
        rollout_id: args.rollout_id,
        reason: args.change.reason,
        etag: args.etag.etag,
        request_id: request_id.clone(),
    };
    let answer = args.remote.connect().await?.rollouts().resume_rollout(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let (rollout, log_index) = (saltless(answer.rollout.ok_or(RemoteError::Answer)?), answer.log_index);
    if args.remote.json() {
        return json("ResumeRolloutResponse", &ResumeRolloutResponse { rollout: Some(rollout), log_index });
    }
    Ok(changed(&rollout, log_index))
}

async fn rollback(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = RollbackRolloutRequest {
        rollout_id: args.rollout_id,
        reason: args.change.reason,
        etag: args.etag.etag,
        request_id: request_id.clone(),
    };
    let answer = args.remote.connect().await?.rollouts().rollback_rollout(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let rollout = saltless(answer.rollout.clone().ok_or(RemoteError::Answer)?);
    if args.remote.json() {
        let shown = RollbackRolloutResponse { rollout: Some(rollout), ..answer };
        return json("RollbackRolloutResponse", &shown);
    }
    let loosens = if answer.new_allows > 0 {
        format!(
            "This loosens the policy: {} calls of the gates' window that the candidate denied are allowed again.\n",
            answer.new_allows
        )
    } else {
        String::new()
    };
    Ok(changed(&rollout, answer.log_index) + &loosens)
}

fn changed(rollout: &Rollout, log_index: i64) -> String {
    format!("{}This applies from entry {log_index} of the custody log on.\n", rows(std::slice::from_ref(rollout)))
}

/// A rollout without its salt: the caller may read it, but a build's log must not contain it.
fn saltless(rollout: Rollout) -> Rollout {
    Rollout { salt: Vec::new(), ..rollout }
}
