//! The figures that `/metrics` shows.

use std::time::Duration;

use countersign_transport::MetricsPage;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tokio::{task::JoinSet, time::interval};

/// Bounds of durations, seconds. 0.2 and 0.3 are the target and the emergency of a decision.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 1.0, 3.0, 10.0];
/// Bounds of sizes.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// How often what was measured is folded into the buckets. Until then it takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts counting. What keeps the figures small joins `tasks`.
pub(crate) fn start(tasks: &mut JoinSet<()>) -> Result<MetricsPage, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tasks.spawn(async move {
        let mut ticks = interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(MetricsPage::new(move || handle.render()))
}
