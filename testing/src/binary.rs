//! The server's program under test: `COUNTERSIGN_BIN`, or the one of this build, which is built first; and the program
//! that starts Postgres.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::Failure;

/// The server's program: `COUNTERSIGN_BIN` if it is set; otherwise the one of this build's profile, which is built
/// first, so that no test uses an old server.
pub fn binary() -> Result<&'static Path, Failure> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(|| match env::var_os("COUNTERSIGN_BIN") {
        Some(path) => Ok(path.into()),
        None => build().map_err(|failure| failure.to_string()),
    });
    built.as_deref().map_err(|message| message.clone().into())
}

/// A program that starts Postgres: the one under test, or an older one where there is one, because only its
/// `postgres-child` is used. So a test from inside does not wait until the whole server is built.
pub fn launcher() -> Result<&'static Path, Failure> {
    static OLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let older = OLDER.get_or_init(|| {
        let built = profile_folder().ok()?.join("countersign");
        (env::var_os("COUNTERSIGN_BIN").is_none() && built.exists()).then_some(built)
    });
    older.as_deref().map_or_else(binary, Ok)
}

/// The folder of this program's profile: `target/debug`.
fn profile_folder() -> Result<PathBuf, Failure> {
    // <target>/<profile>/deps/<this program>, or one folder up for a program that is not a test.
    let this = env::current_exe()?;
    let folder = this.parent().ok_or("this program lies in no folder")?;
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

/// Builds it with the features that the dependencies have in this build, so that nothing is compiled twice.
fn build() -> Result<PathBuf, Failure> {
    let folder = profile_folder()?;
    let target = folder.parent().ok_or("this program lies outside a target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => return Err("this program lies outside a target folder".into()),
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--locked", "-p", "countersign", "-p", "countersign-integration"]);
    cargo.args(["--bin", "countersign", "--profile", profile, "--target-dir"]).arg(target);
    let status = cargo.status().map_err(|error| format!("cannot run cargo to build the server: {error}"))?;
    if !status.success() {
        return Err(
            "the server does not build: see cargo's messages above, or name a built one in COUNTERSIGN_BIN".into()
        );
    }
    Ok(folder.join("countersign"))
}
