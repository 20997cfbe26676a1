//! The database that a configuration means: one that is named, or a private Postgres.

use std::{
    io,
    str::FromStr as _,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use crate::{
    config::Config,
    postgres::{PostgresError, PostgresOptions, PrivatePostgres},
};

/// How long a database may take to answer at first: one that is started beside the server is not there at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database that was started or found.
#[derive(Debug)]
pub(crate) struct Database {
    /// How the store reaches it.
    pub(crate) options: countersign_store::Options,
    private: Option<PrivatePostgres>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    // What sqlx says of a URL may repeat it, and the password with it.
    #[error("the database's URL cannot be understood")]
    Url,
    #[error("cannot reach the database at {address}")]
    Unreachable { address: String, source: sqlx::Error },
}

impl Database {
    /// Starts the private Postgres, unless a database is named. Blocks. Nothing is connected to yet.
    pub(crate) fn open(config: &Config) -> Result<Self, DatabaseError> {
        let (url, private) = if let Some(url) = &config.database.url {
            (url.expose_secret().to_owned(), None)
        } else {
            let postgres = PrivatePostgres::start(&PostgresOptions::new(&config.data_dir))?;
            tracing::info!("private Postgres runs; its data is in {}", postgres.data_dir().display());
            (postgres.url(), Some(postgres))
        };
        let connect = PgConnectOptions::from_str(&url).map_err(|_| DatabaseError::Url)?;
        let max_connections = config.database.max_connections;
        Ok(Self {
            options: countersign_store::Options { max_connections, ..countersign_store::Options::new(connect) },
            private,
        })
    }

    /// Returns when the database answers, or says why it does not; a pool would only say that it waited. Waits a while for
    /// one that is just starting.
    pub(crate) async fn reach(&self) -> Result<(), DatabaseError> {
        let connect = &self.options.connect;
        let address = || format!("{}:{}", connect.get_host(), connect.get_port());
        let unreachable = |source| DatabaseError::Unreachable { address: address(), source };
        let start = Instant::now();
        for attempt in 0.. {
            let answer = timeout(PATIENCE, connect.connect()).await;
            let error = match answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
                Ok(connection) => return connection.close().await.map_err(unreachable),
                Err(error) => error,
            };
            if !may_come_up(&error) || start.elapsed() > PATIENCE {
                return Err(unreachable(error));
            }
            if attempt == 0 {
                tracing::info!("waiting for the database at {}: {error}", address());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Waits for the private Postgres to end by itself, and says how it did. For ever where there is none: a database of its
    /// own may come and go.
    pub(crate) fn exited(&self) -> impl Future<Output = String> + Send + use<> {
        let exited = self.private.as_ref().map(PrivatePostgres::exited);
        async move {
            match exited {
                Some(exited) => exited.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops the private Postgres. Blocks.
    pub(crate) fn close(self) -> Result<(), DatabaseError> {
        Ok(self.private.map_or(Ok(()), PrivatePostgres::stop)?)
    }
}

/// Whether this is what a database says that is not there yet.
fn may_come_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // cannot_connect_now: it is starting, stopping or recovering.
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}
