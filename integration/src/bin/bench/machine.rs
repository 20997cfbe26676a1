//! The machine on which the figures depend.

use std::{
    fs,
    io::{Seek as _, Write as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{Result, figures::Spread};

/// The number of bytes that Postgres writes at a time.
const PAGE: usize = 8192;
const SYNCS: Duration = Duration::from_secs(1);

/// The number of threads that can run at once here.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A description of the machine, with the cost of a sync on the disk of `folder`.
pub(crate) fn describe(folder: &Path) -> Result<Vec<(String, String)>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let sync = fdatasync(folder)?;
    Ok(vec![
        ("cores".to_owned(), format!("{} of {}", cores(), model.map_or("an unknown model", |(_, name)| name))),
        (
            "load before the start".to_owned(),
            format!("{load} (anything above 0.3 is somebody else's work and widens the spread)"),
        ),
        ("fdatasync of 8 KiB".to_owned(), format!("median {:.0} us, fastest {:.0} us", sync.median, sync.min)),
    ])
}

/// Repeatedly overwrites one page of a file and waits until the disk has it, as pg_test_fsync does. In microseconds.
fn fdatasync(folder: &Path) -> Result<Spread> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![0; 64 * PAGE])?;
    file.sync_all()?;
    let page = vec![0xA5; PAGE];
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < SYNCS {
        let before = Instant::now();
        file.rewind()?;
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Spread::over(times))
}

/// The CPU time of a process so far, on all cores, in steps of 10 ms. `None` if the system does not tell.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may contain spaces; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

/// Resident memory of a process in MiB. `None` if the system does not tell.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}
