//! One Postgres per run, and a separate database for each test, copied from a template; when databases of finished
//! tests are dropped, and how many runs may share a machine.

use std::{
    env, fs, mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use countersign_postgres::{PostgresError, PostgresOptions, PrivatePostgres, SERVING_ROLE};
use countersign_store::{Options, Store, lesser_role, own_schema::OWN, schema};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::{sync::OnceCell, task::spawn_blocking};

use crate::{Failure, kill::kill_postgres, launcher};

/// The database with only the schema, from which the others are copied.
const TEMPLATE: &str = "countersign_template";
/// The names of the tests' databases, before their number.
const PREFIX: &str = "test_";
/// How many databases of finished tests are dropped together. Each drop costs a checkpoint, which takes longer than most tests
/// inside, so that only a run with many databases drops any; the rest go with the folder, at the next start.
const DROPPED_TOGETHER: usize = 128;
/// Limit of the runs at a time on one machine.
const MOST_RUNS: u32 = 16;

/// A private Postgres with full durability. It stops with this process, or when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    options: PostgresOptions,
    /// `None` while it is stopped.
    postgres: Option<PrivatePostgres>,
    url: String,
    serving_url: String,
    databases: AtomicU32,
    /// The names of the databases of finished tests.
    unused: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    /// The cluster of this run, started by the first caller. Its folder is kept, so that the next run need not create
    /// it.
    pub async fn shared() -> Result<&'static Self, Failure> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start_shared).await
    }

    async fn start_shared() -> Result<Self, Failure> {
        let user = rustix::process::geteuid().as_raw();
        for run in 0..MOST_RUNS {
            let folder = env::temp_dir().join(format!("countersign-tests-{user}-{run}"));
            match Self::start(folder).await {
                // Another run uses it.
                Err(failure) if matches!(failure.downcast_ref(), Some(PostgresError::InUse { .. })) => {}
                Err(failure) => return Err(failure),
                Ok(cluster) => return Ok(cluster),
            }
        }
        Err(format!("{MOST_RUNS} test runs are under way already").into())
    }

    /// Starts the cluster of a data folder, which is created if there is none, and prepares the template.
    pub async fn start(data_dir: impl Into<PathBuf>) -> Result<Self, Failure> {
        Self::start_through(data_dir, launcher()?.to_owned()).await
    }

    /// Like [`Self::start`], with another launcher, such as one that gives Postgres another clock.
    pub async fn start_through(data_dir: impl Into<PathBuf>, launcher: PathBuf) -> Result<Self, Failure> {
        let options = PostgresOptions { data_dir: data_dir.into(), launcher };
        let cluster = Self::run(&options).await?;
        let mut admin = cluster.connect("postgres").await?;
        let old: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname LIKE $1 OR datname = $2)")
                .bind(format!("{PREFIX}%"))
                .bind(TEMPLATE)
                .fetch_one(&mut admin)
                .await?;
        if !old {
            return cluster.prepare(admin).await;
        }
        // Quicker than to drop what an earlier run left.
        admin.close().await?;
        let data = options.data_dir.join("postgres");
        spawn_blocking(move || {
            drop(cluster);
            fs::remove_dir_all(data)
        })
        .await??;
        let cluster = Self::run(&options).await?;
        let admin = cluster.connect("postgres").await?;
        cluster.prepare(admin).await
    }

    async fn run(options: &PostgresOptions) -> Result<Self, Failure> {
        let postgres = run(options).await?;
        Ok(Self {
            url: postgres.url(),
            serving_url: postgres.serving_url(),
            options: options.clone(),
            postgres: Some(postgres),
            databases: AtomicU32::new(0),
            unused: Arc::default(),
        })
    }

    /// Makes the template.
    async fn prepare(self, mut admin: PgConnection) -> Result<Self, Failure> {
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {TEMPLATE}"))).await?;
        let mut template = self.connect(TEMPLATE).await?;
        schema::migrate(&mut template, true).await?;
        lesser_role::ensure(&mut template, SERVING_ROLE).await?;
        let options = Options::new(self.url.parse()?);
        lesser_role::grant(&mut template, SERVING_ROLE, &options).await?;
        // A full hour must not add a manifest to the log of a test that counts its events.
        template
            .execute("UPDATE log_manifest SET hour_time = date_trunc('hour', now(), 'UTC') + interval '1 hour'")
            .await?;
        template.close().await?;
        Ok(self)
    }

    /// A database with only the schema. Servers connect as a role that owns nothing.
    pub async fn database(&self) -> Result<Database, Failure> {
        self.create(TEMPLATE).await
    }

    /// An empty database. Servers connect as its owner, who can create the tables.
    pub async fn empty_database(&self) -> Result<Database, Failure> {
        let made = self.create("template0").await?;
        Ok(Database { serving_url: made.url.clone(), ..made })
    }

    /// A copy of another database, to which no one may be connected.
    pub async fn copy(&self, of: &Database) -> Result<Database, Failure> {
        let name = of.url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        self.create(name).await
    }

    /// Stops Postgres properly.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        let Some(postgres) = self.postgres.take() else { return Ok(()) };
        Ok(spawn_blocking(move || postgres.stop()).await??)
    }

    /// Ends it as `kill -9` of all its processes does.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        let Some(postgres) = self.postgres.take() else { return Ok(()) };
        let cluster = self.options.data_dir.join("postgres");
        // What is dropped waits for the end.
        spawn_blocking(move || kill_postgres(&cluster).map(|()| drop(postgres))).await?
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], under the same address.
    pub async fn start_again(&mut self) -> Result<(), Failure> {
        self.postgres = Some(run(&self.options).await?);
        Ok(())
    }

    async fn create(&self, template: &str) -> Result<Database, Failure> {
        let name = format!("{PREFIX}{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.connect("postgres").await?;
        self.drop_unused(&mut admin).await?;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await?;
        let (url, serving_url) = (self.url(&name), named(&self.serving_url, &name));
        Ok(Database { url, serving_url, _lease: Some(Arc::new(Lease { name, unused: self.unused.clone() })) })
    }

    /// Drops the databases of finished tests, so that a run does not fill the disk. One that a server still uses is
    /// dropped later.
    async fn drop_unused(&self, admin: &mut PgConnection) -> Result<(), Failure> {
        let unused = {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            if unused.len() < DROPPED_TOGETHER {
                return Ok(());
            }
            mem::take(&mut *unused)
        };
        let used: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_stat_activity WHERE datname = ANY($1)")
            .bind(&unused)
            .fetch_all(&mut *admin)
            .await?;
        for name in unused {
            if used.contains(&name) {
                self.unused.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            } else {
                admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
            }
        }
        Ok(())
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, Failure> {
        Ok(connect(&self.url(database)).await?)
    }

    fn url(&self, database: &str) -> String {
        named(&self.url, database)
    }
}

/// A direct connection to the database, on which table names lead to the server's tables.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(format!("SET search_path = {OWN}, public"))).await?;
    Ok(connection)
}

/// The address of another database of the cluster.
fn named(url: &str, database: &str) -> String {
    url.replacen("/postgres?", &format!("/{database}?"), 1)
}

async fn run(options: &PostgresOptions) -> Result<PrivatePostgres, Failure> {
    let options = options.clone();
    Ok(spawn_blocking(move || PrivatePostgres::start(&options)).await??)
}

/// One database. It is dropped some time after the last clone of this.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its address for its owner, for direct access without the server.
    pub url: String,
    /// Its address for servers, for `DATABASE_URL`.
    pub serving_url: String,
    /// `None` if the database was not created here.
    _lease: Option<Arc<Lease>>,
}

/// Marks a database as no longer used when it is dropped.
#[derive(Debug)]
struct Lease {
    name: String,
    unused: Arc<Mutex<Vec<String>>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).push(mem::take(&mut self.name));
    }
}

impl Database {
    /// The database at this address, to which servers connect as its owner.
    #[must_use]
    pub fn of(url: String) -> Self {
        Self { serving_url: url.clone(), url, _lease: None }
    }

    /// The same database, to which servers connect through another address.
    #[must_use]
    pub fn through(&self, serving_url: String) -> Self {
        Self { serving_url, ..self.clone() }
    }

    /// A direct connection, to read what the server wrote or to interfere with it.
    pub async fn connect(&self) -> Result<PgConnection, Failure> {
        Ok(connect(&self.url).await?)
    }

    /// The server's own statements on it.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(Store::new(&Options { max_connections: 2, ..Options::new(self.url.parse()?) }))
    }
}
