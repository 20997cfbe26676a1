//! The configured database: a named one, or a private Postgres. How long to wait for its first answer (`PATIENCE`),
//! which schema has the tables, who runs migrations, and which databases `--dev` does not use.

use std::{
    io,
    str::FromStr as _,
    time::{Duration, Instant},
};

use backon::{ConstantBuilder, Retryable as _};
use countersign_postgres::{PostgresError, PostgresOptions, PrivatePostgres, SERVING_ROLE};
use countersign_store::{
    Options, Session, Store, StoreError, Unfit, hosts,
    installation::{self, Found, MadeBy},
    is_refused_by_pooler,
    lesser_role::{self, GrantError, Power, Settings},
    own_schema::{self, Home, MoveError},
    schema::{self, SchemaError},
};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use crate::config::{self, Config};

/// How long a database may take to answer at first, because one that is started together with the server needs some
/// time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before the database is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long another start may take to create the tables of an installation.
const MAKING: Duration = Duration::from_secs(2);

/// A database that was started or found.
#[derive(Debug)]
pub(crate) struct Database {
    /// How a server connects to it.
    pub(crate) options: Options,
    /// How the owner of the private Postgres connects to it.
    owner: Option<Options>,
    private: Option<PrivatePostgres>,
    dev: bool,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    // sqlx's message about a URL may repeat it, with the password.
    #[error("the database's URL is invalid")]
    Url,
    #[error("cannot reach the database at {address}")]
    Unreachable { address: String, source: sqlx::Error },
    #[error(
        "cannot use the {0}: it is behind a pooler that does not pass settings on to the database's sessions. If the \
         pooler is in transaction mode, set database_pooler: transaction"
    )]
    Pooler(String),
    #[error(
        "migrations need a session of the database, and a pooler in transaction mode has none: give the database's \
         own address with --database-url, and set COUNTERSIGN_DATABASE_POOLER=none"
    )]
    NoSession,
    #[error("cannot use the {place}: {why}")]
    Unfit { place: String, why: Unfit },
    #[error("cannot read the database")]
    Look(#[from] StoreError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error(transparent)]
    Move(#[from] MoveError),
    #[error(
        "cannot use the {0}: it has one installation in the schema `countersign` and another in `public`, which a \
         server of an older version makes. Rename or drop the wrong one, or choose `public` with \
         ?options=-csearch_path%3Dpublic"
    )]
    TwoInstallations(String),
    #[error(
        "--dev does not use the {place}, because it has tables that are not Countersign's ({}). Give an empty \
         database with --database-url, or omit the flag to start a private Postgres",
        tables.join(", ")
    )]
    ForeignTables { place: String, tables: Vec<String> },
    #[error(
        "--dev does not use the {0}, because its installation was not made by --dev, which accepts every caller. \
         Give an empty database with --database-url, or omit the flag to start a private Postgres"
    )]
    NotMadeByDev(String),
}

impl Database {
    /// Starts the private Postgres, unless a database is named. Blocks. Does not connect yet.
    pub(crate) fn open(config: &Config) -> Result<Self, DatabaseError> {
        if !config.database.urls.is_empty() {
            let urls: Vec<_> = config.database.urls.iter().map(SecretString::expose_secret).collect();
            let options = options(config, &urls)?;
            return Ok(Self { options, owner: None, private: None, dev: config.dev });
        }
        let postgres = PrivatePostgres::start(&PostgresOptions::new(&config.data_dir))?;
        tracing::info!("private Postgres started; its data is in {}", postgres.data_dir().display());
        Ok(Self {
            options: options(config, &[&postgres.serving_url()])?,
            owner: Some(options(config, &[&postgres.url()])?),
            private: Some(postgres),
            dev: config.dev,
        })
    }

    /// How commands connect that manage the database itself, and not only its content.
    pub(crate) fn administering(&self) -> &Options {
        self.owner.as_ref().unwrap_or(&self.options)
    }

    /// Returns when the database answers and this start may use it, or the reason why not; a pool would only report a
    /// timeout. Waits some time for one that is just starting. Finds out which schema has the tables, or will have
    /// them. Writes nothing.
    pub(crate) async fn reach(&mut self) -> Result<(), DatabaseError> {
        if let Some(owner) = &self.owner {
            let (_, mut connection) = self.answered(owner).await?;
            lesser_role::ensure(&mut connection, SERVING_ROLE).await?;
            connection.close().await.map_err(|source| self.unreachable(source))?;
        }
        let (host, mut connection) = self.answered(&self.options).await?;
        self.options.connect = host;
        let mut tx = connection.begin().await.map_err(|source| self.unreachable(source))?;
        tracing::info!("{}", self.place());
        let home = own_schema::home(&mut tx).await?;
        if home == Home::Both {
            return Err(DatabaseError::TwoInstallations(self.place()));
        }
        let own_schema = home == Home::Own;
        if own_schema {
            own_schema::enter(&mut tx).await?;
        }
        self.admit(&mut tx).await?;
        tx.rollback().await.map_err(|source| self.unreachable(source))?;
        connection.close().await.map_err(|source| self.unreachable(source))?;
        for options in [Some(&mut self.options), self.owner.as_mut()].into_iter().flatten() {
            options.own_schema = own_schema;
        }
        Ok(())
    }

    /// Brings the schema up to date if migrations are missing, and returns what this server's role could do that
    /// serving does not need.
    pub(crate) async fn prepare(&self, store: &Store) -> Result<Option<Power>, DatabaseError> {
        if self.owner.is_some() {
            self.migrate(Some(SERVING_ROLE)).await?;
        }
        Ok(store.prepare().await?)
    }

    /// The missing migrations in order, if this role may run them.
    pub(crate) async fn missing_migrations(&self) -> Result<Vec<String>, DatabaseError> {
        let options = self.administering();
        if options.transaction_pooler {
            return Err(DatabaseError::NoSession);
        }
        let (_, mut connection) = self.answered(options).await?;
        let missing = schema::missing(&mut connection, options.own_schema).await?;
        connection.close().await.map_err(|source| self.unreachable(source))?;
        Ok(missing)
    }

    /// Runs the missing migrations as the owner, and prepares a role for serving.
    pub(crate) async fn migrate(&self, grant_to: Option<&str>) -> Result<Option<Settings>, DatabaseError> {
        let options = self.administering();
        if options.transaction_pooler {
            return Err(DatabaseError::NoSession);
        }
        let (_, mut connection) = self.answered(options).await?;
        schema::migrate(&mut connection, options.own_schema).await?;
        let settings = match grant_to {
            Some(role) => Some(lesser_role::grant(&mut connection, role, options).await?),
            None => None,
        };
        connection.close().await.map_err(|source| self.unreachable(source))?;
        Ok(settings)
    }

    /// Moves an installation of an older version into our own schema. Returns whether it was not there yet.
    pub(crate) async fn move_schema(&mut self) -> Result<bool, DatabaseError> {
        if self.administering().own_schema {
            return Ok(false);
        }
        self.migrate(None).await?;
        let (_, mut connection) = self.answered(self.administering()).await?;
        own_schema::move_there(&mut connection).await?;
        connection.close().await.map_err(|source| self.unreachable(source))?;
        for options in [Some(&mut self.options), self.owner.as_mut()].into_iter().flatten() {
            options.own_schema = true;
        }
        Ok(true)
    }

    /// Marks a new installation with the command that made it. Returns the stored mark.
    pub(crate) async fn claim(&self, connection: &mut Session) -> Result<MadeBy, DatabaseError> {
        let by = if self.dev { MadeBy::Dev } else { MadeBy::Serve };
        let made_by = installation::claim(connection, by).await?;
        // Another start was first.
        if self.dev && made_by != MadeBy::Dev {
            return Err(DatabaseError::NotMadeByDev(self.place()));
        }
        Ok(made_by)
    }

    /// The first host that answers and fits, and a connection to it.
    async fn answered(&self, options: &Options) -> Result<(PgConnectOptions, Session), DatabaseError> {
        let start = Instant::now();
        let mut told = false;
        let patience = PATIENCE * u32::try_from(options.hosts.len()).unwrap_or(1);
        let reach = || async {
            let answer = timeout(patience, hosts::first_that_fits(options)).await;
            answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        };
        let again = ConstantBuilder::new().with_delay(LOOK_AGAIN).without_max_times();
        let answered = reach.retry(again).when(|error| may_come_up(error) && start.elapsed() <= PATIENCE);
        let answered = answered.notify(|error, _| {
            if !std::mem::replace(&mut told, true) {
                tracing::info!("waiting for the {}: {error}", self.place());
            }
        });
        answered.await.map_err(|error| self.unreachable(error))
    }

    /// Refuses a database that `--dev` must not use. The private Postgres always belongs to dev.
    async fn admit(&self, connection: &mut Session) -> Result<(), DatabaseError> {
        if !self.dev || self.private.is_some() {
            return Ok(());
        }
        let start = Instant::now();
        loop {
            match self.look(connection).await {
                // Another start may be creating the tables at this moment, and then they are recognised as ours in the
                // next check.
                Err(DatabaseError::NotMadeByDev(_) | DatabaseError::ForeignTables { .. })
                    if start.elapsed() < MAKING =>
                {
                    sleep(LOOK_AGAIN).await;
                }
                looked => return looked,
            }
        }
    }

    async fn look(&self, connection: &mut Session) -> Result<(), DatabaseError> {
        match installation::find(connection).await? {
            Found::NoInstallation
            | Found::Installation { made_by: Some(MadeBy::Dev), .. }
            | Found::Installation { made_by: None, used: false } => {}
            Found::Installation { .. } => return Err(DatabaseError::NotMadeByDev(self.place())),
        }
        let tables = installation::foreign_tables(connection).await?;
        if tables.is_empty() { Ok(()) } else { Err(DatabaseError::ForeignTables { place: self.place(), tables }) }
    }

    fn place(&self) -> String {
        config::database_place(&self.options.connect)
    }

    fn unreachable(&self, source: sqlx::Error) -> DatabaseError {
        if let sqlx::Error::Configuration(error) = &source
            && let Some(why) = error.downcast_ref::<Unfit>()
        {
            return DatabaseError::Unfit { place: self.place(), why: why.clone() };
        }
        if is_refused_by_pooler(&source) {
            return DatabaseError::Pooler(self.place());
        }
        let hosts = self.options.hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port()));
        DatabaseError::Unreachable { address: hosts.collect::<Vec<_>>().join(", "), source }
    }

    /// Waits for the private Postgres to end by itself, and returns how it ended. Waits for ever if there is none,
    /// because a separate database may restart.
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

/// How the store connects to the database of these URLs, one per host.
fn options(config: &Config, urls: &[&str]) -> Result<Options, DatabaseError> {
    let hosts = urls.iter().map(|url| PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url));
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    let connect = hosts.first().cloned().ok_or(DatabaseError::Url)?;
    Ok(Options {
        hosts,
        max_connections: config.database.max_connections,
        read_connections: config.database.read_connections,
        read_timeout: config.limits.read_timeout,
        storage_replaces_fsync: config.database.storage_replaces_fsync,
        transaction_pooler: config.database.transaction_pooler,
        // Until it is known.
        own_schema: false,
        ..Options::new(connect)
    })
}

/// Whether a database that is still starting gives this error.
fn may_come_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // cannot_connect_now: it is starting, stopping or recovering.
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}
