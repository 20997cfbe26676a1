//! The database's address.

use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

use super::settings::Settings;

/// The database.
#[derive(Debug)]
pub struct Database {
    /// Its address; none, and only in dev: a private Postgres.
    pub url: Option<SecretString>,
    /// Most connections of this server.
    pub max_connections: u32,
}

impl Database {
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Self {
        let url = settings.secret("database_url");
        match &url {
            None if !dev => settings.report(
                "database_url",
                "is missing: set it, or DATABASE_URL, to postgres://user@host/database; to just try Countersign, use serve --dev",
            ),
            Some(url) if !is_postgres_url(url.expose_secret()) => {
                settings.report("database_url", "must be of the form postgres://user:password@host:5432/database");
            }
            _ => {}
        }
        // The private Postgres takes 50, of which a few are kept for people.
        Self { url, max_connections: settings.number("database_max_connections", 2..=1000, 16) }
    }
}

fn is_postgres_url(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
        && PgConnectOptions::from_str(url).is_ok()
}
