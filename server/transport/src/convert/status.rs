//! Conversion of readiness and indicators, and the window of indicators by default (`DEFAULT_WINDOW`).

use countersign_app::{Error, IndicatorWindow, Readiness};
use countersign_proto::v1;

use super::{
    narrow, read,
    rollout::WINDOW,
    time::{microseconds, timestamp},
    wide,
};

/// The window for callers that name no sponsor, in seconds.
const DEFAULT_WINDOW: u32 = 300;

pub(crate) fn readiness(readiness: Readiness) -> v1::GetReadinessResponse {
    let checks = readiness.checks.into_iter();
    let checks: Vec<_> = checks
        .map(|check| v1::ReadinessCheck { name: check.name.to_owned(), ok: check.ok, message: check.message })
        .collect();
    v1::GetReadinessResponse { ready: checks.iter().all(|check| check.ok), checks, warnings: readiness.warnings }
}

pub(crate) fn window(request: &v1::GetIndicatorsRequest) -> Result<u32, Error> {
    read(|v| Ok(v.seconds("window", request.window, WINDOW)?.unwrap_or(DEFAULT_WINDOW)))
}

pub(crate) fn indicators(window: &IndicatorWindow) -> v1::GetIndicatorsResponse {
    let [p50, p95, p99] = window.latency_us.map_or([None; 3], |latency| latency.map(microseconds).map(Some));
    v1::GetIndicatorsResponse {
        decisions: wide(window.decisions),
        missing_sponsor_bp: narrow(window.missing_sponsor_bp),
        unauthenticated_decisions: i64::try_from(window.unauthenticated).unwrap_or(i64::MAX),
        policy_error_bp: narrow(window.policy_error_bp),
        latency_p95: p95,
        issuance_failure_bp: narrow(window.issuance_failure_bp),
        end_time: Some(timestamp(window.end_time)),
        start_time: Some(timestamp(window.start_time)),
        issuances: wide(window.issuances),
        observed_decisions: wide(window.observed),
        open_decisions: wide(window.open),
        shed_requests: wide(window.shed),
        latency_p50: p50,
        latency_p99: p99,
    }
}
