//! `sponsor register`: registers a person as a sponsor.

use clap::Args;
use countersign_client::v1::RegisterSponsorRequest;
use prost_types::Duration;

use super::terms::rows;
use crate::{
    arguments::{Label, label, seconds},
    remote::{
        RemoteArgs, RemoteError,
        args::RequestIdArgs,
        output::{json, printable},
    },
};

/// The person to register, and the terms.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The sponsor's id, which you choose.
    #[arg(value_name = "SPONSOR")]
    sponsor_id: String,
    /// The person's name.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// The person's e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// A role that their runs may act as; repeat for more.
    #[arg(long = "role", value_name = "ID", required = true)]
    roles: Vec<String>,
    /// The person, as logins are bound to persons [default: no login is the sponsor's, whatever it is called].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    person: String,
    /// Longest credential of their runs, in seconds, 1 to 900 [default: 900].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_ttl: Option<i64>,
    /// Deepest delegation below a run, 0 to 8 [default: 3].
    #[arg(long, value_name = "N")]
    max_depth: Option<i32>,
    /// A label, NAME=VALUE; repeat for more.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<Label>,
    #[command(flatten)]
    repeat: RequestIdArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn register(args: RegisterArgs) -> Result<String, RemoteError> {
    let request_id = args.repeat.request_id();
    let request = RegisterSponsorRequest {
        sponsor_id: args.sponsor_id,
        display_name: args.name,
        email: args.email,
        roles: args.roles,
        max_ttl: args.max_ttl.map(|seconds| Duration { seconds, nanos: 0 }),
        max_depth: args.max_depth,
        labels: args.labels.into_iter().map(|label| (label.name, label.value)).collect(),
        request_id: request_id.clone(),
        person_id: args.person,
    };
    let answer = args.remote.connect().await?.sponsors().register_sponsor(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    if args.remote.json() {
        return json("RegisterSponsorResponse", &answer);
    }
    let sponsor = answer.sponsor.ok_or(RemoteError::Answer)?;
    let id = printable(&sponsor.sponsor_id);
    Ok(format!(
        "{}Another person, with the role approver, checks the terms and approves them: countersign sponsor approve \
         {id} --reason ...\n",
        rows(std::slice::from_ref(&sponsor))
    ))
}
