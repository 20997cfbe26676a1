//! Environment variables for other programs that must not affect this one: starts it again without those of Postgres'
//! clients (`PGHOST`, `PGOPTIONS`, ...).

use std::{env, ffi::OsStr, io, os::unix::process::CommandExt as _, process::Command};

use countersign_postgres::child::THIS_PROGRAM;

/// Starts this program again without the variables that Postgres' clients read (`PGHOST`, `PGOPTIONS`, ...), if there
/// are any, so that the private Postgres is reached as it was started, whatever the shell is configured for. The driver
/// reads them itself, and a process cannot safely change its environment; but it can run a program with another
/// environment under the same process id.
pub(crate) fn without_postgres() -> io::Result<()> {
    let of_postgres: Vec<_> = env::vars_os().map(|(name, _)| name).filter(|name| is_of_postgres(name)).collect();
    if of_postgres.is_empty() {
        return Ok(());
    }
    let mut args = env::args_os();
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0(args.next().unwrap_or_else(|| "countersign".into())).args(args);
    for name in of_postgres {
        command.env_remove(name);
    }
    Err(command.exec())
}

/// `PG` followed by capitals. `PG_BIN_DIR` is ours.
fn is_of_postgres(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() > 2 && name.starts_with(b"PG") && name.iter().all(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_postgres_clients_are_known_by_their_names() {
        for name in [
            "PGHOST",
            "PGPORT",
            "PGUSER",
            "PGPASSWORD",
            "PGDATABASE",
            "PGOPTIONS",
            "PGSSLMODE",
            "PGSERVICE",
            "PGPASSFILE",
        ] {
            assert!(is_of_postgres(OsStr::new(name)), "{name}");
        }
        for name in ["PG_BIN_DIR", "PG", "PATH", "COUNTERSIGN_PGHOST", "PGhost"] {
            assert!(!is_of_postgres(OsStr::new(name)), "{name}");
        }
    }
}
