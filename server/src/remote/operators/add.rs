//! `operator add | new-key`: operators, and keys that are written into files.

use std::path::PathBuf;

use clap::Args;
use countersign_client::{
    Connection,
    v1::{CreateApiKeyRequest, CreateApiKeyResponse, CreateOperatorRequest, CreateOperatorResponse, PersonBinding},
};
use prost_types::Timestamp;
use serde_json::Value;

use super::{keys, rows::rows};
use crate::{
    arguments::{instant, operator_role},
    remote::{
        RemoteArgs, RemoteError,
        args::RequestIdArgs,
        key_file::{KeyFileArgs, KeyPlace},
        output::{note, printable, value},
        persons,
    },
};

/// The operator to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The operator's id, which you choose.
    #[arg(value_name = "OPERATOR")]
    operator_id: String,
    /// Their display name.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// A role of theirs; repeat for more [default: none, for sponsors who log in only for their own runs].
    #[arg(long = "role", value_name = "ROLE", value_parser = operator_role)]
    roles: Vec<String>,
    /// The person whose login it is [default: a person named like the operator, as for a service].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    person: String,
    /// Also make an API key, and write it into this file with mode 0600, which must not exist yet. `-` prints the key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// When the key ends, RFC 3339 [default: in 90 days; at most in 400].
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "key_file")]
    expires: Option<Timestamp>,
    #[command(flatten)]
    repeat: RequestIdArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// For whom to make a key.
#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// The operator's id.
    #[arg(value_name = "OPERATOR")]
    operator_id: String,
    #[command(flatten)]
    file: KeyFileArgs,
    /// A role of the operator's that the key has; repeat for more [default: all of them].
    #[arg(long = "role", value_name = "ROLE", value_parser = operator_role)]
    roles: Vec<String>,
    /// A tool that the key is for; repeat for more [default: all]. Such a key can only have the roles issuer and gate.
    #[arg(long = "tool", value_name = "ID")]
    tools: Vec<String>,
    /// A sponsor that the key is for, likewise.
    #[arg(long = "sponsor", value_name = "ID")]
    sponsors: Vec<String>,
    /// When the key ends, RFC 3339 [default: in 90 days; at most in 400].
    #[arg(long, value_name = "TIME", value_parser = instant)]
    expires: Option<Timestamp>,
    #[command(flatten)]
    repeat: RequestIdArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// A key that was created, and where it is.
struct Made {
    answer: CreateApiKeyResponse,
    /// In words; empty if it was printed.
    place: String,
    /// Whether it is printed.
    shown: bool,
}

pub(super) async fn add(args: AddArgs) -> Result<String, RemoteError> {
    let request_id = args.repeat.request_id();
    let place = args.key_file.as_deref().map(KeyPlace::reserve).transpose()?;
    let (connection, created) = match create(&args, &request_id).await {
        Ok(done) => done,
        Err(error) => {
            place.into_iter().for_each(KeyPlace::discard);
            return Err(error);
        }
    };
    let Some(place) = place else { return said_of_operator(&args.remote, &created, None) };
    let wanted = CreateApiKeyRequest {
        operator_id: args.operator_id,
        expire_time: args.expires,
        request_id,
        ..Default::default()
    };
    let made = make_key(&connection, &args.remote, wanted, place).await;
    said_of_operator(&args.remote, &created, Some(made.map_err(|error| RemoteError::WithoutKey(Box::new(error)))?))
}

pub(super) async fn new_key(args: NewKeyArgs) -> Result<String, RemoteError> {
    let place = KeyPlace::reserve(&args.file.key_file)?;
    let wanted = CreateApiKeyRequest {
        operator_id: args.operator_id,
        roles: args.roles,
        expire_time: args.expires,
        request_id: args.repeat.request_id(),
        tools: args.tools,
        sponsors: args.sponsors,
    };
    let connection = match args.remote.connect().await {
        Ok(connection) => connection,
        Err(error) => {
            place.discard();
            return Err(error);
        }
    };
    let made = make_key(&connection, &args.remote, wanted, place).await?;
    if args.remote.json() {
        return Ok(format!("{:#}\n", made.json()?));
    }
    Ok(made.put(made.words()))
}

async fn create(args: &AddArgs, request_id: &str) -> Result<(Connection, CreateOperatorResponse), RemoteError> {
    let request = CreateOperatorRequest {
        operator_id: args.operator_id.clone(),
        display_name: args.name.clone(),
        roles: args.roles.clone(),
        request_id: request_id.to_owned(),
        person_id: args.person.clone(),
    };
    let connection = args.remote.connect().await?;
    let answer = connection.operators().create_operator(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, request_id))?.into_inner();
    Ok((connection, answer))
}

/// Creates a key and writes it to its place. If there is no key, the place is removed.
async fn make_key(
    connection: &Connection,
    remote: &RemoteArgs,
    wanted: CreateApiKeyRequest,
    place: KeyPlace,
) -> Result<Made, RemoteError> {
    let request_id = wanted.request_id.clone();
    let answer = match connection.operators().create_api_key(wanted).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            place.discard();
            return Err(remote.change_failed(&status, &request_id));
        }
    };
    let key_id = answer.api_key.as_ref().map(|key| printable(&key.key_id)).ok_or(RemoteError::Answer)?;
    if answer.secret.is_empty() {
        place.discard();
        return Err(RemoteError::SecretGone { key_id });
    }
    let shown = place.is_stdout();
    // In JSON it is in the single document.
    let place = if shown && remote.json() { String::new() } else { place.fill(&key_id, &answer.secret)? };
    Ok(Made { answer, place, shown })
}

fn said_of_operator(
    remote: &RemoteArgs,
    created: &CreateOperatorResponse,
    made: Option<Made>,
) -> Result<String, RemoteError> {
    if remote.json() {
        let mut all = value("CreateOperatorResponse", created)?;
        if let (Some(made), Some(all)) = (&made, all.as_object_mut()) {
            all.extend(made.json()?.as_object().cloned().unwrap_or_default());
        }
        return Ok(format!("{all:#}\n"));
    }
    let person = created.person.as_ref().ok_or(RemoteError::Answer)?;
    let operator = rows(created.operator.as_slice());
    let words = format!("{operator}\n{}{}", persons::rows(std::slice::from_ref(person)), next_for(person));
    match made {
        None => Ok(words),
        Some(made) => Ok(made.put(format!("{words}\n{}", made.words()))),
    }
}

/// What must still be done before the login can act as one of two persons.
fn next_for(person: &PersonBinding) -> String {
    if !person.confirmed_by.is_empty() {
        return String::new();
    }
    let (login, person) = (printable(&person.operator_id), printable(&person.person_id));
    format!(
        "The login does not count where two persons are needed until a second person confirms whose it is: \
         countersign person confirm {login} --person {person} --reason ...\n"
    )
}

impl Made {
    /// The answer of CreateApiKey; with the secret only if it is to be printed.
    fn json(&self) -> Result<Value, RemoteError> {
        let secret = if self.shown { self.answer.secret.clone() } else { String::new() };
        value("CreateApiKeyResponse", &CreateApiKeyResponse { secret, ..self.answer.clone() })
    }

    fn words(&self) -> String {
        let key = self.answer.api_key.as_slice();
        let waiting = key.iter().filter(|key| !key.confirmed).map(|key| {
            format!(
                "The key is not active until a second person confirms it: countersign operator confirm-key {} \
                 --reason ...\n",
                printable(&key.key_id)
            )
        });
        format!("{}{}{}", keys::rows(key), self.place, waiting.collect::<String>())
    }

    /// What to print besides the key: nothing, if the key was printed.
    fn put(&self, words: String) -> String {
        if self.shown {
            note(words.trim_end());
            return String::new();
        }
        words
    }
}
