//! `sponsor update`: changes the terms, for a new approval.

use clap::Args;
use countersign_client::v1::UpdateSponsorRequest;
use prost_types::{Duration, FieldMask};

use super::{args::OneArgs, terms::rows};
use crate::{
    arguments::{Label, label, seconds},
    remote::RemoteError,
};

/// The sponsor to change, and the new values. A value that is not named stays unchanged.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The person's name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The person's e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A role that their runs may act as; repeat for more. Roles that are not given are removed.
    #[arg(long = "role", value_name = "ID")]
    roles: Vec<String>,
    /// The person, as logins are bound to persons.
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// Longest credential of their runs, in seconds, 1 to 900.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_ttl: Option<i64>,
    /// Deepest delegation below a run, 0 to 8.
    #[arg(long, value_name = "N")]
    max_depth: Option<i32>,
    /// A label, NAME=VALUE; repeat for more. Labels that are not given are removed.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<Label>,
    /// Remove all labels.
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
    #[command(flatten)]
    sponsor: OneArgs,
}

pub(super) async fn update(args: UpdateArgs) -> Result<String, RemoteError> {
    let named = [
        ("display_name", args.name.is_some()),
        ("email", args.email.is_some()),
        ("roles", !args.roles.is_empty()),
        ("person_id", args.person.is_some()),
        ("max_ttl", args.max_ttl.is_some()),
        ("max_depth", args.max_depth.is_some()),
        ("labels", args.no_labels || !args.labels.is_empty()),
    ];
    let paths: Vec<_> = named.into_iter().filter(|(_, named)| *named).map(|(field, _)| field.to_owned()).collect();
    if paths.is_empty() {
        return Err(RemoteError::NothingToChange);
    }
    let OneArgs { sponsor_id, etag, change, remote } = args.sponsor;
    let request_id = change.request_id();
    let request = UpdateSponsorRequest {
        sponsor_id,
        display_name: args.name.unwrap_or_default(),
        email: args.email.unwrap_or_default(),
        roles: args.roles,
        max_ttl: args.max_ttl.map(|seconds| Duration { seconds, nanos: 0 }),
        max_depth: args.max_depth,
        labels: args.labels.into_iter().map(|label| (label.name, label.value)).collect(),
        update_mask: Some(FieldMask { paths }),
        reason: change.reason,
        etag: etag.etag,
        request_id: request_id.clone(),
        person_id: args.person.unwrap_or_default(),
    };
    let answer = remote.connect().await?.sponsors().update_sponsor(request).await;
    remote.changed(answer, &request_id, "UpdateSponsorResponse", |answer| {
        let stopped = if answer.log_index == 0 {
            String::new()
        } else {
            format!(
                "None of their runs' calls is allowed after entry {} of the custody log, until the new terms are \
             approved. Live runs that were stopped: {}.\n",
                answer.log_index, answer.revoked_instance_count
            )
        };
        rows(answer.sponsor.as_slice()) + &stopped
    })
}
