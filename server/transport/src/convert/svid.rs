//! Conversion of SVIDs, JWT and X.509. An audience that is named twice is refused.

use std::{collections::HashSet, mem};

use countersign_app::{CsrKey, Error, JwtSvid, MintJwtSvid, MintX509Svid, X509Svid};
use countersign_core::spiffe::{MAX_AUDIENCES, SvidAudience};
use countersign_proto::v1;

use super::{
    credential::presented,
    idempotency::Idem,
    read,
    time::timestamp,
    violations::{Refused, Violations},
};

pub(crate) fn mint_jwt(mut request: v1::MintJwtSvidRequest) -> Result<(MintJwtSvid, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("MintJwtSvid", request_id, &request);
        let audience = audience(v, &request.audience);
        let ttl_seconds = v.any_seconds("ttl", request.ttl);
        let mint = MintJwtSvid { token: presented(request.token), audience: audience?, ttl_seconds: ttl_seconds? };
        Ok((mint, idem?))
    })
}

fn audience(v: &mut Violations, texts: &[String]) -> Result<Vec<SvidAudience>, Refused> {
    let audience: Vec<SvidAudience> = v.list("audience", texts, 1..=MAX_AUDIENCES)?;
    let mut seen = HashSet::new();
    for (nth, one) in audience.iter().enumerate() {
        if !seen.insert(one.as_str()) {
            v.refuse(&format!("audience[{nth}]"), "is named twice");
        }
    }
    Ok(audience)
}

pub(crate) fn minted_jwt(svid: JwtSvid) -> v1::MintJwtSvidResponse {
    v1::MintJwtSvidResponse {
        svid: svid.svid,
        spiffe_id: svid.spiffe_id.to_string(),
        svid_id: svid.svid_id.to_string(),
        expire_time: Some(timestamp(svid.expire_time)),
        log_index: svid.log_index,
    }
}

pub(crate) fn mint_x509(mut request: v1::MintX509SvidRequest) -> Result<(MintX509Svid, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("MintX509Svid", request_id, &request);
        let key = CsrKey::from_der(&request.csr).map_err(|wrong| v.refuse("csr", wrong));
        let ttl_seconds = v.any_seconds("ttl", request.ttl);
        Ok((MintX509Svid { token: presented(request.token), key: key?, ttl_seconds: ttl_seconds? }, idem?))
    })
}

pub(crate) fn minted_x509(svid: X509Svid) -> v1::MintX509SvidResponse {
    v1::MintX509SvidResponse {
        chain: svid.chain,
        bundle: svid.bundle,
        spiffe_id: svid.spiffe_id.to_string(),
        serial_number: svid.serial_number,
        expire_time: Some(timestamp(svid.expire_time)),
        log_index: svid.log_index,
    }
}
