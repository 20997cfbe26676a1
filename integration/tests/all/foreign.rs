//! Programs and libraries that are not ours.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokio::task::spawn_blocking;

use crate::support::World;

/// Where the tests that use `name` lie.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name)
}

/// Installs what the tests in that folder use, unless it is there.
pub(crate) async fn install(name: &str) {
    let mut setup = Command::new(folder("setup.sh"));
    setup.arg(name);
    run(setup).await;
}

/// Runs a program to its end; what it said is shown where it fails.
pub(crate) async fn run(mut program: Command) {
    // Not its arguments or its environment: there are keys in them.
    let what = program.get_program().to_owned();
    let ended = spawn_blocking(move || program.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ended.status.success(), "{}: {}\n{}\n{}", what.display(), ended.status, said[0], said[1]);
}

/// Runs the commands of a page of the documentation, as printed, against a world's server.
pub(crate) async fn documented(world: &World, page: &str) {
    let commands = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let strict = "curl() { command curl --silent --show-error --fail-with-body \"$@\"; }\nset -euo pipefail\n";
    let address = world.server.address().to_string();
    let script = commands.fold(strict.to_owned(), |script, block| script + &block.replace("localhost:8080", &address));
    assert!(script.contains(&address));
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(world.server.data_dir(), folder.path().join(".countersign")).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path());
    run(bash).await;
}
