//! OAuth's doors by libraries that are not ours, and by the documented commands.

use std::{net::TcpListener, path::Path, process::Command};

use countersign_integration::{Launch, Server};

use crate::{
    foreign::{self, install, run},
    support::World,
};

/// A server whose issuer is where it listens, below a path.
async fn reachable(world: &World, folder: &Path) -> (Server, String) {
    // Free a moment ago; the issuer must be known before the server can tell.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = format!("http://{address}/agents");
    let config = folder.join("token-service-config.yml");
    std::fs::write(&config, format!("issuer: {issuer}\nsupported_tools: [billing, search]\n")).unwrap();
    let launch = Launch::dev().database(&world.database).variable("COUNTERSIGN_LISTEN", &address.to_string());
    (launch.arg("--token-service-config").arg(config.to_str().unwrap()).start().await.unwrap(), issuer)
}

/// Runs tests of libraries that are not ours.
async fn libraries(program: &str, arguments: &[&str]) {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    install("oauth").await;
    let (_server, issuer) = reachable(&world, folder.path()).await;
    let key = |id: &str| world.server.operator_key(id).unwrap();
    let mut tests = Command::new(program);
    tests.args(arguments).current_dir(foreign::folder("oauth"));
    tests.env("COUNTERSIGN_ISSUER", issuer);
    tests.env("COUNTERSIGN_RITA", key("rita")).env("COUNTERSIGN_OSCAR", key("oscar"));
    run(tests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_and_pyjwt_work_as_they_are() {
    libraries(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../target/foreign/oauth/bin/python"),
        &["-m", "unittest", "test_libraries"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_oauth4webapi_and_jose_work_as_they_are() {
    libraries("node", &["--test", "libraries.test.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_work() {
    let world = World::start().await;
    let page = include_str!("../../../docs/oauth.md");
    assert!(page.contains("/oauth/token"));
    foreign::documented(&world, page).await;
}
