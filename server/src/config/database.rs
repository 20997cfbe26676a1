//! The database's address (`database_url`), the number of connections, the pooler in front, and the storage that
//! replaces fsync. The file of a URL with a password must be closed to other users.

use std::fs;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    database_url::{self, WITHOUT_TLS},
    problem::Origin,
    settings::Settings,
};
use crate::secret_file;

/// The value that permits a database without fsync.
const REPLACES_FSYNC: &str = "replaces-fsync-and-full-page-writes";

/// The database.
#[derive(Debug)]
pub struct Database {
    /// Its address, once for each host, in the order in which the hosts are tried. Empty only in dev: a private
    /// Postgres.
    pub urls: Vec<SecretString>,
    /// Limit of this server's connections for changes and workers.
    pub max_connections: u32,
    /// Whether the storage keeps acknowledged writes without fsync and full page writes.
    pub storage_replaces_fsync: bool,
    /// Limit of this server's connections for reads.
    pub read_connections: u32,
    /// Whether a pooler in transaction mode is in front.
    pub transaction_pooler: bool,
}

impl Database {
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Self {
        let without_tls = settings.word("database_plaintext", &[(WITHOUT_TLS, ())]).is_some();
        let storage_replaces_fsync = settings.word("database_storage", &[(REPLACES_FSYNC, ())]).is_some();
        let pooler = settings.word("database_pooler", &[("transaction", true), ("none", false)]);
        let urls = settings.secret("database_url").map_or_else(Vec::new, |url| checked(settings, &url, without_tls));
        if settings.text("database_url").is_none() && !dev {
            settings.report(
                "database_url",
                "is missing: set it, or DATABASE_URL, to postgres://user@host/database; to just try Countersign, use serve --dev",
            );
        }
        if pooler == Some(true) && urls.is_empty() && dev {
            settings.notice("database_pooler has no effect: no pooler is in front of the private Postgres");
        }
        // The private Postgres has 100 connections, of which a few are kept for persons.
        let max_connections = settings.number("database_max_connections", 2..=1000, 16);
        let read_connections = settings.number("database_read_connections", 1..=1000, 4);
        let transaction_pooler = pooler.unwrap_or_default() && !urls.is_empty();
        Self { urls, max_connections, storage_replaces_fsync, read_connections, transaction_pooler }
    }
}

/// The URLs as they are used. Errors in them are reported.
fn checked(settings: &mut Settings, url: &SecretString, without_tls: bool) -> Vec<SecretString> {
    let checked = match database_url::check(url.expose_secret(), without_tls) {
        Ok(checked) => checked,
        Err(message) => {
            settings.report("database_url", message);
            return Vec::new();
        }
    };
    if checked.passed_over > 0 {
        settings.notice(format!(
            "database_url has {} unknown parameter(s), which have no effect, such as connect_timeout",
            checked.passed_over
        ));
    }
    if let Some(refusal) = checked.key_file.as_deref().and_then(secret_file::refusal_of) {
        settings.report("database_url", format!("sslkey: {refusal}"));
    }
    if let Origin::File(file, _) = settings.origin("database_url")
        && checked.has_password
        && let Some(refusal) = fs::metadata(&file).ok().as_ref().and_then(secret_file::refusal)
    {
        settings.report("database_url", format!("holds a password, and the file {refusal}"));
    }
    checked.urls.into_iter().map(SecretString::from).collect()
}
