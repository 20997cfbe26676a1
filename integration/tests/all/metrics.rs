//! `/metrics`, as Prometheus reads it.

use std::collections::BTreeSet;

use crate::support::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_says_what_it_is_and_known_counters_begin_with_0() {
    let world = World::start().await;
    let page = async || world.server.http(None).get("/metrics").await.unwrap().text();
    let first = page().await;
    for line in [
        r#"countersign_decisions_total{effect="ALLOW",reason="ALLOWED_BY_RULE"} 0"#,
        r#"countersign_decisions_total{effect="DENY",reason="POLICY_ERROR"} 0"#,
        r#"countersign_unattributed_decisions_total{kind="without_sponsor"} 0"#,
        r#"countersign_rate_limited_total{limit="sponsor"} 0"#,
        "countersign_recorder_shed_total 0",
        r#"countersign_token_ttl_seconds{bound="default"} 300"#,
        r#"countersign_token_ttl_seconds{bound="max"} 900"#,
    ] {
        assert!(first.lines().any(|found| found == line), "{line} is not in\n{first}");
    }
    assert!(first.contains("countersign_build_info{version=") && first.contains("process_resident_memory_bytes"));

    world.run_of("alice").await.decide("search", "query").await.unwrap();
    eventually("the figures are shown", async || {
        let page = page().await;
        ["countersign_ready 1", "countersign_recorder_queue 0", "countersign_recorder_commit_duration_seconds_count"]
            .iter()
            .all(|start| page.lines().any(|line| line.starts_with(start)))
            && page.contains(r#"countersign_database_connections{pool="recorder",state="idle"}"#)
            && page.contains(r#"countersign_database_waiting{pool="ordinary"} 0"#)
            && world.counted("countersign_log_size").await > 0.0
    })
    .await;
    // The program's allocator is the one that counts: it has the memory that this server runs in.
    assert!(world.counted("countersign_allocator_committed_bytes").await > 1_000_000.0);
    let page = page().await;
    let named = |prefix: &str| -> BTreeSet<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(prefix)?.split([' ', '{']).next());
        lines.map(str::to_owned).collect()
    };
    let (helped, typed) = (named("# HELP "), named("# TYPE "));
    assert_eq!(helped, typed, "each has both");
    assert!(helped.len() > 30, "{helped:?}");
}
