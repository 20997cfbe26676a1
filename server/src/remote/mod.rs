//! Commands that call a running server over gRPC, for persons and scripts: how the server is reached (`--server`,
//! `--ca`), who the caller is (`--api-key-file`, `COUNTERSIGN_API_KEY`), and whether a table or JSON is printed.

pub(crate) mod approvals;
mod args;
pub(crate) mod cache;
mod failure;
mod key_file;
pub(crate) mod keys;
pub(crate) mod kill_switch;
pub(crate) mod operators;
pub(crate) mod output;
mod pages;
pub(crate) mod persons;
mod printable;
pub(crate) mod rollouts;
pub(crate) mod sponsors;
mod terminal;
pub(crate) mod who;

use std::{env, fs, path::PathBuf};

use clap::{Args, ValueEnum};
use countersign_client::Connection;
use http::{Uri, uri::Scheme};
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime;
use tonic::{Response, Status};

pub(crate) use self::{args::ChangeArgs, failure::RemoteError};
use crate::secret_file;

/// The variable that may contain the API key. It is not a flag, because other users of the machine can see flags.
const API_KEY: &str = "COUNTERSIGN_API_KEY";

/// The server and the caller. Without a key the call is sent without one, which only a server in --dev accepts.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// The server.
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_SERVER", default_value = "http://127.0.0.1:8080", value_parser = server)]
    server: String,
    /// The file with your API key; no other user may be able to read it [default: the key in COUNTERSIGN_API_KEY].
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// PEM certificates to trust instead of the public web's, for an https server with a private CA.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What to print: a table for people, or JSON as the HTTP API answers it.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
    /// The same as `--output json`.
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// The form in which a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Runs calls to a server.
pub(crate) fn block_on<T>(calls: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(RemoteError::Runtime)?;
    runtime.block_on(calls)
}

impl RemoteArgs {
    /// Whether to print JSON.
    pub(crate) fn json(&self) -> bool {
        self.json || self.output == Output::Json
    }

    /// A call that changes nothing failed.
    pub(crate) fn call_failed(&self, status: &Status) -> RemoteError {
        RemoteError::call(&self.server, status, self.is_nobody())
    }

    /// A call that changes something failed.
    pub(crate) fn change_failed(&self, status: &Status, request_id: &str) -> RemoteError {
        RemoteError::change(&self.server, status, self.is_nobody(), request_id)
    }

    /// The result of a change that `request_id` makes once: the message `name` as the HTTP API writes it, or in words.
    pub(crate) fn changed<M: Message>(
        &self,
        answer: Result<Response<M>, Status>,
        request_id: &str,
        name: &str,
        words: impl FnOnce(&M) -> String,
    ) -> Result<String, RemoteError> {
        let answer = answer.map_err(|status| self.change_failed(&status, request_id))?.into_inner();
        if self.json() { output::json(name, &answer) } else { Ok(words(&answer)) }
    }

    /// Whether the calls are sent without a key.
    fn is_nobody(&self) -> bool {
        self.api_key_file.is_none() && env::var_os(API_KEY).is_none()
    }

    pub(crate) async fn connect(&self) -> Result<Connection, RemoteError> {
        let key = self.api_key()?;
        let key = key.as_ref().map(ExposeSecret::expose_secret);
        let connected = match &self.ca {
            None => Connection::connect(&self.server, key).await,
            Some(_) if !self.server.starts_with("https:") => return Err(RemoteError::CaWithoutTls),
            Some(path) => {
                let ca = fs::read(path).map_err(|source| RemoteError::Ca { path: path.clone(), source })?;
                Connection::connect_with_ca(&self.server, key, &ca).await
            }
        };
        connected.map_err(|source| RemoteError::connect(&self.server, source))
    }

    fn api_key(&self) -> Result<Option<SecretString>, RemoteError> {
        let (place, key) = match (&self.api_key_file, env::var_os(API_KEY)) {
            (Some(path), _) => {
                let key = secret_file::read(path);
                let place = path.display().to_string();
                (place, key.map_err(|source| RemoteError::KeyFile { path: path.clone(), source })?)
            }
            // A value that is not text is not a key either, and is refused later.
            (None, Some(key)) => (API_KEY.to_owned(), key.to_string_lossy().trim().into()),
            (None, None) => return Ok(None),
        };
        // A caller who names a key wants to use it, and must not become the anonymous caller if it is empty.
        if key.expose_secret().is_empty() { Err(RemoteError::EmptyKey { place }) } else { Ok(Some(key)) }
    }
}

/// Reads a server's URL: scheme, host and port, without anything that could put a password into a message.
fn server(text: &str) -> Result<String, String> {
    let usable = |uri: &Uri| {
        let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let bare = uri.path_and_query().is_none_or(|path| path == "/");
        authority && bare && uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
    };
    match text.parse::<Uri>() {
        Ok(uri) if usable(&uri) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("must be http://host:port or https://host:port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_scheme_a_host_and_a_port() {
        for good in ["http://127.0.0.1:8080", "https://countersign.example/", "http://[::1]:1", "http://localhost:8080"]
        {
            assert_eq!(server(good), Ok(good.trim_end_matches('/').to_owned()));
        }
        for bad in ["", "localhost:8080", "ftp://a:1", "http://u:geheim@a:1", "http://a:1/x", "http://a:1/?key=x"] {
            assert!(!server(bad).unwrap_err().contains("geheim"), "{bad}");
        }
    }
}
