//! The hosts that an address names: tried in its order, and the first that takes writes is the database.

use std::{io, time::Duration};

use sqlx::{Connection as _, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{Options, Session, Store, StoreError, connect, session};

/// How long one of several hosts may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Connects to the first host that answers and fits, as every connection of a [`Store`] must, and says which it is. Where none
/// does: what was wrong with the first that answered, or else with the first.
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

/// Whether both mean one server. What else an address says is the same for all its hosts.
fn is_same(one: &PgConnectOptions, other: &PgConnectOptions) -> bool {
    let place =
        |options: &PgConnectOptions| (options.get_socket().cloned(), options.get_host().to_owned(), options.get_port());
    place(one) == place(other)
}

impl Store {
    /// Looks for the database among the hosts, and goes there where it is another than before: new connections are made
    /// there, and those that are open are used no more. Says which it is, where it is another. To be called when writes fail.
    pub async fn follow_primary(&self) -> Result<Option<String>, StoreError> {
        let options = &self.pools.options;
        if options.hosts.len() < 2 {
            return Ok(None);
        }
        let (found, connection) = first_that_fits(options).await?;
        connection.close().await?;
        if is_same(&found, &self.pools.ordinary.connect_options()) {
            return Ok(None);
        }
        self.pools.go_to(&found);
        session::begin_anew();
        let host =
            found.get_socket().map_or_else(|| found.get_host().to_owned(), |socket| socket.display().to_string());
        Ok(Some(format!("{host}, port {}", found.get_port())))
    }
}
