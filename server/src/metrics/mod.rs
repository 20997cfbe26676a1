//! The metrics on `/metrics`, and the buckets of histograms.

mod allocator;
mod catalogue;

use std::time::Duration;

use countersign_transport::MetricsPage;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use metrics_process::Collector;
use tokio::{task::JoinSet, time::interval};

/// Bucket limits for durations, in seconds. 0.2 and 0.3 are the target and the emergency limit of a decision.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 1.0, 3.0, 10.0];
/// Bucket limits for sizes.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// How often measurements are added to the buckets. Until then they take memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts the metrics. The task that limits their memory joins `tasks`.
pub(crate) fn start(tasks: &mut JoinSet<()>) -> Result<MetricsPage, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES)?
        .install_recorder()?;
    catalogue::describe();
    // Standard names: process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds and others.
    let process = Collector::default();
    process.describe();
    let upkeep = handle.clone();
    tasks.spawn(async move {
        let mut ticks = interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(MetricsPage::new(move || {
        process.collect();
        allocator::collect();
        handle.render()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    const PAGE: &str = include_str!("../../../docs/metrics.md");

    #[test]
    fn the_alert_rules_are_whole_and_ask_for_metrics_that_there_are() {
        let rules: Value = serde_saphyr::from_str(include_str!("../../../deploy/alerts/countersign.yml")).unwrap();
        let rules = rules["groups"][0]["rules"].as_array().unwrap();
        assert!(rules.iter().any(|rule| {
            let failures = rule["expr"].as_str().unwrap();
            failures.contains("outcome=\"failed\"") && failures.trim_end().ends_with("> 0.005")
        }));
        for rule in rules {
            let expr = rule["expr"].as_str().unwrap();
            let words = expr.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let metrics: Vec<_> = words.filter(|word| word.starts_with("countersign_")).collect();
            assert!(!metrics.is_empty() || expr.starts_with("up{"), "{expr}");
            for metric in metrics {
                let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
                assert!(PAGE.contains(&format!("`{metric}`")), "{metric} is not in docs/metrics.md");
            }
            assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
            for key in ["/alert", "/for", "/labels/severity", "/annotations/summary", "/annotations/description"] {
                assert!(rule.pointer(key).is_some_and(Value::is_string), "{expr}: {key}");
            }
        }
    }

    #[test]
    fn the_dashboard_shows_what_the_brief_monitors_and_metrics_that_there_are() {
        let dashboard: Value = serde_json::from_str(include_str!("../../../deploy/grafana/countersign.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let titles: Vec<_> = panels.iter().map(|panel| panel["title"].as_str().unwrap()).collect();
        for title in ["Token TTL", "Missing sponsor_id", "Policy errors", "Decision latency", "Issuance failures"] {
            assert!(titles.contains(&title), "{title} is not in {titles:?}");
        }
        for panel in panels {
            for target in panel["targets"].as_array().unwrap() {
                let expr = target["expr"].as_str().unwrap();
                let words = expr.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let metrics: Vec<_> = words.filter(|word| word.starts_with("countersign_")).collect();
                assert!(!metrics.is_empty(), "{expr}");
                for metric in metrics {
                    let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
                    assert!(PAGE.contains(&format!("`{metric}`")), "{metric} is not in docs/metrics.md");
                }
                assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
            }
        }
    }
}
