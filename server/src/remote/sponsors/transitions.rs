//! `sponsor reject | suspend | reinstate | recertify | revoke | depart`: moves a sponsor from one state to the next.

use clap::Args;
use countersign_client::v1::{
    DepartSponsorRequest, RecertifySponsorRequest, ReinstateSponsorRequest, RejectSponsorRequest, RevokeSponsorRequest,
    Sponsor, SuspendSponsorRequest,
};
use prost::Message;
use prost_types::Timestamp;

use super::{args::OneArgs, terms::rows};
use crate::{
    arguments::instant,
    remote::{RemoteArgs, RemoteError, output::json},
};

/// The sponsor whose review is renewed.
#[derive(Debug, Args)]
pub(crate) struct RecertifyArgs {
    /// When the next review is due, RFC 3339 [default: in 90 days; at most in 400].
    #[arg(long, value_name = "TIME", value_parser = instant)]
    due: Option<Timestamp>,
    #[command(flatten)]
    sponsor: OneArgs,
}

/// Makes one transition: the request with the fields that all of them have, and the text about the answer.
macro_rules! transition {
    ($args:expr, $method:ident, $name:literal, $request:ident $({ $($field:ident: $value:expr),* })?, |$answer:ident| $said:expr) => {{
        let OneArgs { sponsor_id, etag, change, remote } = $args;
        let request_id = change.request_id();
        let request = $request {
            sponsor_id,
            reason: change.reason,
            etag: etag.etag,
            request_id: request_id.clone(),
            $($($field: $value,)*)?
        };
        let answer = remote.connect().await?.sponsors().$method(request).await;
        let $answer = answer.map_err(|status| remote.change_failed(&status, &request_id))?.into_inner();
        let said: String = $said;
        changed(&remote, $name, &$answer, $answer.sponsor.as_ref(), &said)
    }};
}

pub(super) async fn reject(args: OneArgs) -> Result<String, RemoteError> {
    transition!(args, reject_sponsor, "RejectSponsorResponse", RejectSponsorRequest, |_answer| String::new())
}

pub(super) async fn suspend(args: OneArgs) -> Result<String, RemoteError> {
    transition!(args, suspend_sponsor, "SuspendSponsorResponse", SuspendSponsorRequest, |answer| stopped(
        answer.log_index
    ))
}

pub(super) async fn reinstate(args: OneArgs) -> Result<String, RemoteError> {
    transition!(args, reinstate_sponsor, "ReinstateSponsorResponse", ReinstateSponsorRequest, |_answer| {
        "Earlier credentials stay invalid: runs need new ones.\n".to_owned()
    })
}

pub(super) async fn recertify(args: RecertifyArgs) -> Result<String, RemoteError> {
    let due = args.due;
    transition!(
        args.sponsor,
        recertify_sponsor,
        "RecertifySponsorResponse",
        RecertifySponsorRequest { review_due_at: due },
        |_answer| String::new()
    )
}

pub(super) async fn revoke(args: OneArgs) -> Result<String, RemoteError> {
    transition!(args, revoke_sponsor, "RevokeSponsorResponse", RevokeSponsorRequest, |answer| {
        format!("{}Live runs that were stopped: {}.\n", stopped(answer.log_index), answer.revoked_instance_count)
    })
}

pub(super) async fn depart(args: OneArgs) -> Result<String, RemoteError> {
    transition!(args, depart_sponsor, "DepartSponsorResponse", DepartSponsorRequest, |answer| {
        format!(
            "{}Live runs that wait for another sponsor, and are revoked after 14 days otherwise: {}.\n",
            stopped(answer.log_index),
            answer.orphaned_instance_count
        )
    })
}

fn stopped(log_index: i64) -> String {
    format!("None of their runs' calls is allowed after entry {log_index} of the custody log.\n")
}

fn changed(
    remote: &RemoteArgs,
    name: &str,
    answer: &impl Message,
    sponsor: Option<&Sponsor>,
    said: &str,
) -> Result<String, RemoteError> {
    let sponsor = sponsor.ok_or(RemoteError::Answer)?;
    if remote.json() { json(name, answer) } else { Ok(rows(std::slice::from_ref(sponsor)) + said) }
}
