//! `countersign kill-switch engage | release | list`: stops calls at a running server.

use clap::{Args, Subcommand};
use countersign_client::{
    Connection,
    v1::{
        EngageKillSwitchRequest, KillSwitch, KillSwitchScope, ListKillSwitchesRequest, ListKillSwitchesResponse,
        ReleaseKillSwitchRequest,
    },
};

use super::{
    ChangeArgs, RemoteArgs, RemoteError, block_on,
    output::{json_list, listed, print, printable, time},
};

/// Switches per page, the server's maximum.
const PAGE: i32 = 1000;

/// What to do with kill switches.
#[derive(Debug, Subcommand)]
pub(crate) enum KillSwitchCommand {
    /// Deny calls at once, on every server, whatever policy and rollout say. Needs the role policy-admin.
    #[command(after_help = "Example: countersign kill-switch engage --tool billing --reason 'refunds go astray'")]
    Engage {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Release one kill switch. Calls that another one stops too stay denied. Needs the role policy-admin.
    #[command(after_help = "Example: countersign kill-switch release ks_019ad0c4-... --reason 'the tool is fixed'")]
    Release {
        /// The kill switch's id, as `kill-switch list` shows it.
        kill_switch_id: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// List engaged kill switches, newest first. Needs the role policy-admin, gate or auditor.
    #[command(after_help = "Example: countersign kill-switch list -o json")]
    List(RemoteArgs),
}

/// What to stop.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct TargetArgs {
    /// Calls of this tool.
    #[arg(long, value_name = "ID")]
    tool: Option<String>,
    /// Calls of runs that act as this role.
    #[arg(long, value_name = "ID")]
    role: Option<String>,
    /// Calls of this kind of agent.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Calls of this sponsor's runs.
    #[arg(long, value_name = "ID")]
    sponsor: Option<String>,
    /// Every call.
    #[arg(long)]
    all: bool,
}

impl TargetArgs {
    fn scope_and_id(self) -> (KillSwitchScope, String) {
        let named = [
            (KillSwitchScope::Tool, self.tool),
            (KillSwitchScope::Role, self.role),
            (KillSwitchScope::Agent, self.agent),
            (KillSwitchScope::Sponsor, self.sponsor),
        ];
        let named = named.into_iter().find_map(|(scope, id)| Some((scope, id?)));
        named.unwrap_or_else(|| (KillSwitchScope::All, String::new()))
    }
}

/// Runs the command and prints the result.
pub(crate) fn run(command: KillSwitchCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            KillSwitchCommand::Engage { target, change, remote } => engage(target, change, &remote).await,
            KillSwitchCommand::Release { kill_switch_id, change, remote } => {
                release(kill_switch_id, change, &remote).await
            }
            KillSwitchCommand::List(remote) => list(&remote).await,
        }
    })?)
}

async fn engage(target: TargetArgs, change: ChangeArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let request_id = change.request_id();
    let (scope, id) = target.scope_and_id();
    let request =
        EngageKillSwitchRequest { scope: scope.into(), id, reason: change.reason, request_id: request_id.clone() };
    let answer = remote.connect().await?.policies().engage_kill_switch(request).await;
    remote.changed(answer, &request_id, "EngageKillSwitchResponse", |answer| {
        let since = format!("No call that it covers is allowed after entry {} of the custody log.\n", answer.log_index);
        rows(answer.kill_switch.as_slice()) + &since
    })
}

async fn release(kill_switch_id: String, change: ChangeArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let request_id = change.request_id();
    let request = ReleaseKillSwitchRequest { kill_switch_id, reason: change.reason, request_id: request_id.clone() };
    let connection = remote.connect().await?;
    let answer = connection.policies().release_kill_switch(request).await;
    remote.changed(answer, &request_id, "ReleaseKillSwitchResponse", |answer| {
        format!("Released from entry {} of the custody log on.\n", answer.log_index)
    })
}

async fn list(remote: &RemoteArgs) -> Result<String, RemoteError> {
    let kill_switches = every(&remote.connect().await?, remote).await?;
    if remote.json() {
        return json_list(
            "ListKillSwitchesResponse",
            &ListKillSwitchesResponse { kill_switches, ..Default::default() },
        );
    }
    Ok(rows(&kill_switches))
}

/// The switches of all pages.
async fn every(connection: &Connection, remote: &RemoteArgs) -> Result<Vec<KillSwitch>, RemoteError> {
    let mut request = ListKillSwitchesRequest { page_size: PAGE, ..Default::default() };
    let mut switches = Vec::new();
    loop {
        let page = connection.policies().list_kill_switches(request.clone()).await;
        let page = page.map_err(|status| remote.call_failed(&status))?.into_inner();
        // A page that makes no progress would repeat for ever.
        let further = !page.next_page_token.is_empty() && !page.kill_switches.is_empty();
        switches.extend(page.kill_switches);
        if !further {
            return Ok(switches);
        }
        request.page_token = page.next_page_token;
    }
}

fn rows(switches: &[KillSwitch]) -> String {
    let row = |switch: &KillSwitch| {
        let since = time(switch.engage_time.as_ref());
        [&switch.kill_switch_id, &stops(switch), &since, &switch.engaged_by, &switch.reason].map(|cell| printable(cell))
    };
    let rows: Vec<_> = switches.iter().map(row).collect();
    listed(["kill switch", "stops", "since", "by", "why"], &rows, "No kill switch is engaged.")
}

/// What a switch stops, in words; the number of its scope if this program does not know it.
fn stops(switch: &KillSwitch) -> String {
    match KillSwitchScope::try_from(switch.scope) {
        Ok(KillSwitchScope::All) => "everything".to_owned(),
        Ok(scope) => {
            let scope = scope.as_str_name().trim_start_matches("KILL_SWITCH_SCOPE_").to_ascii_lowercase();
            format!("{scope} {}", switch.id)
        }
        Err(_) => format!("{} {}", switch.scope, switch.id),
    }
}
