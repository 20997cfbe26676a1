//! Conversion of signing keys, and the longest kid that is looked up (`MAX_KID`).

use std::mem;

use countersign_app::{Error, MarkKeyCompromised};
use countersign_core::{credential::KeyStanding, signing_key::SigningKeyRecord, text::MAX_TEXT};
use countersign_proto::v1;

use super::{enums::WireEnum, idempotency::Idem, page::Paging, read, time::timestamp};

/// Longest kid that is looked up, in characters; a thumbprint has 43.
const MAX_KID: usize = 64;

pub(crate) fn list(mut request: v1::ListSigningKeysRequest) -> Result<(Option<KeyStanding>, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListSigningKeys", size, &token, &request);
        let state = v.optional_enum("state", request.state);
        Ok((state?, paging?))
    })
}

pub(crate) fn rotate(mut request: v1::RotateSigningKeyRequest) -> Result<(String, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RotateSigningKey", request_id, &request);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        Ok((reason?, idem?))
    })
}

pub(crate) fn compromise(mut request: v1::MarkKeyCompromisedRequest) -> Result<(MarkKeyCompromised, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("MarkKeyCompromised", request_id, &request);
        let kid = v.token("kid", request.kid, MAX_KID);
        let kid = v.present("kid", kid);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((MarkKeyCompromised { kid: kid?, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn key(record: SigningKeyRecord) -> v1::SigningKey {
    v1::SigningKey {
        etag: record.etag().to_owned(),
        kid: record.kid,
        state: record.state.to_wire(),
        public_jwk: record.public_jwk,
        create_time: Some(timestamp(record.create_time)),
        activate_time: record.activate_time.map(timestamp),
        retire_time: record.retire_time.map(timestamp),
    }
}
