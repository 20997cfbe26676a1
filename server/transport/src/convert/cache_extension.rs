//! Conversion of cache extensions.

use std::mem;

use countersign_app::{CacheExtensionStep, ChangeCacheExtension, Error, ProposeCacheExtension};
use countersign_core::{
    cache_extension::{CacheExtension, CacheExtensionState, DEFAULT_LIFE, LIVES, LONGEST_TTL},
    decision::CACHE_TTL,
    text::MAX_TEXT,
};
use countersign_proto::v1;

use super::{
    enums::WireEnum,
    idempotency::Idem,
    page::Paging,
    read,
    time::{seconds, timestamp},
};

pub(crate) fn propose(mut request: v1::ProposeCacheExtensionRequest) -> Result<(ProposeCacheExtension, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ProposeCacheExtension", request_id, &request);
        let extend_to = v.seconds("extend_to", request.extend_to, i64::from(CACHE_TTL) + 1..=i64::from(LONGEST_TTL));
        let extend_to = v.present("extend_to", extend_to);
        let (shortest, longest) = LIVES;
        let life = v.seconds("life", request.life, shortest.whole_seconds()..=longest.whole_seconds());
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let propose = ProposeCacheExtension {
            extend_to_seconds: extend_to?,
            life_seconds: life?.unwrap_or_else(|| u32::try_from(DEFAULT_LIFE.whole_seconds()).unwrap_or(u32::MAX)),
            reason: reason?,
        };
        Ok((propose, idem?))
    })
}

/// The requests for both changes of an extension are alike.
macro_rules! steps {
    ($($reader:ident($request:ident) = $step:ident, $method:literal;)+) => {$(
        pub(crate) fn $reader(mut request: v1::$request) -> Result<(ChangeCacheExtension, Idem), Error> {
            let request_id = mem::take(&mut request.request_id);
            read(|v| {
                let idem = v.idempotency($method, request_id, &request);
                let cache_extension_id = v.required("cache_extension_id", &request.cache_extension_id);
                let reason = v.text("reason", request.reason, MAX_TEXT);
                let etag = v.etag(request.etag);
                let change = ChangeCacheExtension {
                    cache_extension_id: cache_extension_id?,
                    step: CacheExtensionStep::$step,
                    reason: reason?,
                    etag: etag?,
                };
                Ok((change, idem?))
            })
        }
    )+};
}

steps! {
    confirm(ConfirmCacheExtensionRequest) = Confirm, "ConfirmCacheExtension";
    end(EndCacheExtensionRequest) = End, "EndCacheExtension";
}

pub(crate) fn list(mut request: v1::ListCacheExtensionsRequest) -> Result<Paging, Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| v.paging("ListCacheExtensions", size, &token, &request))
}

pub(crate) fn extension(extension: CacheExtension, state: CacheExtensionState) -> v1::CacheExtension {
    v1::CacheExtension {
        etag: extension.etag(),
        cache_extension_id: extension.cache_extension_id.to_string(),
        state: state.to_wire(),
        extend_to: Some(seconds(extension.extend_to_seconds)),
        life: Some(seconds(extension.life_seconds)),
        reason: extension.reason,
        proposed_by: extension.proposed_by.to_string(),
        propose_time: Some(timestamp(extension.propose_time)),
        confirmed_by: extension.confirmed_by.map_or_else(String::new, String::from),
        end_time: extension.end_time.map(timestamp),
        stop_time: extension.stop_time.map(timestamp),
    }
}
