//! The load client. In a closed loop a fixed number of callers each call again when they are answered. In an open loop
//! a fixed number of calls per second is made, whether or not the earlier ones are answered, and each is timed from
//! when it was due; so a server that stalls cannot hide it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::{
    Result,
    figures::{Run, float, histogram},
    machine::cpu_time,
};

/// The length of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// The time before anything is counted, for connections, caches and the end of the other side.
    pub(crate) warm_up: Duration,
    /// The time that is counted.
    pub(crate) measured: Duration,
}

/// How long a single call may take before the run is abandoned.
const PATIENCE: Duration = Duration::from_secs(20);
/// Limit of the calls of an open loop at a time; above it the server does not keep up, and the run has no result.
const MOST_IN_FLIGHT: usize = 20_000;

/// Something that can be called repeatedly.
pub(crate) trait Call: Send + 'static {
    /// Makes one call. Returns its units of work, or `None` when there is no more to do.
    fn call(&mut self) -> impl Future<Output = Result<Option<u32>>> + Send;
}

/// Runs callers side by side, until the time has passed or the first one has no more to do. The rate is in units of
/// work, and so is the CPU time of the `servers`, which are processes.
pub(crate) async fn closed<C: Call>(callers: Vec<C>, length: Length, servers: &[u32]) -> Result<Run> {
    let start = Instant::now() + length.warm_up;
    let end = start + length.measured;
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for caller in callers {
        let over = Arc::clone(&over);
        tasks.spawn(call_until(caller, start, end, over));
    }
    let worked = {
        let servers = servers.to_vec();
        move || servers.iter().map(|server| cpu_time(*server)).sum::<Option<Duration>>()
    };
    let before = tokio::spawn({
        let worked = worked.clone();
        async move {
            sleep_until(start).await;
            worked()
        }
    });
    let (mut units, mut times, mut last) = (0, histogram(), start);
    while let Some(done) = timeout(PATIENCE + length.warm_up + length.measured, tasks.join_next())
        .await
        .map_err(|_| format!("a call took longer than {PATIENCE:?}"))?
    {
        let done = done??;
        units += done.units;
        times.add(&done.times)?;
        last = last.max(done.last);
    }
    let counted = (last - start).as_secs_f64();
    if times.is_empty() {
        return Err("no call ended within the run".into());
    }
    let cpu = worked().zip(before.await?).map(|(after, before)| after.saturating_sub(before).div_f64(float(units)));
    Ok(Run { cpu: cpu.filter(|_| !servers.is_empty()), ..Run::of_times(float(units) / counted, &times) })
}

/// The results of one caller.
struct Done {
    units: u64,
    times: Histogram<u64>,
    /// When its last counted call ended.
    last: Instant,
}

async fn call_until<C: Call>(mut caller: C, start: Instant, end: Instant, over: Arc<AtomicBool>) -> Result<Done> {
    let mut done = Done { units: 0, times: histogram(), last: start };
    while !over.load(Ordering::Relaxed) {
        let before = Instant::now();
        let Some(units) = caller.call().await? else {
            over.store(true, Ordering::Relaxed);
            break;
        };
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= start {
            done.units += u64::from(units);
            done.times.saturating_record(nanos(now - before));
            done.last = now;
        }
    }
    Ok(done)
}

/// `rate` calls per second, over `callers` in turn.
pub(crate) async fn open<C: Call + Clone>(callers: Vec<C>, rate: f64, length: Length) -> Result<Run> {
    let start = Instant::now();
    let warm = start + length.warm_up;
    let end = warm + length.measured;
    let mut callers = callers.into_iter().cycle();
    let mut tasks: JoinSet<Result<(Instant, Instant)>> = JoinSet::new();
    let (mut sent, mut times, mut counted) = (0_u64, histogram(), 0_u64);
    let mut take = |due: Instant, ended: Instant| {
        if due >= warm {
            counted += 1;
            times.saturating_record(nanos(ended - due));
        }
    };
    // Calls that are due within a tick are sent at its end, and the wait is counted, so the measured time can only be
    // too high.
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = ticks.tick().await.min(end);
        let now = now.max(Instant::now().min(end));
        loop {
            let due = start + Duration::from_secs_f64(float(sent) / rate);
            if due >= now {
                break;
            }
            let mut caller = callers.next().ok_or("an open loop needs a caller")?;
            tasks.spawn(async move {
                pin!(caller.call()).await?;
                Ok((due, Instant::now()))
            });
            sent += 1;
        }
        while let Some(done) = tasks.try_join_next() {
            let (due, ended) = done??;
            take(due, ended);
        }
        if tasks.len() > MOST_IN_FLIGHT {
            return Err(format!("the server does not keep up with {rate:.0} calls a second").into());
        }
        if now >= end {
            break;
        }
    }
    while let Some(done) = timeout(PATIENCE, tasks.join_next()).await.map_err(|_| "calls are left unanswered")? {
        let (due, ended) = done??;
        take(due, ended);
    }
    Ok(Run::of_times(float(counted) / length.measured.as_secs_f64(), &times))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SHORT: Length = Length { warm_up: Duration::from_millis(20), measured: Duration::from_millis(200) };

    /// Takes a fixed time, and ends after a number of calls.
    #[derive(Clone)]
    struct Slow(Duration, u32);

    impl Call for Slow {
        async fn call(&mut self) -> Result<Option<u32>> {
            sleep(self.0).await;
            self.1 -= 1;
            Ok((self.1 > 0).then_some(2))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_counts_units_and_times_calls() {
        let run = closed(vec![Slow(Duration::from_millis(10), 1000); 4], SHORT, &[]).await.unwrap();
        assert!((run.rate - 800.0).abs() < 80.0, "{run:?}");
        assert!(run.p50.unwrap() >= Duration::from_millis(10), "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_ends_with_the_first_caller_that_has_no_more_to_do() {
        let callers = vec![Slow(Duration::from_millis(10), 8), Slow(Duration::from_millis(10), 1000)];
        let run = closed(callers, SHORT, &[]).await.unwrap();
        assert!((run.rate - 400.0).abs() < 80.0, "{run:?}");
    }

    /// Does not answer until a certain moment.
    #[derive(Clone)]
    struct Stalled(Instant);

    impl Call for Stalled {
        async fn call(&mut self) -> Result<Option<u32>> {
            tokio::time::sleep_until(self.0).await;
            Ok(Some(1))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_times_calls_from_when_they_were_due() {
        let stall = Instant::now() + Duration::from_millis(120);
        let run = open(vec![Stalled(stall)], 1000.0, SHORT).await.unwrap();
        assert!((run.rate - 1000.0).abs() < 20.0, "{run:?}");
        // Half of the counted calls were due during the stall's second half, which lasted 100 ms of 200.
        assert!(run.p99.unwrap() > Duration::from_millis(90), "{run:?}");
    }
}
