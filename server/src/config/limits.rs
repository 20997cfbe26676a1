//! Limits on what callers can make the server do (`limits.*`), with defaults and ranges: connections, requests,
//! streams, message size, timeouts, rates, refusals, reads, live instances and the recorder's queue.

use std::{num::NonZeroU32, time::Duration};

use countersign_app::{Ceilings, Rate, RateLimits, RefusalLimits};

use super::settings::Settings;

/// Bounds on what callers can make the server do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Limit of open connections.
    pub max_connections: usize,
    /// Limit of open connections of one address.
    pub max_connections_per_peer: usize,
    /// How long an HTTP/1.1 connection may be idle between two requests.
    pub keep_alive: Duration,
    /// Limit of requests at a time; more are refused.
    pub max_concurrent_requests: usize,
    /// Limit of streams (the Watch methods) at a time; they do not count as requests.
    pub max_concurrent_streams: usize,
    /// Largest request, bytes.
    pub max_message_bytes: usize,
    /// Longest time for a request, unless its caller sets a shorter one.
    pub request_timeout: Duration,
    /// Limit of decisions and events that wait to be recorded; more are refused.
    pub recorder_queue: usize,
    /// How fast each caller may call, and credentials of each sponsor are granted.
    pub rates: RateLimits,
    /// How many refusals are answered per minute.
    pub refusals: RefusalLimits,
    /// How many reads of one caller may run at a time.
    pub reads_at_a_time: usize,
    /// Statement timeout of reads.
    pub read_timeout: Duration,
    /// How many instances may be live.
    pub ceilings: Ceilings,
}

impl Limits {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let mut number = |key, range, default| settings.number(key, range, default) as usize;
        let max_connections = number("limits.max_connections", 1..=100_000, 4096);
        let max_connections_per_peer = number("limits.max_connections_per_peer", 1..=100_000, 1024);
        let max_concurrent_requests = number("limits.max_concurrent_requests", 1..=100_000, 1024);
        let max_concurrent_streams = number("limits.max_concurrent_streams", 1..=100_000, 1024);
        let max_message_bytes = number("limits.max_message_bytes", 4096..=4 * 1024 * 1024, 1024 * 1024);
        let recorder_queue = number("limits.recorder_queue", 1..=1_000_000, 8192);
        let request_timeout = settings.number("limits.request_timeout_ms", 10..=300_000, 10_000);
        let reads_at_a_time = settings.number("limits.reads_at_a_time", 1..=1_000, 4) as usize;
        let read_timeout = settings.number("limits.read_timeout_ms", 10..=300_000, 3_000);
        let keep_alive = settings.number("limits.keep_alive_seconds", 1..=3600, 75);
        let mut rate = |per_second, default, burst, default_burst| {
            let per_second = settings.number(per_second, 0..=1_000_000, default);
            let burst = settings.number(burst, 1..=1_000_000, default_burst);
            // 0 means no limit.
            NonZeroU32::new(per_second)
                .zip(NonZeroU32::new(burst))
                .map(|(per_second, burst)| Rate { per_second, burst })
        };
        let rates = RateLimits {
            operator: rate("limits.operator_calls_per_second", 20_000, "limits.operator_calls_burst", 40_000),
            chain: rate("limits.chain_calls_per_second", 20_000, "limits.chain_calls_burst", 40_000),
            sponsor: rate("limits.sponsor_grants_per_second", 5_000, "limits.sponsor_grants_burst", 50_000),
        };
        let mut refusals = |key, default| NonZeroU32::new(settings.number(key, 0..=10_000_000, default));
        let refusals = RefusalLimits {
            chain: refusals("limits.chain_refusals_per_minute", 60),
            caller: refusals("limits.caller_refusals_per_minute", 1_200),
        };
        let mut ceiling =
            |key, default| NonZeroU32::new(settings.number(key, 0..=10_000_000, default)).map(NonZeroU32::get);
        let ceilings = Ceilings {
            sponsor: ceiling("limits.live_instances_per_sponsor", 100_000),
            chain: ceiling("limits.live_instances_per_chain", 10_000),
        };
        Self {
            max_connections,
            max_connections_per_peer,
            keep_alive: Duration::from_secs(keep_alive.into()),
            max_concurrent_requests,
            max_concurrent_streams,
            max_message_bytes,
            request_timeout: Duration::from_millis(request_timeout.into()),
            recorder_queue,
            rates,
            refusals,
            reads_at_a_time,
            read_timeout: Duration::from_millis(read_timeout.into()),
            ceilings,
        }
    }
}
