//! `countersign person bind | confirm | list`: the persons of a running server's logins.

use clap::{Args, Subcommand};
use countersign_client::v1::{
    BindPersonRequest, ConfirmPersonRequest, ListPersonBindingsRequest, ListPersonBindingsResponse, PersonBinding,
};

use super::{
    ChangeArgs, RemoteArgs, RemoteError,
    args::{EtagArgs, LimitArgs},
    block_on,
    output::{json_list, listed, or_dash, print, printable, time},
    pages::{Page, pages},
};

/// What to do with persons.
#[derive(Debug, Subcommand)]
pub(crate) enum PersonsCommand {
    /// Bind a login of any kind to a person; a second person then confirms it. Needs the role admin, and an admin who is
    /// not that person.
    #[command(
        after_help = "Example: countersign person bind oidc.corp.ben --person ben --reason 'his login of the company'"
    )]
    Bind(PersonArgs),
    /// Confirm whose login an operator id is. Needs the role admin or approver, a login that is confirmed itself, and not
    /// the person who made the binding.
    #[command(
        after_help = "Example: countersign person confirm oidc.corp.ben --person ben --reason 'seen at his desk'"
    )]
    Confirm(PersonArgs),
    /// List logins with their persons, by login. Needs the role admin, approver or auditor.
    #[command(after_help = "Example: countersign person list --unconfirmed")]
    List(ListArgs),
}

/// A login and its person.
#[derive(Debug, Args)]
pub(crate) struct PersonArgs {
    /// The login: an operator of the server, oidc.PROVIDER.NAME, or one of a client certificate.
    #[arg(value_name = "OPERATOR")]
    operator_id: String,
    /// The person.
    #[arg(long, value_name = "ID")]
    person: String,
    #[command(flatten)]
    etag: EtagArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Which logins to show.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this person.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    person: String,
    /// Only those that wait for a second person.
    #[arg(long)]
    unconfirmed: bool,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(crate) fn run(command: PersonsCommand) -> Result<(), RemoteError> {
    print(&block_on(async {
        match command {
            PersonsCommand::Bind(args) => bind(args).await,
            PersonsCommand::Confirm(args) => confirm(args).await,
            PersonsCommand::List(args) => list(&args).await,
        }
    })?)
}

async fn bind(args: PersonArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = BindPersonRequest {
        operator_id: args.operator_id,
        person_id: args.person,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().bind_person(request).await;
    args.remote.changed(answer, &request_id, "BindPersonResponse", |answer| rows(answer.person.as_slice()))
}

async fn confirm(args: PersonArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = ConfirmPersonRequest {
        operator_id: args.operator_id,
        person_id: args.person,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().confirm_person(request).await;
    args.remote.changed(answer, &request_id, "ConfirmPersonResponse", |answer| rows(answer.person.as_slice()))
}

async fn list(args: &ListArgs) -> Result<String, RemoteError> {
    let connection = args.remote.connect().await?;
    let persons = pages(args.limit.limit, async |page_size, page_token| {
        let (person_id, unconfirmed) = (args.person.clone(), args.unconfirmed);
        let request = ListPersonBindingsRequest { page_size, page_token, person_id, unconfirmed };
        let page = connection.operators().list_person_bindings(request).await;
        let page = page.map_err(|status| args.remote.call_failed(&status))?.into_inner();
        Ok(Page { rows: page.persons, next_page_token: page.next_page_token })
    });
    let persons = persons.await?;
    if args.remote.json() {
        return json_list("ListPersonBindingsResponse", &ListPersonBindingsResponse { persons, ..Default::default() });
    }
    Ok(rows(&persons))
}

pub(super) fn rows(persons: &[PersonBinding]) -> String {
    let row = |binding: &PersonBinding| {
        let confirmed = if binding.confirmed_by.is_empty() {
            "waits for a second person".to_owned()
        } else {
            printable(&binding.confirmed_by)
        };
        let since = time(binding.bind_time.as_ref());
        let (login, person) = (printable(&binding.operator_id), printable(&binding.person_id));
        [login, person, or_dash(&binding.bound_by), since, confirmed]
    };
    let rows: Vec<_> = persons.iter().map(row).collect();
    listed(["login", "person", "said by", "since", "confirmed by"], &rows, "There is no such login.")
}
