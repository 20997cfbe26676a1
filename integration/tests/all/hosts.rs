//! An address that names several hosts: the first that takes writes is the database, at the start and after a failover.

use std::{path::Path, process::Command};

use countersign_client::v1;
use countersign_integration::{Cluster, Database, Launch, Server, binary, connect};
use countersign_postgres::{PostgresOptions, PrivatePostgres, SERVING_ROLE};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::task::spawn_blocking;

use crate::support::{decide, eventually, issue, room};

async fn start(folder: &Path) -> PrivatePostgres {
    let options = PostgresOptions { data_dir: folder.to_owned(), launcher: binary().unwrap().to_owned() };
    spawn_blocking(move || PrivatePostgres::start(&options)).await.unwrap().unwrap()
}

async fn does(url: &str, statement: &str) {
    let mut connection = connect(url).await.unwrap();
    connection.execute("SET default_transaction_read_only = off").await.unwrap();
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    connection.execute("SELECT pg_reload_conf()").await.unwrap();
    connection.close().await.unwrap();
}

fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap()
}

async fn allowed(server: &Server) -> Result<(), tonic::Status> {
    let dev = server.connect(None).await.unwrap();
    let issued = dev.credentials().issue_credential(issue("alice")).await?.into_inner();
    let run = dev.with_token(&issued.token).unwrap();
    let answer = run.decisions().decide(decide("billing", "refund")).await?.into_inner();
    assert_eq!(answer.effect(), v1::Effect::Allow);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_takes_writes_is_the_database() {
    let _room = room().await;
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut cluster = Cluster::start(folder.path().join("data")).await.unwrap();
    let database = cluster.database().await.unwrap();
    drop(Launch::dev().database(&database).start().await.unwrap());
    cluster.stop().await.unwrap();
    let copied = Command::new("cp").arg("-a").arg(folder.path().join("data")).arg(other_folder.path()).status();
    assert!(copied.unwrap().success());
    cluster.start_again().await.unwrap();
    let standby = start(&other_folder.path().join("data")).await;
    let name = database.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let of_standby = standby.url().replacen("/postgres?", &format!("/{name}?"), 1);
    // As a standby is, to who connects.
    does(&of_standby, "ALTER SYSTEM SET default_transaction_read_only = on").await;

    let [one, other] = [&of_standby, &database.url].map(|url| parameter(url, "host").replace('/', "%2F"));
    let several = Database::of(format!("postgresql://{SERVING_ROLE}@{one}:5432,{other}:5432/{name}"));
    let server = Launch::dev().database(&several).start().await.unwrap();
    assert!(server.http(None).get("/readyz").await.unwrap().status.is_success());

    // A failover: the one is gone, and the other takes writes.
    cluster.stop().await.unwrap();
    let ready = async || server.http(None).get("/readyz").await.is_ok_and(|answer| answer.status.is_success());
    eventually("the server to see that its database is gone", async || !ready().await).await;
    does(&of_standby, "ALTER SYSTEM RESET default_transaction_read_only").await;
    eventually("the server to find the other", ready).await;
    allowed(&server).await.unwrap();
    assert!(server.log().contains("the database is on another host now"), "{}", server.log());
    drop(server);

    // And at a start, with the one that is gone in the list.
    let server = Launch::dev().database(&several).start().await.unwrap();
    allowed(&server).await.unwrap();
    drop(server);
    spawn_blocking(move || standby.stop()).await.unwrap().unwrap();
}
