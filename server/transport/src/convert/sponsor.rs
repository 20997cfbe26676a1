//! Sponsors.

use std::mem;

use countersign_app::{Error, RegisterSponsor, SponsorFilter, TransitionSponsor};
use countersign_core::{
    grant::HARD_MAX_TTL,
    names::{RoleName, SponsorId},
    sponsor::{MAX_DEPTH_CEILING, Sponsor, Transition},
    text::{MAX_DISPLAY, MAX_TEXT, check_email},
};
use countersign_proto::v1;

use super::{
    idempotency::Idem,
    narrow,
    page::Paging,
    read, texts,
    time::{seconds, timestamp},
    words::Word,
};

/// Most roles of one sponsor.
const MAX_ROLES: usize = 32;

pub(crate) fn register(mut request: v1::RegisterSponsorRequest) -> Result<(RegisterSponsor, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RegisterSponsor", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let display_name = v.text("display_name", request.display_name, MAX_DISPLAY);
        v.checked(check_email("email", &request.email));
        let roles = v.list("roles", &request.roles, 1..=MAX_ROLES);
        let max_ttl_seconds = v.seconds("max_ttl", request.max_ttl, 1..=HARD_MAX_TTL.into());
        let max_depth = request.max_depth.map(|depth| v.number("max_depth", depth, 0..=MAX_DEPTH_CEILING.into()));
        let labels = v.labels(request.labels);
        let register = RegisterSponsor {
            sponsor_id: sponsor_id?,
            display_name: display_name?,
            email: request.email,
            roles: roles?,
            max_ttl_seconds: max_ttl_seconds?,
            max_depth: max_depth.flatten(),
            labels: labels?,
        };
        Some((register, idem?))
    })
}

/// The requests of the transitions differ in their names alone.
macro_rules! transitions {
    ($($reader:ident($request:ident) = $transition:ident, $method:literal;)+) => {$(
        pub(crate) fn $reader(mut request: v1::$request) -> Result<(TransitionSponsor, Idem), Error> {
            let request_id = mem::take(&mut request.request_id);
            read(|v| {
                let idem = v.idempotency($method, request_id, &request);
                let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
                let reason = v.text("reason", request.reason, MAX_TEXT);
                let etag = v.etag(request.etag);
                let transition = TransitionSponsor {
                    sponsor_id: sponsor_id?,
                    transition: Transition::$transition,
                    reason: reason?,
                    etag: etag?,
                };
                Some((transition, idem?))
            })
        }
    )+};
}

transitions! {
    approve(ApproveSponsorRequest) = Approve, "ApproveSponsor";
    reject(RejectSponsorRequest) = Reject, "RejectSponsor";
    suspend(SuspendSponsorRequest) = Suspend, "SuspendSponsor";
    reinstate(ReinstateSponsorRequest) = Reinstate, "ReinstateSponsor";
    revoke(RevokeSponsorRequest) = Revoke, "RevokeSponsor";
}

pub(crate) fn get(request: &v1::GetSponsorRequest) -> Result<SponsorId, Error> {
    read(|v| v.required("sponsor_id", &request.sponsor_id))
}

pub(crate) fn list(mut request: v1::ListSponsorsRequest) -> Result<(SponsorFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListSponsors", size, &token, &request);
        let state = v.optional_word("state", request.state);
        let role = v.optional::<RoleName>("role", &request.role);
        let review_due_before = v.instant("review_due_before", request.review_due_before);
        Some((
            SponsorFilter { state: state?, role: role?.map(String::from), review_due_before: review_due_before? },
            paging?,
        ))
    })
}

pub(crate) fn sponsor(sponsor: Sponsor) -> v1::Sponsor {
    v1::Sponsor {
        etag: sponsor.etag(),
        sponsor_id: sponsor.sponsor_id.to_string(),
        display_name: sponsor.display_name,
        email: sponsor.email,
        roles: texts(sponsor.roles),
        max_ttl: Some(seconds(sponsor.max_ttl_seconds)),
        max_depth: narrow(sponsor.max_depth),
        state: sponsor.state.to_wire(),
        review_due_at: sponsor.review_due_at.map(timestamp),
        create_time: Some(timestamp(sponsor.create_time)),
        approve_time: sponsor.approve_time.map(timestamp),
        revoke_time: sponsor.revoke_time.map(timestamp),
        labels: sponsor.labels,
    }
}
