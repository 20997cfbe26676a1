//! Finds the programs of Postgres: in `PG_BIN_DIR`, otherwise in PATH and in Debian's folders; for existing data, those
//! of the major version that wrote it.

use std::{
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::PostgresError;

/// The two programs that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
}

/// Where to search for them.
#[derive(Debug)]
pub(crate) struct Search {
    /// The only folder to search, if one is named.
    pub(crate) named: Option<PathBuf>,
    /// Folders, best first.
    pub(crate) folders: Vec<PathBuf>,
}

impl Search {
    /// `PG_BIN_DIR`; otherwise PATH, then the folders of Debian, newest first.
    pub(crate) fn from_environment() -> Self {
        let mut folders: Vec<PathBuf> =
            env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        folders.extend(versions(Path::new("/usr/lib/postgresql")));
        Self { named: env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from), folders }
    }

    /// The best programs that are installed.
    pub(crate) fn find(&self) -> Result<Programs, PostgresError> {
        self.candidates().into_iter().next().ok_or_else(|| PostgresError::NoPrograms { searched: self.searched() })
    }

    /// The best programs that can read the data of a cluster: those of the major version that wrote it.
    pub(crate) fn find_version(&self, cluster: &Path) -> Result<Programs, PostgresError> {
        let file = cluster.join("PG_VERSION");
        let wanted = fs::read_to_string(&file).map_err(|source| PostgresError::folder("read", &file, source))?;
        let wanted = wanted.trim().to_owned();
        let mut found = Vec::new();
        for programs in self.candidates() {
            let version = programs.major_version();
            if version.as_ref() == Some(&wanted) {
                return Ok(programs);
            }
            found.extend(version);
        }
        if found.is_empty() {
            return Err(PostgresError::NoPrograms { searched: self.searched() });
        }
        let folder = cluster.parent().unwrap_or(cluster).to_owned();
        Err(PostgresError::WrongVersion { folder, wanted, found: found.join(", ") })
    }

    fn searched(&self) -> Vec<PathBuf> {
        self.named.clone().map_or_else(|| self.folders.clone(), |named| vec![named])
    }

    /// Wrapper scripts (such as Debian's or a package manager's) come last, because a script in between may not pass on
    /// signals.
    fn candidates(&self) -> Vec<Programs> {
        let mut candidates: Vec<Programs> = Vec::new();
        for programs in self.searched().iter().filter_map(|folder| Programs::in_folder(folder)) {
            if !candidates.contains(&programs) {
                candidates.push(programs);
            }
        }
        candidates.sort_by_key(|programs| is_script(&programs.initdb) || is_script(&programs.postgres));
        candidates
    }
}

impl Programs {
    /// The programs in a folder. Links are followed, so that both come from their real folder.
    fn in_folder(folder: &Path) -> Option<Self> {
        let initdb = fs::canonicalize(folder.join("initdb")).ok()?;
        let beside = [initdb.parent()?, folder].map(|home| home.join("postgres"));
        let postgres = beside.into_iter().find(|postgres| postgres.is_file())?;
        Some(Self { initdb, postgres })
    }

    fn major_version(&self) -> Option<String> {
        let output = Command::new(&self.postgres).arg("--version").output().ok()?;
        major(&String::from_utf8_lossy(&output.stdout))
    }
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` is 15.
fn major(version: &str) -> Option<String> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!major.is_empty()).then_some(major)
}

fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

/// `root/<version>/bin`, the highest version first.
fn versions(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by_key(|&(version, _)| std::cmp::Reverse(version));
    found.into_iter().map(|(_, bin)| bin).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn install(folder: &Path, content: &str) {
        fs::create_dir_all(folder).unwrap();
        for program in ["initdb", "postgres"] {
            fs::write(folder.join(program), content).unwrap();
        }
    }

    #[test]
    fn the_error_for_missing_programs_says_how_to_install_them() {
        let root = tempfile::tempdir().unwrap();
        let search = Search { named: None, folders: vec![root.path().to_owned()] };
        let message = search.find().unwrap_err().to_string();
        assert!(message.contains("apt-get install postgresql") && message.contains("PG_BIN_DIR"), "{message}");
        assert!(message.contains(root.path().to_str().unwrap()), "{message}");
    }

    #[test]
    fn a_named_folder_is_the_only_one_looked_in() {
        let root = tempfile::tempdir().unwrap();
        install(&root.path().join("real"), "\x7fELF");
        let search = Search { named: Some(root.path().join("none")), folders: vec![root.path().join("real")] };
        let message = search.find().unwrap_err().to_string();
        assert!(message.contains("none") && !message.contains("real"), "{message}");
    }

    #[test]
    fn links_are_followed_and_scripts_come_last() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (wrapped, linked, real) = (root.join("wrapped"), root.join("linked"), root.join("real"));
        install(&wrapped, "#!/bin/sh");
        install(&real, "\x7fELF");
        fs::create_dir(&linked).unwrap();
        symlink(real.join("initdb"), linked.join("initdb")).unwrap();

        let search = Search { named: None, folders: vec![wrapped.clone(), linked] };
        assert_eq!(search.find().unwrap().postgres, real.join("postgres"));
        let search = Search { named: None, folders: vec![wrapped.clone()] };
        assert_eq!(search.find().unwrap().postgres, wrapped.join("postgres"));
    }

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "notes"] {
            fs::create_dir_all(root.path().join(version).join("bin")).unwrap();
        }
        let expected: Vec<_> = ["17", "15", "9"].iter().map(|version| root.path().join(version).join("bin")).collect();
        assert_eq!(versions(root.path()), expected);
    }

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n").as_deref(), Some("15"));
        assert_eq!(major("postgres (PostgreSQL) 18beta1").as_deref(), Some("18"));
        assert_eq!(major("command not found"), None);
    }
}
