//! Conversion of sponsors: the most roles (`MAX_ROLES`), the etag that ApproveSponsor requires, and the fields that
//! UpdateSponsor can set (`update_mask`).

use std::mem;

use countersign_app::{Error, RegisterSponsor, SponsorFilter, TransitionSponsor, UpdateSponsor};
use countersign_core::{
    grant::HARD_MAX_TTL,
    names::{RoleName, SponsorId},
    sponsor::{MAX_DEPTH_CEILING, Sponsor, SponsorChange, Transition},
    text::{MAX_DISPLAY, MAX_TEXT, check_email},
};
use countersign_proto::v1;

use super::{
    enums::{WireEnum, wire},
    idempotency::Idem,
    narrow,
    page::Paging,
    read, texts,
    time::{seconds, timestamp},
    violations::{Refused, Violations},
};

/// Most roles of one sponsor.
const MAX_ROLES: usize = 32;

pub(crate) fn register(mut request: v1::RegisterSponsorRequest) -> Result<(RegisterSponsor, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RegisterSponsor", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let display_name = v.text("display_name", request.display_name, MAX_DISPLAY);
        let email = v.checked(check_email("email", &request.email)).map(|()| request.email);
        let roles = v.list("roles", &request.roles, 1..=MAX_ROLES);
        let max_ttl_seconds = v.seconds("max_ttl", request.max_ttl, 1..=HARD_MAX_TTL.into());
        let max_depth = request.max_depth.map(|depth| v.number("max_depth", depth, 0..=MAX_DEPTH_CEILING.into()));
        let labels = v.labels(request.labels);
        let person_id = v.optional("person_id", &request.person_id);
        let register = RegisterSponsor {
            sponsor_id: sponsor_id?,
            display_name: display_name?,
            email: email?,
            person_id: person_id?,
            roles: roles?,
            max_ttl_seconds: max_ttl_seconds?,
            max_depth: max_depth.transpose()?,
            labels: labels?,
        };
        Ok((register, idem?))
    })
}

/// The requests for the state transitions differ only in their names.
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
                    review_due_at: None,
                };
                Ok((transition, idem?))
            })
        }
    )+};
}

pub(crate) fn approve(mut request: v1::ApproveSponsorRequest) -> Result<(TransitionSponsor, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ApproveSponsor", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        if request.etag.is_empty() {
            v.refuse("etag", "must be the etag that GetSponsor shows: what is approved are the terms that were seen");
        }
        let etag = v.etag(request.etag);
        let (transition, review_due_at) = (Transition::Approve, None);
        let approve =
            TransitionSponsor { sponsor_id: sponsor_id?, transition, reason: reason?, etag: etag?, review_due_at };
        Ok((approve, idem?))
    })
}

transitions! {
    reject(RejectSponsorRequest) = Reject, "RejectSponsor";
    suspend(SuspendSponsorRequest) = Suspend, "SuspendSponsor";
    reinstate(ReinstateSponsorRequest) = Reinstate, "ReinstateSponsor";
    depart(DepartSponsorRequest) = Depart, "DepartSponsor";
    revoke(RevokeSponsorRequest) = Revoke, "RevokeSponsor";
}

pub(crate) fn recertify(mut request: v1::RecertifySponsorRequest) -> Result<(TransitionSponsor, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RecertifySponsor", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let review_due_at = v.instant("review_due_at", request.review_due_at);
        let transition = TransitionSponsor {
            sponsor_id: sponsor_id?,
            transition: Transition::Recertify,
            reason: reason?,
            etag: etag?,
            review_due_at: review_due_at?,
        };
        Ok((transition, idem?))
    })
}

/// The fields that UpdateSponsor can set.
const SETTABLE: [&str; 7] = ["display_name", "email", "roles", "max_ttl", "max_depth", "labels", "person_id"];

pub(crate) fn update(mut request: v1::UpdateSponsorRequest) -> Result<(UpdateSponsor, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("UpdateSponsor", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let reason = v.text("reason", mem::take(&mut request.reason), MAX_TEXT);
        let etag = v.etag(mem::take(&mut request.etag));
        let change = change(v, request);
        let update = UpdateSponsor { sponsor_id: sponsor_id?, change: change?, reason: reason?, etag: etag? };
        Ok((update, idem?))
    })
}

/// The fields in the mask, or without a mask, the fields that are not empty.
fn change(v: &mut Violations, request: v1::UpdateSponsorRequest) -> Result<SponsorChange, Refused> {
    let mask = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    for path in mask.iter().filter(|path| *path != "*" && !SETTABLE.contains(&path.as_str())) {
        // The text that was sent is not repeated, because it may be of any length.
        v.refuse(
            "update_mask",
            format!("names a field of {} bytes that is not one of {}", path.len(), SETTABLE.join(", ")),
        );
    }
    let sets = |field: &str, filled: bool| match mask {
        [] => filled,
        paths => paths.iter().any(|path| path == "*" || path == field),
    };
    let display_name = sets("display_name", !request.display_name.is_empty())
        .then(|| v.text("display_name", request.display_name, MAX_DISPLAY));
    let email = sets("email", !request.email.is_empty())
        .then(|| v.checked(check_email("email", &request.email)).map(|()| request.email));
    let roles = sets("roles", !request.roles.is_empty()).then(|| v.list("roles", &request.roles, 1..=MAX_ROLES));
    let max_ttl_seconds = sets("max_ttl", request.max_ttl.is_some())
        .then(|| v.seconds("max_ttl", Some(request.max_ttl.unwrap_or_default()), 1..=HARD_MAX_TTL.into()));
    let max_depth = sets("max_depth", request.max_depth.is_some())
        .then(|| v.number("max_depth", request.max_depth.unwrap_or(-1), 0..=MAX_DEPTH_CEILING.into()));
    let labels = sets("labels", !request.labels.is_empty()).then(|| v.labels(request.labels));
    let person_id =
        sets("person_id", !request.person_id.is_empty()).then(|| v.required("person_id", &request.person_id));
    let change = SponsorChange {
        person_id: person_id.transpose()?,
        display_name: display_name.transpose()?,
        email: email.transpose()?,
        roles: roles.transpose()?,
        max_ttl_seconds: max_ttl_seconds.transpose()?.flatten(),
        max_depth: max_depth.transpose()?,
        labels: labels.transpose()?,
    };
    if change == SponsorChange::default() {
        v.refuse("update_mask", format!("sets no field: name at least one of {}", SETTABLE.join(", ")));
    }
    Ok(change)
}

pub(crate) fn get(request: &v1::GetSponsorRequest) -> Result<SponsorId, Error> {
    read(|v| v.required("sponsor_id", &request.sponsor_id))
}

pub(crate) fn list(mut request: v1::ListSponsorsRequest) -> Result<(SponsorFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListSponsors", size, &token, &request);
        let state = v.optional_enum("state", request.state);
        let role = v.optional::<RoleName>("role", &request.role);
        let review_due_before = v.instant("review_due_before", request.review_due_before);
        Ok((SponsorFilter { state: state?, role: role?, review_due_before: review_due_before? }, paging?))
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
        suspend_cause: wire(sponsor.suspend_cause),
        depart_time: sponsor.departure.map(|departure| timestamp(departure.time)),
        person_id: sponsor.person_id.map_or_else(String::new, String::from),
        person_confirmed: sponsor.person_confirmed,
        labels: sponsor.labels,
    }
}
