//! Two servers on a Postgres of their own, all of which can be broken.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, Failure, FakeClock, Launch, Proxy, Server};
use tokio::time::{Instant, sleep};

/// How many servers there are.
pub(crate) const SERVERS: usize = 2;
/// The server with a clock of its own.
pub(crate) const WITH_CLOCK: usize = 1;
/// How long Postgres may take to recover by itself.
const RECOVERY: Duration = Duration::from_secs(30);

/// The servers, and what they run on.
pub(crate) struct Arena {
    pub(crate) cluster: Cluster,
    pub(crate) database: Database,
    pub(crate) servers: Vec<Place>,
    /// The clock of [`WITH_CLOCK`], if it has one.
    pub(crate) clock: Option<FakeClock>,
    pub(crate) rita: String,
    pub(crate) oscar: String,
    /// A run for those who look whether servers answer.
    pub(crate) run: String,
}

/// A server's place: what stays when the server dies.
pub(crate) struct Place {
    pub(crate) proxy: Proxy,
    /// Reconnects by itself, because the server keeps its port.
    pub(crate) connection: Connection,
    server: Server,
    through: Database,
    data_dir: PathBuf,
}

impl Arena {
    /// Starts everything, with all data below `folder`.
    pub(crate) async fn start(folder: &Path, own_clock: bool) -> Result<Self, Failure> {
        // Postgres runs as another user if this program is root.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
        let cluster = Cluster::start(folder.join("cluster")).await?;
        let database = cluster.database().await?;
        let clock = own_clock.then(|| FakeClock::new(folder, "clock")).transpose()?;
        let mut servers = Vec::new();
        for nth in 0..SERVERS {
            let (proxy, through) = Proxy::to_database(&database).await?;
            let data_dir = folder.join(format!("server-{nth}"));
            let launch = launch(&through, &data_dir);
            let server = match &clock {
                Some(clock) if nth == WITH_CLOCK => clock.drive(launch),
                _ => launch,
            };
            let server = server.start().await?;
            servers.push(Place { proxy, connection: server.connect(None).await?, server, through, data_dir });
        }
        let first = &servers[0].server;
        let (rita, oscar) = (first.operator_key("rita")?, first.operator_key("oscar")?);
        let issuer = servers[0].connection.with_token(&rita)?;
        let run = issuer.credentials().issue_credential(issue("alice", "")).await?.into_inner().token;
        Ok(Self { cluster, database, servers, clock, rita, oscar, run })
    }

    /// Ends servers as `kill -9` does.
    pub(crate) fn kill(&mut self, which: &[usize]) {
        for nth in which {
            self.servers[*nth].server.kill();
        }
    }

    /// Starts a killed server again, on its port and with its data.
    pub(crate) async fn start_again(&mut self, nth: usize) -> Result<(), Failure> {
        let place = &mut self.servers[nth];
        let listen = place.server.address().to_string();
        let launch = launch(&place.through, &place.data_dir).variable("COUNTERSIGN_LISTEN", &listen);
        let launch = match &self.clock {
            Some(clock) if nth == WITH_CLOCK => clock.drive(launch),
            _ => launch,
        };
        place.server = launch.start().await?;
        Ok(())
    }

    /// Returns when Postgres answers. Starts it again if it has ended.
    pub(crate) async fn recover(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match countersign_integration::connect(&self.database.url).await {
                Ok(_) => return Ok(()),
                // Nobody listens: it has ended.
                Err(sqlx::Error::Io(_)) => {
                    self.cluster.kill().await?;
                    self.cluster.start_again().await?;
                }
                Err(error) if began.elapsed() > RECOVERY => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The checkpoint that a server keeps in its data folder.
    pub(crate) fn kept_checkpoint(&self, nth: usize) -> Option<Vec<u8>> {
        fs::read(self.servers[nth].data_dir.join("checkpoint")).ok()
    }

    /// The logs of the servers, for who looks for a reason.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.servers.iter().map(|place| place.server.log()).collect()
    }
}

fn launch(database: &Database, data_dir: &Path) -> Launch {
    Launch::dev().database(database).data_dir(data_dir)
}

/// A credential for a run of this sponsor.
pub(crate) fn issue(sponsor: &str, request_id: &str) -> v1::IssueCredentialRequest {
    v1::IssueCredentialRequest {
        sponsor_id: sponsor.to_owned(),
        agent: "survivor".to_owned(),
        role: "support".to_owned(),
        tools: vec!["billing".to_owned()],
        purpose: "to outlive a fault".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}
