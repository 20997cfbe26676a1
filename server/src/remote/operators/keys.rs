//! `operator keys | confirm-key | revoke-key`: API keys, without their secrets.

use clap::Args;
use countersign_client::v1::{
    ApiKey, ConfirmApiKeyRequest, ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest,
};

use super::args::KeysArgs;
use crate::remote::{
    ChangeArgs, RemoteArgs, RemoteError,
    args::EtagArgs,
    output::{joined, json_list, listed, or_dash, printable, time},
    pages::{Page, pages},
};

/// One key.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The key's id, as `operator keys` shows it.
    #[arg(value_name = "KEY")]
    key_id: String,
    #[command(flatten)]
    etag: EtagArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn list(args: &KeysArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let api_keys = pages(args.limit.limit, async |page_size, page_token| {
        let operator_id = args.operator_id.clone();
        let request = ListApiKeysRequest { page_size, page_token, operator_id, include_dead: args.dead };
        let page = connection.operators().list_api_keys(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.api_keys, next_page_token: page.next_page_token })
    });
    let api_keys = api_keys.await?;
    if args.remote.json() {
        return json_list("ListApiKeysResponse", &ListApiKeysResponse { api_keys, ..Default::default() });
    }
    Ok(rows(&api_keys))
}

pub(super) async fn confirm(args: KeyArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = ConfirmApiKeyRequest {
        key_id: args.key_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().confirm_api_key(request).await;
    args.remote.changed(answer, &request_id, "ConfirmApiKeyResponse", |answer| rows(answer.api_key.as_slice()))
}

pub(super) async fn revoke(args: KeyArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = RevokeApiKeyRequest {
        key_id: args.key_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().revoke_api_key(request).await;
    args.remote.changed(answer, &request_id, "RevokeApiKeyResponse", |answer| {
        let after = format!("The key is revoked: it is refused after entry {} of the custody log.\n", answer.log_index);
        rows(answer.api_key.as_slice()) + &after
    })
}

pub(super) fn rows(keys: &[ApiKey]) -> String {
    let row = |key: &ApiKey| {
        let standing = match (&key.revoke_time, key.confirmed) {
            (at @ Some(_), _) => format!("revoked at {}", time(at.as_ref())),
            (None, true) => "in use".to_owned(),
            (None, false) => "waits for a second person".to_owned(),
        };
        [
            printable(&key.key_id),
            printable(&key.operator_id),
            joined(&key.roles),
            joined(&[key.tools.as_slice(), &key.sponsors].concat()),
            standing,
            time(key.expire_time.as_ref()),
            or_dash(&key.made_by),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    listed(["key", "operator", "roles", "only for", "standing", "ends", "made by"], &rows, "There is no such key.")
}
