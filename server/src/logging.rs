//! The server's log, on standard error.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Starts the log of this process. A second call changes nothing.
pub(crate) fn start(log: &Log) {
    // The level was checked with the rest of the configuration.
    let filter = EnvFilter::new(&log.level);
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // The reader of the log may disconnect. The server continues, and an attempt to report the error there would panic.
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).log_internal_errors(false);
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}
