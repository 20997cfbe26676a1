//! Which sessions may be used: those that began after the last event that made the open ones useless (a failover, a
//! migration).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// When open sessions were last found to be useless, in milliseconds since the first use of this; 0 means never. It is
/// a static because a process has one database, and the error is seen far from the pool.
static ANEW_AT: AtomicU64 = AtomicU64::new(0);

fn since_start() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let elapsed = BEGAN.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Records that the open sessions are useless: they belong to a server that is no longer the primary, or a migration
/// changed what they have prepared.
pub(crate) fn begin_anew() {
    ANEW_AT.store(since_start(), Ordering::Relaxed);
}

/// Whether a connection of this age may be used: it began after the last such event.
pub(crate) fn is_fresh(age: Duration) -> bool {
    let met = ANEW_AT.load(Ordering::Relaxed);
    met == 0 || u128::from(since_start().saturating_sub(met)) >= age.as_millis()
}
