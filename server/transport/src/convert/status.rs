//! Readiness.

use countersign_app::Readiness;
use countersign_proto::v1;

pub(crate) fn readiness(readiness: Readiness) -> v1::GetReadinessResponse {
    let checks = readiness.checks.into_iter();
    let checks: Vec<_> = checks
        .map(|check| v1::ReadinessCheck { name: check.name.to_owned(), ok: check.ok, message: check.message })
        .collect();
    v1::GetReadinessResponse { ready: checks.iter().all(|check| check.ok), checks, warnings: readiness.warnings }
}
