//! Every metric that this program counts, with what it means. docs/metrics.md is made of this, and `/metrics` says it as HELP.

use countersign_core::decision::{Effect, Reason};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// What a metric is told apart by.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) name: &'static str,
    /// Its values, where they are few and known.
    pub(super) values: &'static [&'static str],
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [Label],
    /// In whole sentences, for operators.
    pub(super) help: &'static str,
}

/// All of them, by name.
pub(super) const METRICS: [Metric; 57] = [
    Metric {
        name: "countersign_administration_refused_total",
        kind: Kind::Counter,
        labels: &[Label { name: "reason", values: &[] }],
        help: "Refused administration, by the reason of the refusal.",
    },
    Metric {
        name: "countersign_allocator_committed_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory that the allocator (mimalloc) has from the system and may use, whether or not objects lie in it.",
    },
    Metric {
        name: "countersign_allocator_committed_peak_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "The most that it has had since the start.",
    },
    Metric {
        name: "countersign_allocator_reserved_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Address space that the allocator has reserved; what is not committed of it takes no memory.",
    },
    Metric {
        name: "countersign_build_info",
        kind: Kind::Gauge,
        labels: &[Label { name: "version", values: &[] }],
        help: "1, with the version of this server.",
    },
    Metric {
        name: "countersign_change_retries_total",
        kind: Kind::Counter,
        labels: &[Label { name: "method", values: &[] }],
        help: "Changes that were tried again because they met a concurrent one.",
    },
    Metric {
        name: "countersign_clock_skew_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "How far this server's clock is ahead of the database's.",
    },
    Metric {
        name: "countersign_connections_refused_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections refused over `limits.max_connections` or `limits.max_connections_per_peer`, where no idle connection could make room.",
    },
    Metric {
        name: "countersign_connections_replaced_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Idle connections closed to make room for new ones.",
    },
    Metric {
        name: "countersign_connections_stalled_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections closed because their peer did not take its answers.",
    },
    Metric {
        name: "countersign_database_connections",
        kind: Kind::Gauge,
        labels: &[Label { name: "pool", values: &[] }, Label { name: "state", values: &[] }],
        help: "Connections to the database of each pool: `busy` and `idle`.",
    },
    Metric {
        name: "countersign_database_waiting",
        kind: Kind::Gauge,
        labels: &[Label { name: "pool", values: &[] }],
        help: "Callers that wait for a connection of each pool now, those included for whom one is being opened.",
    },
    Metric {
        name: "countersign_decisions_total",
        kind: Kind::Counter,
        labels: &[Label { name: "effect", values: &[] }, Label { name: "reason", values: &[] }],
        help: "Decisions answered.",
    },
    Metric {
        name: "countersign_emitter_gaps_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Reporters that left out numbers of their own events, one for each manifest that says so. Alert on any: reports were lost.",
    },
    Metric {
        name: "countersign_grant_lookups_total",
        kind: Kind::Counter,
        labels: &[Label { name: "found", values: &["yes", "no"] }],
        help: "Credentials that this server had not seen, looked up in the log: `yes`, it was there; `no`, it was not. Alert on any `no`: another party signs with a key of yours.",
    },
    Metric {
        name: "countersign_instances_settled_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Instances whose row and event followed a revocation.",
    },
    Metric {
        name: "countersign_issuance_failure_ratio",
        kind: Kind::Gauge,
        labels: &[],
        help: "Failed ones among the requests for a credential of the last five minutes, on this server, 0 to 1.",
    },
    Metric {
        name: "countersign_issuances_total",
        kind: Kind::Counter,
        labels: &[Label { name: "outcome", values: &["granted", "refused", "failed"] }],
        help: "Requests for a credential: `granted`, `refused` by a rule, `failed` by an internal server error.",
    },
    Metric {
        name: "countersign_kill_switches_engaged",
        kind: Kind::Gauge,
        labels: &[],
        help: "Kill switches that are engaged.",
    },
    Metric {
        name: "countersign_log_altered",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while a stored event of the custody log is known not to be the one that was recorded. Alert on it.",
    },
    Metric {
        name: "countersign_log_checked_size",
        kind: Kind::Gauge,
        labels: &[],
        help: "Events of the custody log that were compared with its tree, in the last whole round or the one under way.",
    },
    Metric {
        name: "countersign_log_checkpoint_size",
        kind: Kind::Gauge,
        labels: &[],
        help: "Events under the newest checkpoint that this server published.",
    },
    Metric {
        name: "countersign_log_size",
        kind: Kind::Gauge,
        labels: &[],
        help: "Events in the custody log, as this server knows it.",
    },
    Metric {
        name: "countersign_oidc_key_fetches_total",
        kind: Kind::Counter,
        labels: &[Label { name: "issuer", values: &[] }, Label { name: "outcome", values: &[] }],
        help: "Fetches of an identity provider's keys, `ok` or `failed`. Alert where it only fails.",
    },
    Metric {
        name: "countersign_outcomes_reported_ratio",
        kind: Kind::Gauge,
        labels: &[],
        help: "Allowed calls whose outcome was reported by its deadline, among all whose outcome the manifests of the last hour and since count, 0 to 1. Alert where it falls: what agents did is not known.",
    },
    Metric {
        name: "countersign_outcomes_unknown_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Allowed calls whose outcome was not reported in time.",
    },
    Metric {
        name: "countersign_policy_compilations_total",
        kind: Kind::Counter,
        labels: &[Label { name: "when", values: &["ahead", "asked", "waited"] }],
        help: "Policies compiled: `ahead` of need, `asked` for by a caller who named one, or while decisions `waited`. Alert on the last.",
    },
    Metric {
        name: "countersign_rate_limited_total",
        kind: Kind::Counter,
        labels: &[Label { name: "limit", values: &["operator", "chain", "sponsor", "reads", "refusals"] }],
        help: "Requests refused as over a rate: of an `operator`, a `chain`, a `sponsor`; or as too many `reads` at a time, or `refusals` a minute.",
    },
    Metric {
        name: "countersign_ready",
        kind: Kind::Gauge,
        labels: &[],
        help: "Whether this server is ready, as `/readyz` says it: 1 or 0.",
    },
    Metric {
        name: "countersign_recorder_batch_size",
        kind: Kind::Histogram,
        labels: &[],
        help: "Submissions in one transaction of the recorder.",
    },
    Metric {
        name: "countersign_recorder_commit_duration_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "How long the recorder took to write a batch and commit it.",
    },
    Metric {
        name: "countersign_recorder_queue",
        kind: Kind::Gauge,
        labels: &[],
        help: "Submissions that wait for the recorder.",
    },
    Metric {
        name: "countersign_recorder_shed_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Submissions refused because the recorder's queue was full.",
    },
    Metric {
        name: "countersign_replays_total",
        kind: Kind::Counter,
        labels: &[Label { name: "outcome", values: &["given", "refused"] }],
        help: "ALLOW answers that were asked for again by their `request_id`: `given` again, or `refused` (ALREADY_DECIDED).",
    },
    Metric {
        name: "countersign_request_duration_seconds",
        kind: Kind::Histogram,
        labels: &[Label { name: "method", values: &[] }],
        help: "How long calls took, until the answer was complete or the stream ended.",
    },
    Metric {
        name: "countersign_requests_total",
        kind: Kind::Counter,
        labels: &[Label { name: "method", values: &[] }, Label { name: "code", values: &[] }],
        help: "Calls of known methods, in every protocol.",
    },
    Metric {
        name: "countersign_rollout_breaches_total",
        kind: Kind::Counter,
        labels: &[Label { name: "gate", values: &[] }, Label { name: "action", values: &[] }],
        help: "Gates that made this server `rollback` or `pause` a rollout.",
    },
    Metric {
        name: "countersign_rollout_gate",
        kind: Kind::Gauge,
        labels: &[Label { name: "gate", values: &[] }],
        help: "What each gate of the open rollout says: 1 passes, -1 fails, 0 inconclusive or not set.",
    },
    Metric {
        name: "countersign_rollout_percent",
        kind: Kind::Gauge,
        labels: &[],
        help: "Percentage of the open rollout; 0 without one.",
    },
    Metric {
        name: "countersign_signing_key_age_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "How long the active signing key has been signing.",
    },
    Metric {
        name: "countersign_signing_key_rotations_total",
        kind: Kind::Counter,
        labels: &[Label { name: "cause", values: &["clock", "request"] }],
        help: "Rotations of the signing key that this server made: by the `clock`, on `request`.",
    },
    Metric {
        name: "countersign_sink_events_total",
        kind: Kind::Counter,
        labels: &[Label { name: "sink", values: &[] }, Label { name: "outcome", values: &["taken", "refused"] }],
        help: "Events that this server forwarded: `taken` by the sink, or `refused` for what they are. Alert on the last.",
    },
    Metric {
        name: "countersign_sink_failures_total",
        kind: Kind::Counter,
        labels: &[Label { name: "sink", values: &[] }],
        help: "Attempts after which a sink had not taken the next event; they are repeated.",
    },
    Metric {
        name: "countersign_sink_lag_events",
        kind: Kind::Gauge,
        labels: &[Label { name: "sink", values: &[] }],
        help: "Events of the log that a sink has not taken yet.",
    },
    Metric {
        name: "countersign_sink_lag_seconds",
        kind: Kind::Gauge,
        labels: &[Label { name: "sink", values: &[] }],
        help: "How long ago the oldest event came that a sink has not taken yet; 0 if it has everything. Alert on it.",
    },
    Metric {
        name: "countersign_sink_refused",
        kind: Kind::Gauge,
        labels: &[Label { name: "sink", values: &[] }],
        help: "Events that a sink refused since it is there, on all servers; the table `sink_refusal` names them.",
    },
    Metric {
        name: "countersign_snapshot_reloads_total",
        kind: Kind::Counter,
        labels: &[Label { name: "where", values: &["recorder"] }],
        help: "Times that the recorder met a newer authority epoch and loaded it.",
    },
    Metric {
        name: "countersign_soonest_end_seconds",
        kind: Kind::Gauge,
        labels: &[Label { name: "kind", values: &[] }],
        help: "How long until the first thing of a kind ends by itself; below 0, it has ended; infinite, there is none.",
    },
    Metric {
        name: "countersign_svids_total",
        kind: Kind::Counter,
        labels: &[Label { name: "kind", values: &[] }, Label { name: "outcome", values: &[] }],
        help: "SVIDs `minted` and `refused`.",
    },
    Metric {
        name: "countersign_token_ttl_seconds",
        kind: Kind::Gauge,
        labels: &[Label { name: "bound", values: &["default", "max"] }],
        help: "How long credentials live by the configuration: by `default`, and at most (`max`).",
    },
    Metric {
        name: "countersign_traces_over_rate_total",
        kind: Kind::Counter,
        labels: &[Label { name: "asked_by", values: &["caller", "server"] }],
        help: "Requests that are not traced because `traces.requests_per_second` was reached, by who wanted the trace.",
    },
    Metric {
        name: "countersign_traces_spans_total",
        kind: Kind::Counter,
        labels: &[Label { name: "outcome", values: &["dropped", "exported", "failed"] }],
        help: "Spans of traces: exported, lost because the collector failed, or dropped because too many waited for it.",
    },
    Metric {
        name: "countersign_unanswered_refusals_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Calls on dead or unknown credentials that were not answered, because too many were.",
    },
    Metric {
        name: "countersign_unattributed_decisions_total",
        kind: Kind::Counter,
        labels: &[Label { name: "kind", values: &["without_sponsor", "unauthenticated"] }],
        help: "Decisions without an accountable sponsor: `without_sponsor`, from callers who are known, and `unauthenticated`, from unknown callers without a valid credential. Alert on both.",
    },
    Metric {
        name: "countersign_unauthenticated_calls_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Calls of callers who were not authenticated; the log names one address a second.",
    },
    Metric {
        name: "countersign_webhook_tries_total",
        kind: Kind::Counter,
        labels: &[Label { name: "webhook", values: &[] }, Label { name: "outcome", values: &[] }],
        help: "Messages `delivered`, `failed` and to be tried again, `given_up` after a day. Alert on the last.",
    },
    Metric {
        name: "countersign_webhook_waiting",
        kind: Kind::Gauge,
        labels: &[Label { name: "webhook", values: &[] }],
        help: "Messages in the outbox, counted once a minute.",
    },
];

/// Tells the exporter of each metric, and counts 0 where it is known what will be counted: an increase from nothing to 1 is none to
/// Prometheus.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in &METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    for Metric { name, kind, labels, .. } in &METRICS {
        match (kind, labels) {
            (Kind::Counter, []) => metrics::counter!(*name).increment(0),
            (Kind::Counter, [label]) => {
                for value in label.values {
                    metrics::counter!(*name, label.name => *value).increment(0);
                }
            }
            _ => {}
        }
    }
    for reason in Reason::ALL {
        let effect = match reason {
            Reason::AllowedByRule | Reason::Observed => Effect::Allow,
            Reason::ApprovalRequired => Effect::RequireApproval,
            _ => Effect::Deny,
        };
        metrics::counter!("countersign_decisions_total", "effect" => effect.as_str(), "reason" => reason.as_str())
            .increment(0);
    }
    metrics::gauge!("countersign_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    use super::*;

    /// The page, as it is to be.
    fn page() -> String {
        let mut page = fs::read_to_string(docs()).unwrap();
        page.truncate(page.find("| metric |").unwrap());
        page.push_str("| metric | kind | labels | |\n|---|---|---|---|\n");
        for Metric { name, kind, labels, help } in &METRICS {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{}`", label.name)).collect();
            let kind = format!("{kind:?}").to_ascii_lowercase();
            writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
        }
        page
    }

    fn docs() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")
    }

    /// `make generate` sets the variable, and then the page is written.
    #[test]
    fn the_page_lists_every_metric() {
        let page = page();
        if std::env::var_os("COUNTERSIGN_GENERATE").is_some() {
            fs::write(docs(), &page).unwrap();
        }
        assert_eq!(fs::read_to_string(docs()).unwrap(), page, "run `make generate`");
    }

    /// The names in calls of the metrics macros, in the crates below this folder.
    fn counted(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                counted(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                    for call in source.split(macro_name).skip(1) {
                        let name = call.trim_start().strip_prefix('"').and_then(|call| call.split('"').next());
                        names.extend(name.filter(|name| name.starts_with("countersign_")).map(str::to_owned));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_counted_is_listed_and_what_is_listed_is_counted() {
        let mut names = BTreeSet::new();
        counted(Path::new(env!("CARGO_MANIFEST_DIR")), &mut names);
        let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(names, listed);
        assert!(METRICS.is_sorted_by(|a, b| a.name < b.name), "by name");
    }
}
