//! The user that Postgres runs as, because it refuses to run as root: the owner of the data, `postgres` or `nobody`.
//! The cause of a failed start: a full disk, a user without an entry in passwd, or a folder that is closed to the user.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::process::{getegid, geteuid};

use crate::{
    PostgresError,
    error::{NO_SPACE, NO_USER},
};

/// A user for Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    name: String,
    /// Whether this process is root and drops its privileges for Postgres.
    pub(crate) steps_down: bool,
}

impl Account {
    /// The current user; for root, the owner of the data, and if there is none yet `postgres`, otherwise `nobody`.
    pub(crate) fn choose(cluster: &Path) -> Result<Self, PostgresError> {
        let (uid, gid) = (geteuid(), getegid());
        if !uid.is_root() {
            let uid = uid.as_raw();
            return Ok(Self { uid, gid: gid.as_raw(), name: uid.to_string(), steps_down: false });
        }
        if let Some(owner) = fs::metadata(cluster).ok().filter(|owner| owner.uid() != 0) {
            let name = owner.uid().to_string();
            return Ok(Self { uid: owner.uid(), gid: owner.gid(), name, steps_down: true });
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].iter().find_map(|name| look_up(&passwd, name)).ok_or(PostgresError::NoAccount)
    }

    /// Gives a folder to this user, if this process runs as another one.
    pub(crate) fn own(&self, path: &Path) -> Result<(), PostgresError> {
        if !self.steps_down {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|source| PostgresError::folder("change the owner of", path, source))
    }

    /// Turns the failure of a program into its cause, if that is known.
    pub(crate) fn explain(&self, data_dir: &Path, error: PostgresError) -> PostgresError {
        let PostgresError::Failed { message, .. } = &error else { return error };
        if NO_SPACE.iter().any(|mark| message.contains(mark)) {
            return PostgresError::DiskFull { folder: data_dir.to_owned() };
        }
        if message.contains(NO_USER) {
            return PostgresError::NoPasswdEntry { uid: self.uid };
        }
        match self.closed_on_the_way_to(data_dir) {
            Some(at) if self.steps_down => PostgresError::Unreachable { at, user: self.name.clone() },
            _ => error,
        }
    }

    /// The first folder on the path to `path`, or `path` itself, that this user may not enter because of its mode.
    fn closed_on_the_way_to(&self, path: &Path) -> Option<PathBuf> {
        let way: Vec<&Path> = path.ancestors().collect();
        let closed = |at: &&Path| {
            fs::metadata(at).is_ok_and(|folder| {
                let enter = match folder {
                    ref f if f.uid() == self.uid => 0o100,
                    ref f if f.gid() == self.gid => 0o010,
                    _ => 0o001,
                };
                folder.mode() & enter == 0
            })
        };
        way.into_iter().rev().find(closed).map(Path::to_owned)
    }
}

fn look_up(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (found && uid != 0).then(|| Account { uid, gid, name: name.to_owned(), steps_down: true })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_in_passwd_and_root_by_another_name_is_not_taken() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nbroken\npostgres:x:101:104:,,,:/var:/bin/bash\nnobody:x:0:0::/:/bin/sh\n";
        let found = look_up(passwd, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(look_up(passwd, "nobody"), None);
        assert_eq!(look_up(passwd, "post"), None);
    }
}
