//! The hosts that a database address names. They are tried in order, each for a limited time; the first that accepts
//! writes is used. After a failover, new connections go to the new primary.

use std::{io, time::Duration};

use sqlx::{Connection as _, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{connection::Session, error::StoreError, freshness, options::Options, session::connect, store::Store};

/// How long each of several hosts may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Connects to the first host that answers and fits, with the checks that every connection of a [`Store`] passes, and
/// returns which host it is. If none fits, the error is that of the first host that answered, or else of the first
/// host.
pub async fn first_that_fits(options: &Options) -> Result<(PgConnectOptions, Session), sqlx::Error> {
    if let [only] = options.hosts.as_slice() {
        return Ok((only.clone(), connect(options).await?));
    }
    let mut failed = None;
    for host in &options.hosts {
        let there = Options { connect: host.clone(), ..options.clone() };
        let answered = timeout(ANSWER, connect(&there)).await;
        match answered.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(connection) => return Ok((there.connect, connection)),
            Err(error) => {
                let says_more = matches!(error, sqlx::Error::Configuration(_) | sqlx::Error::Database(_));
                failed = match failed {
                    Some(first) if !says_more => Some(first),
                    Some(first @ (sqlx::Error::Configuration(_) | sqlx::Error::Database(_))) => Some(first),
                    _ => Some(error),
                };
            }
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
}

/// Whether both addresses mean the same server. Everything else in an address is the same for all its hosts.
fn is_same(one: &PgConnectOptions, other: &PgConnectOptions) -> bool {
    let place =
        |options: &PgConnectOptions| (options.get_socket().cloned(), options.get_host().to_owned(), options.get_port());
    place(one) == place(other)
}

impl Store {
    /// Looks for the primary among the hosts. If it is another host than before, new connections are made there and
    /// open ones are no longer used. Returns the host if it has changed. Call this when writes fail.
    pub async fn follow_primary(&self) -> Result<Option<String>, StoreError> {
        let options = &self.pools.options;
        if options.hosts.len() < 2 {
            return Ok(None);
        }
        let (found, connection) = first_that_fits(options).await?;
        connection.close().await?;
        if is_same(&found, &self.pools.ordinary.connections().connect_options()) {
            return Ok(None);
        }
        self.pools.go_to(&found);
        freshness::begin_anew();
        let host =
            found.get_socket().map_or_else(|| found.get_host().to_owned(), |socket| socket.display().to_string());
        Ok(Some(format!("{host}, port {}", found.get_port())))
    }
}
