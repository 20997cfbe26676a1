//! Programs and libraries that are not ours.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokio::task::spawn_blocking;

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
