//! The server's log, on standard error, as text or JSON, and the layer of its traces. A failure as a line of a JSON
//! log.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use countersign_core::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use crate::{
    config::{Log, LogFormat, Problem},
    traces::Exporter,
};

/// Spans for traces are not for the log. Without traces they then do not exist.
const NO_TRACES: &str = "countersign_trace=off";

/// Starts the log of this process, and the spans that `traces` exports. A second call changes nothing.
pub(crate) fn start(log: &Log, traces: Option<&Exporter>) {
    // The level was checked with the rest of the configuration.
    let filter = EnvFilter::new(format!("{},{NO_TRACES}", log.level));
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // The reader of the log may disconnect. The server continues, and an attempt to report the error there would panic.
    let Some(traces) = traces else {
        let builder =
            fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).log_internal_errors(false);
        let _ = match log.format {
            LogFormat::Text => builder.with_target(false).try_init(),
            LogFormat::Json => {
                builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
            }
        };
        return;
    };
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours).log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let _ = registry().with(lines.with_filter(filter)).with(traces.layer()).try_init().map_err(drop);
}

/// A failure as a line of a JSON log, for a program that ends before or after it has one.
pub(crate) fn failure(message: &str, problems: &[Problem]) -> String {
    let mut line = json!({ "level": "ERROR", "message": message });
    // A time before the year 0 cannot be written.
    if let Ok(now) = SystemClock.now().format(&Rfc3339) {
        line["timestamp"] = now.into();
    }
    if !problems.is_empty() {
        line["problems"] = problems.iter().map(problem).collect();
    }
    line.to_string()
}

fn problem(problem: &Problem) -> Value {
    json!({
        "place": problem.origin.to_string().trim_end_matches(": "),
        "key": problem.key,
        "message": problem.message,
    })
}
