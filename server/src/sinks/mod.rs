//! Sinks: how events of the custody log reach other systems. One file for each kind; those over HTTP share
//! [`receiver`].

mod batch;
mod datadog;
mod elasticsearch;
mod file;
mod otlp_logs;
mod receiver;
mod splunk_hec;
#[cfg(test)]
mod test_server;
