//! The metrics on `/metrics`.

use std::time::Duration;

use countersign_transport::MetricsPage;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    const OPERATING: &str = include_str!("../../docs/operating.md");

    #[test]
    fn the_alert_rules_are_whole_and_ask_for_metrics_that_there_are() {
        let rules: Value = serde_saphyr::from_str(include_str!("../../deploy/alerts/countersign.yml")).unwrap();
        let rules = rules["groups"][0]["rules"].as_array().unwrap();
        assert!(rules.iter().any(|rule| {
            let failures = rule["expr"].as_str().unwrap();
            failures.contains("outcome=\"failed\"") && failures.trim_end().ends_with("> 0.005")
        }));
        for rule in rules {
            let expr = rule["expr"].as_str().unwrap();
            let words = expr.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let metrics: Vec<_> = words.filter(|word| word.starts_with("countersign_")).collect();
            assert!(!metrics.is_empty(), "{expr}");
            for metric in metrics {
                assert!(OPERATING.contains(&format!("`{metric}`")), "{metric} is not in docs/operating.md");
            }
            assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
            for key in ["/alert", "/for", "/labels/severity", "/annotations/summary", "/annotations/description"] {
                assert!(rule.pointer(key).is_some_and(Value::is_string), "{expr}: {key}");
            }
        }
    }
}
