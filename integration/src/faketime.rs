//! Clocks that can be set while a program runs: Debian's faketime, for the wall clock only. The monotonic clock
//! (CLOCK_MONOTONIC) advances evenly, as on a machine whose clock is set.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Failure, Launch, binary};

/// The path of the library for programs with threads in Debian's package `faketime`, by kind of machine.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// A separate clock for one program, in a folder that the program can read.
#[derive(Debug)]
pub struct FakeClock {
    file: PathBuf,
    library: &'static str,
}

impl FakeClock {
    /// A clock that is still correct, in a file of this name in `folder`.
    pub fn new(folder: &Path, name: &str) -> Result<Self, Failure> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists());
        let library = library.ok_or("faketime is not installed: run scripts/setup.sh, or apt-get install faketime")?;
        let clock = Self { file: folder.join(name), library };
        clock.is_off_by(0.0)?;
        Ok(clock)
    }

    /// From now on the clock is this many seconds ahead of the machine's, or behind.
    pub fn is_off_by(&self, seconds: f64) -> Result<(), Failure> {
        self.set(&format!("{seconds:+}"))
    }

    /// From now on the clock stands still.
    pub fn is_frozen(&self) -> Result<(), Failure> {
        let now = Command::new("date").args(["-u", "+%F %T"]).output()?;
        self.set(String::from_utf8(now.stdout)?.trim())
    }

    fn set(&self, text: &str) -> Result<(), Failure> {
        // In one step, because the file is read on every reading of the clock.
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
        Ok(fs::rename(new, &self.file)?)
    }

    /// The variables with which a program uses this clock.
    fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("TZ", "UTC".to_owned()),
        ]
    }

    /// Makes a server use this clock.
    #[must_use]
    pub fn drive(&self, launch: Launch) -> Launch {
        self.variables().iter().fold(launch, |launch, (name, value)| launch.variable(name, value))
    }

    /// A launcher whose Postgres uses this clock: the server's program, which starts `postgres` through `env`.
    pub fn launcher(&self) -> Result<PathBuf, Failure> {
        let variables: Vec<_> = self.variables().iter().map(|(name, value)| format!("'{name}={value}'")).collect();
        let script = format!(
            "#!/bin/bash\nargs=()\nfor arg in \"$@\"; do\n  [[ $arg != */bin/postgres ]] || args+=(/usr/bin/env {})\n  args+=(\"$arg\")\n\
             done\nexec -a countersign '{}' \"${{args[@]}}\"\n",
            variables.join(" "),
            binary()?.display()
        );
        let path = self.file.with_extension("launcher");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}
