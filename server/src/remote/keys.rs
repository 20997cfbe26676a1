//! `countersign key list | rotate | compromise`: the signing keys of a running server.

use clap::Subcommand;
use countersign_client::{
    Connection,
    v1::{
        ListSigningKeysRequest, ListSigningKeysResponse, MarkKeyCompromisedRequest, RotateSigningKeyRequest,
        SigningKey, SigningKeyState,
    },
};

use super::{
    ChangeArgs, RemoteArgs, RemoteError, block_on,
    output::{json_list, listed, print, printable, time},
};

/// Keys per page, the server's maximum.
const PAGE: i32 = 1000;

/// What to do with the signing keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the signing keys of a running server, newest first. Needs the role admin or auditor.
    #[command(after_help = "Example: countersign key list -o json")]
    List(RemoteArgs),
    /// Activate the next signing key, and retire the active one. Needs the role admin.
    #[command(after_help = "Example: countersign key rotate --reason 'before the audit'")]
    Rotate {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Mark a signing key as compromised: every token that it signed becomes invalid, permanently. Needs the role
    /// admin.
    #[command(after_help = "Example: countersign key compromise WvUq... --reason 'a copy of it was found'")]
    Compromise {
        /// The key's id, as `key list` and the headers of its tokens show it.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Runs the command and prints the result.
pub(crate) fn run(command: KeysCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            KeysCommand::List(remote) => list(&remote).await,
            KeysCommand::Rotate { change, remote } => rotate(change, &remote).await,
            KeysCommand::Compromise { kid, change, remote } => compromise(kid, change, &remote).await,
        }
    })?)
}

async fn list(remote: &RemoteArgs) -> Result<String, RemoteError> {
    let all = ListSigningKeysResponse { keys: every(&remote.connect().await?, remote).await?, ..Default::default() };
    if remote.json() { json_list("ListSigningKeysResponse", &all) } else { Ok(rows(&all.keys)) }
}

/// The keys of all pages.
async fn every(connection: &Connection, remote: &RemoteArgs) -> Result<Vec<SigningKey>, RemoteError> {
    let mut request = ListSigningKeysRequest { page_size: PAGE, ..Default::default() };
    let mut keys = Vec::new();
    loop {
        let page = connection.signing_keys().list_signing_keys(request.clone()).await;
        let page = page.map_err(|status| remote.call_failed(&status))?.into_inner();
        // A page that makes no progress would repeat for ever.
        let further = !page.next_page_token.is_empty() && !page.keys.is_empty();
        keys.extend(page.keys);
        if !further {
            return Ok(keys);
        }
        request.page_token = page.next_page_token;
    }
}

async fn rotate(change: ChangeArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let request_id = change.request_id();
    let request = RotateSigningKeyRequest { reason: change.reason, request_id: request_id.clone() };
    let answer = remote.connect().await?.signing_keys().rotate_signing_key(request).await;
    remote.changed(answer, &request_id, "RotateSigningKeyResponse", |answer| rows(answer.key.as_slice()))
}

async fn compromise(kid: String, change: ChangeArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let request_id = change.request_id();
    let request = MarkKeyCompromisedRequest {
        kid,
        reason: change.reason,
        request_id: request_id.clone(),
        ..MarkKeyCompromisedRequest::default()
    };
    let answer = remote.connect().await?.signing_keys().mark_key_compromised(request).await;
    remote.changed(answer, &request_id, "MarkKeyCompromisedResponse", |answer| {
        let since =
            format!("No token that it signed is accepted after entry {} of the custody log.\n", answer.log_index);
        rows(answer.key.as_slice()) + &since
    })
}

fn rows(keys: &[SigningKey]) -> String {
    let row = |key: &SigningKey| {
        let [created, active, retired] = [&key.create_time, &key.activate_time, &key.retire_time];
        [printable(&key.kid), state(key), time(created.as_ref()), time(active.as_ref()), time(retired.as_ref())]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    listed(["kid", "state", "created", "active since", "retired"], &rows, "There is no signing key.")
}

/// The state of a key as a word; its number if this program does not know it.
fn state(key: &SigningKey) -> String {
    SigningKeyState::try_from(key.state).map_or_else(
        |_| key.state.to_string(),
        |state| state.as_str_name().trim_start_matches("SIGNING_KEY_STATE_").to_owned(),
    )
}
