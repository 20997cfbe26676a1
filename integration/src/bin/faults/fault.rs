//! The faults, and how each is undone.

use std::time::Duration;

use countersign_integration::{Failure, Weather};
use rand::{RngExt as _, rngs::StdRng};
use sqlx::Executor as _;
use tokio::time::{Instant, sleep};

use crate::{
    arena::{Arena, SERVERS},
    load::Load,
    small_disk::SmallDisk,
};

/// An hour, in seconds.
const HOUR: f64 = 3_600.0;
/// How long a full disk may go unnoticed.
const NOTICED: Duration = Duration::from_secs(20);
/// How many segments of the write-ahead log are begun at most to find no room for one.
const SEGMENTS: usize = 64;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Kind {
    /// kill -9 of one server, or of both.
    Server,
    /// kill -9 of all processes of Postgres.
    Postgres,
    /// No room on the disk of Postgres and of the servers.
    DiskFull,
    /// A server's clock is set an hour back and an hour forward.
    Clock,
    /// The connections of a server to Postgres break where answers would have come.
    Network,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Server, Self::Postgres, Self::DiskFull, Self::Clock, Self::Network];

    /// In words, for the table.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Server => "`kill -9` of a server, or of both",
            Self::Postgres => "`kill -9` of Postgres, all its processes",
            Self::DiskFull => "disk full, then room again",
            Self::Clock => "a server's clock an hour back and an hour forward",
            Self::Network => "network between server and Postgres cut in an answer",
        }
    }
}

/// Breaks something, and undoes it. Returns when what was ended runs again.
pub(crate) async fn inject(
    kind: Kind,
    arena: &mut Arena,
    load: &Load,
    disk: Option<&SmallDisk>,
    rng: &mut StdRng,
) -> Result<(), Failure> {
    match kind {
        Kind::Server => {
            let one = rng.random_range(0..SERVERS);
            let which = if rng.random_ratio(1, 4) { (0..SERVERS).collect() } else { vec![one] };
            arena.kill(&which);
            pause(rng, 0..=200).await;
            for nth in which {
                arena.start_again(nth).await?;
            }
        }
        Kind::Postgres => {
            arena.cluster.kill().await?;
            pause(rng, 0..=200).await;
            arena.cluster.start_again().await?;
        }
        Kind::DiskFull => {
            let disk = disk.ok_or("there is no disk that can be filled")?;
            fill(disk, arena, load, rng).await?;
            disk.clear()?;
            arena.recover().await?;
        }
        Kind::Clock => {
            let clock = arena.clock.as_ref().ok_or("no server has a clock of its own")?;
            let off = if rng.random() { HOUR } else { -HOUR };
            for off in [off, -off, 0.0] {
                clock.is_off_by(off)?;
                pause(rng, 300..=1_200).await;
            }
        }
        Kind::Network => {
            let proxy = &arena.servers[rng.random_range(0..SERVERS)].proxy;
            proxy.becomes(Weather::Unanswered);
            pause(rng, 20..=300).await;
            proxy.becomes(Weather::Cut);
            pause(rng, 0..=200).await;
            proxy.becomes(Weather::Fair);
        }
    }
    Ok(())
}

/// Fills the disk until callers notice, and keeps it full for a moment. Every other time also the write-ahead log has to
/// find new room, without which Postgres ends.
async fn fill(disk: &SmallDisk, arena: &Arena, load: &Load, rng: &mut StdRng) -> Result<(), Failure> {
    let journal = &load.shared.journal;
    let (unanswered, began) = (journal.counts().unanswered, Instant::now());
    let mut admin = arena.database.connect().await?;
    // What a run has written so far takes no more room than it has to.
    admin.execute("CHECKPOINT").await?;
    disk.fill()?;
    if rng.random() {
        for _ in 0..SEGMENTS {
            if admin.execute("SELECT pg_switch_wal()").await.is_err() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    while journal.counts().unanswered == unanswered {
        if began.elapsed() > NOTICED {
            return Err("nothing failed on a full disk: the fault shows nothing".into());
        }
        disk.fill()?;
        sleep(Duration::from_millis(20)).await;
    }
    let until = Instant::now() + Duration::from_millis(rng.random_range(200..1_000));
    while Instant::now() < until {
        disk.fill()?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn pause(rng: &mut StdRng, millis: std::ops::RangeInclusive<u64>) {
    sleep(Duration::from_millis(rng.random_range(millis))).await;
}
