//! `countersign demo`: plays one support agent's day against a dev server, so that a newcomer sees in one screen what
//! Countersign is for.

mod address;
mod ask;
mod hash;
mod people;
mod screen;
mod server;
mod story;
mod tool;
mod tree;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use countersign_client::{ConnectError, Connection, v1::WhoAmIRequest};
use secrecy::ExposeSecret as _;
use tokio::{runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::address::address;
use self::{
    ask::Unexpected,
    screen::Screen,
    server::{OwnServer, ServerError},
    story::Story,
};
use crate::{secret_file, stop};

/// The arguments of `countersign demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The address of a running dev server [default: start one, and remove it afterwards].
    #[arg(long, value_name = "http://ADDRESS:PORT", value_parser = address)]
    address: Option<SocketAddr>,
    /// With --address: that server's data folder, where the keys of its operators are.
    #[arg(long, value_name = "FOLDER", env = "COUNTERSIGN_DATA_DIR", default_value = ".countersign")]
    data_dir: PathBuf,
}

/// Why the story was not told to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the demo cannot start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(
        "cannot read {}, the key of an operator that every dev server has: give the server's data folder with \
         --data-dir", path.display()
    )]
    Key { path: PathBuf, source: io::Error },
    #[error("no server answers at http://{address}")]
    Unreachable { address: SocketAddr, source: ConnectError },
    #[error(
        "the server at http://{address} does not run with --dev: the demo registers and revokes sponsors, so it uses \
         dev servers only"
    )]
    NotDev { address: SocketAddr, source: Unexpected },
    #[error("the server at http://{address} does not accept the keys in {}: is that its data folder?", data_dir.display())]
    OtherKeys { address: SocketAddr, data_dir: PathBuf, source: Unexpected },
    #[error("step {number} of the demo ({step}) had another result than expected")]
    Step { number: u32, step: &'static str, source: Unexpected },
    #[error("the demo was interrupted")]
    Interrupted,
}

/// Tells the story. Everything that it started is stopped and removed, however it ends.
pub(crate) fn run(args: &DemoArgs) -> Result<(), DemoError> {
    // A single thread, which is this one: the kernel stops a server whose starting thread ends.
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Start)?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let stop = stop::on_signal(&mut tasks).map_err(DemoError::Start)?;
        match args.address {
            Some(address) => unless_stopped(&stop, tell(address, &args.data_dir, false)).await,
            None => on_own_server(&stop).await,
        }
    })
}

async fn on_own_server(stop: &CancellationToken) -> Result<(), DemoError> {
    screen::print("A support agent's day, on a dev server that starts now and is removed afterwards.\n")
        .map_err(DemoError::Start)?;
    let mut server = OwnServer::spawn()?;
    let data_dir = server.data_dir().to_owned();
    let told = unless_stopped(stop, async {
        let address = server.ready().await?;
        tell(address, &data_dir, true).await
    });
    let told = told.await;
    let failed = !matches!(told, Ok(()) | Err(DemoError::Interrupted));
    let stopped = server.stop(failed).await;
    if let Ok(Some(log)) = &stopped {
        eprintln!("What the dev server logged is in {}.", log.display());
    }
    told.and(stopped.map(|_| ()).map_err(DemoError::Server))
}

async fn unless_stopped(
    stop: &CancellationToken,
    story: impl Future<Output = Result<(), DemoError>>,
) -> Result<(), DemoError> {
    stop.run_until_cancelled(story).await.unwrap_or(Err(DemoError::Interrupted))
}

/// Tells the story to the server at `address`; `fresh` if no one else uses it.
async fn tell(address: SocketAddr, data_dir: &Path, fresh: bool) -> Result<(), DemoError> {
    let nobody = Connection::connect(&format!("http://{address}"), None).await;
    let nobody = nobody.map_err(|source| DemoError::Unreachable { address, source })?;
    is_known(&nobody).await.map_err(|source| DemoError::NotDev { address, source })?;
    let operator = async |name: &str| {
        let path = data_dir.join(format!("{name}.key"));
        let operator = secret_file::read(&path).and_then(|key| {
            nobody.with_token(key.expose_secret()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        let operator = operator.map_err(|source| DemoError::Key { path, source })?;
        let known = is_known(&operator).await;
        known.map_err(|source| DemoError::OtherKeys { address, data_dir: data_dir.to_owned(), source })?;
        Ok::<_, DemoError>(operator)
    };
    let (rita, oscar) = (operator("rita").await?, operator("oscar").await?);
    let mut story = Story { rita, oscar, address, fresh, screen: Screen::new() };
    story.tell().await.map_err(|source| {
        let (number, step) = story.screen.last_step();
        DemoError::Step { number, step, source }
    })
}

/// Asks the server whether it knows this caller.
async fn is_known(caller: &Connection) -> Result<(), Unexpected> {
    caller.operators().who_am_i(WhoAmIRequest {}).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_has_dev_servers() {
        for good in ["http://127.0.0.1:8080", "127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["https://127.0.0.1:8080", "http://10.0.0.1:8080", "http://countersign.example", "localhost", ""] {
            assert!(address(bad).unwrap_err().contains("dev server"), "{bad}");
        }
    }
}
