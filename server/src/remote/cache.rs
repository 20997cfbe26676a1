//! `countersign cache extend | confirm | end | list`: lets caches keep an ALLOW longer during an incident.

use clap::{Args, Subcommand};
use countersign_client::v1::{
    CacheExtension, CacheExtensionState, ConfirmCacheExtensionRequest, EndCacheExtensionRequest,
    ListCacheExtensionsRequest, ListCacheExtensionsResponse, ProposeCacheExtensionRequest,
};
use prost_types::Duration;

use super::{
    ChangeArgs, RemoteArgs, RemoteError,
    args::{EtagArgs, LimitArgs},
    block_on,
    output::{json_list, listed, or_dash, print, printable, time, word},
    pages::{Page, pages},
};

/// What to do with how long an ALLOW may be cached.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Propose that caches which follow both streams keep an ALLOW longer for a while; a second person confirms it.
    /// Needs the role policy-admin.
    #[command(after_help = "Example: countersign cache extend --to 300 --for 1800 --reason 'the database is slow'")]
    Extend {
        /// For how long an ALLOW may be cached, in seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(31..=300))]
        to: i64,
        /// How long the extension lasts after its confirmation, in seconds.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(i64).range(60..=14_400))]
        life: i64,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Confirm an extension that another person proposed. Needs the role policy-admin or approver.
    #[command(after_help = "Example: countersign cache confirm cext_019ad0c4-... --reason 'seen in the channel'")]
    Confirm(ExtensionArgs),
    /// End an extension early, and with it the answers cached under it; or withdraw a proposal. Needs the role
    /// policy-admin or approver.
    #[command(after_help = "Example: countersign cache end cext_019ad0c4-... --reason 'it is fast again'")]
    End(ExtensionArgs),
    /// List extensions, newest first. Needs the role policy-admin, approver, gate or auditor.
    #[command(after_help = "Example: countersign cache list -o json")]
    List {
        #[command(flatten)]
        limit: LimitArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// One extension.
#[derive(Debug, Args)]
pub(crate) struct ExtensionArgs {
    /// The extension's id, as `cache list` shows it.
    #[arg(value_name = "EXTENSION")]
    cache_extension_id: String,
    #[command(flatten)]
    etag: EtagArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(crate) fn run(command: CacheCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            CacheCommand::Extend { to, life, change, remote } => extend(to, life, change, &remote).await,
            CacheCommand::Confirm(args) => confirm(args).await,
            CacheCommand::End(args) => end(args).await,
            CacheCommand::List { limit, remote } => list(limit, &remote).await,
        }
    })?)
}

async fn extend(to: i64, life: i64, change: ChangeArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let request_id = change.request_id();
    let span = |seconds| Some(Duration { seconds, nanos: 0 });
    let request = ProposeCacheExtensionRequest {
        extend_to: span(to),
        life: span(life),
        reason: change.reason,
        request_id: request_id.clone(),
    };
    let answer = remote.connect().await?.policies().propose_cache_extension(request).await;
    remote.changed(answer, &request_id, "ProposeCacheExtensionResponse", |answer| {
        let next = answer.cache_extension.iter().map(|extension| {
            let id = printable(&extension.cache_extension_id);
            format!(
                "It takes effect when a second person confirms it, within 15 minutes: countersign cache confirm {id} \
                 --reason ...\n"
            )
        });
        rows(answer.cache_extension.as_slice()) + &next.collect::<String>()
    })
}

async fn confirm(args: ExtensionArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = ConfirmCacheExtensionRequest {
        cache_extension_id: args.cache_extension_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.policies().confirm_cache_extension(request).await;
    args.remote
        .changed(answer, &request_id, "ConfirmCacheExtensionResponse", |answer| rows(answer.cache_extension.as_slice()))
}

async fn end(args: ExtensionArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = EndCacheExtensionRequest {
        cache_extension_id: args.cache_extension_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.policies().end_cache_extension(request).await;
    args.remote.changed(answer, &request_id, "EndCacheExtensionResponse", |answer| {
        let after =
            format!("Answers cached under it are not valid after entry {} of the custody log.\n", answer.log_index);
        rows(answer.cache_extension.as_slice()) + &after
    })
}

async fn list(limit: LimitArgs, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let connection = remote.connect().await?;
    let cache_extensions = pages(limit.limit, async |page_size, page_token| {
        let request = ListCacheExtensionsRequest { page_size, page_token };
        let page = connection.policies().list_cache_extensions(request).await;
        let page = page.map_err(|status| remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.cache_extensions, next_page_token: page.next_page_token })
    });
    let cache_extensions = cache_extensions.await?;
    if remote.json() {
        let all = ListCacheExtensionsResponse { cache_extensions, ..Default::default() };
        return json_list("ListCacheExtensionsResponse", &all);
    }
    Ok(rows(&cache_extensions))
}

fn rows(extensions: &[CacheExtension]) -> String {
    let row = |extension: &CacheExtension| {
        let state = CacheExtensionState::try_from(extension.state)
            .map_or_else(|_| extension.state.to_string(), |state| word(state.as_str_name(), "CACHE_EXTENSION_STATE_"));
        let seconds =
            |span: Option<&Duration>| span.map_or_else(|| "-".to_owned(), |span| format!("{} s", span.seconds));
        [
            printable(&extension.cache_extension_id),
            state,
            seconds(extension.extend_to.as_ref()),
            seconds(extension.life.as_ref()),
            time(extension.end_time.as_ref()),
            or_dash(&extension.proposed_by),
            or_dash(&extension.confirmed_by),
            printable(&extension.reason),
        ]
    };
    let rows: Vec<_> = extensions.iter().map(row).collect();
    let head = ["extension", "state", "to", "for", "ends", "proposed by", "confirmed by", "why"];
    listed(head, &rows, "There are no extensions.")
}
