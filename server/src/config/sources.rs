//! The sources of a configuration, later ones overriding earlier ones: `countersign.yaml`, `COUNTERSIGN_*` and
//! `DATABASE_URL`, flags. The list of its keys, which of them only the environment may contain, and which sources
//! `--dev` ignores.

use std::path::Path;

use super::{
    log::LogFormat,
    problem::{Origin, Problems},
    settings::{Settings, Variable},
    traces,
};

/// The file that is read if none is named and this one exists.
const DEFAULT_FILE: &str = "countersign.yaml";

const KEYS: [&str; 98] = [
    "listen",
    "plaintext",
    "public_url",
    "tls.certificate",
    "tls.private_key",
    "tls.client_ca",
    "health.listen",
    "trusted_proxies[]",
    "shutdown.delay_seconds",
    "data_dir",
    "database_url",
    "database_max_connections",
    "database_read_connections",
    "database_plaintext",
    "database_storage",
    "database_pooler",
    "audience",
    "token_service",
    "spiffe.trust_domain",
    "policy",
    "key_encryption_key_file",
    "previous_key_encryption_key_file",
    "keys.rotation_hours",
    "log.format",
    "log.level",
    "log.access",
    "traces.endpoint",
    "traces.protocol",
    "traces.headers_file",
    "traces.ca",
    "traces.timeout_ms",
    "traces.service_name",
    "traces.sample_ratio",
    "traces.requests_per_second",
    "traces.level",
    "limits.max_connections",
    "limits.max_connections_per_peer",
    "limits.keep_alive_seconds",
    "limits.max_concurrent_requests",
    "limits.max_concurrent_streams",
    "limits.max_message_bytes",
    "limits.request_timeout_ms",
    "limits.recorder_queue",
    "limits.reads_at_a_time",
    "limits.read_timeout_ms",
    "limits.chain_refusals_per_minute",
    "limits.caller_refusals_per_minute",
    "limits.operator_calls_per_second",
    "limits.operator_calls_burst",
    "limits.chain_calls_per_second",
    "limits.chain_calls_burst",
    "limits.sponsor_grants_per_second",
    "limits.sponsor_grants_burst",
    "limits.live_instances_per_sponsor",
    "limits.live_instances_per_chain",
    "approvals.life_seconds",
    "approvals.pending_per_instance",
    "approvals.pending_per_chain",
    "approvals.pending_per_sponsor",
    "outcomes.deadline_seconds",
    "custody.origin",
    "custody.checkpoints",
    "rollouts.one_caller",
    "four_eyes",
    "four_eyes[]",
    "worker_threads",
    "operators.oidc[].name",
    "operators.oidc[].issuer",
    "operators.oidc[].audience",
    "operators.oidc[].operator_claim",
    "operators.oidc[].role_claim",
    "operators.oidc[].roles[].value",
    "operators.oidc[].roles[].grants[]",
    "operators.oidc[].required[].claim",
    "operators.oidc[].required[].value",
    "operators.oidc[].longest_life_hours",
    "operators.oidc[].authorized_parties[]",
    "operators.oidc[].ca",
    "operators.mtls[].san",
    "operators.mtls[].operator_id",
    "operators.mtls[].roles[]",
    "webhooks[].name",
    "webhooks[].url",
    "webhooks[].secret_file",
    "webhooks[].previous_secret_file",
    "webhooks[].events[]",
    "webhooks[].ca",
    "sinks[].name",
    "sinks[].kind",
    "sinks[].url",
    "sinks[].index",
    "sinks[].form",
    "sinks[].secret_file",
    "sinks[].ca",
    "sinks[].folder",
    "sinks[].texts",
    "sinks[].start",
    "sinks[].acknowledge",
];
/// Only the environment may contain them, because configuration files are shown to others.
const SECRET_KEYS: [&str; 2] = ["key_encryption_key", "previous_key_encryption_key"];
/// It names the file, so it cannot be in it.
const FILE_KEY: &str = "config";

/// The variable with which many programs name their database.
const DATABASE_URL: &str = "DATABASE_URL";
/// Variables that `--dev` ignores.
const IN_DEV_BY_FLAG: [&str; 3] = [DATABASE_URL, "COUNTERSIGN_DATABASE_URL", "COUNTERSIGN_CONFIG"];
const BY_FLAG: &str = "because --dev takes a database by --database-url and a file by --config only";

/// Every key of the file.
#[cfg(any(test, fuzzing))]
pub(super) const fn keys() -> &'static [&'static str] {
    &KEYS
}

/// A flag that sets a key.
#[derive(Debug)]
pub struct Flag {
    /// The key; that of the file itself is `config`.
    pub key: &'static str,
    /// The flag, such as `--listen`.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

/// The sources of a configuration.
#[derive(Debug, Default)]
pub struct Sources {
    /// Whether this is `--dev`.
    pub dev: bool,
    /// Whether this is `--dev --container`.
    pub container: bool,
    /// The environment.
    pub variables: Vec<Variable>,
    /// Flags.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// File, environment, flags, in this order.
    pub(super) fn layers(&self) -> Result<Settings, Problems> {
        let mut over_file = self.environment();
        for Flag { key, flag, value } in &self.flags {
            over_file.set(key, value, Origin::Flag((*flag).to_owned()));
        }

        // Below the file, because they are for every program of this environment.
        let mut settings = traces::standard_variables(&self.variables);
        match over_file.path(FILE_KEY) {
            Some(file) => settings.add_file(&file, &KEYS)?,
            None if !Path::new(DEFAULT_FILE).exists() => {}
            None if self.dev => settings.notice(format!(
                "--dev ignores {DEFAULT_FILE} of this folder, which may be another server's: name it with --config to use it"
            )),
            None => settings.add_file(Path::new(DEFAULT_FILE), &KEYS)?,
        }
        if self.dev
            && let Some(origin) = settings.forget("database_url")
        {
            settings.notice(format!("{origin}database_url: ignored, {BY_FLAG}"));
        }
        settings.append(over_file);
        Ok(settings)
    }

    /// The format of the log, as far as it can be read. For a configuration that is refused.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        let all = self.layers().unwrap_or_else(|_| self.environment());
        LogFormat::read(&all)
    }

    /// The settings in the environment. In dev, without those that lead to a database or to another server's file,
    /// because a shell often has them for another purpose.
    fn environment(&self) -> Settings {
        let ignored = |name: &str| self.dev && IN_DEV_BY_FLAG.contains(&name);
        let set = || self.variables.iter().filter(|variable| !variable.value.is_empty());
        let variables = || set().filter(|variable| !ignored(&variable.name));
        // A list of mappings cannot be written in a variable.
        let one_value = KEYS.iter().filter(|key| !key.contains("[]"));
        let known: Vec<&str> = one_value.chain(&SECRET_KEYS).copied().chain([FILE_KEY]).collect();
        let mut settings = Settings::default();
        for Variable { name, .. } in set().filter(|variable| ignored(&variable.name)) {
            settings.notice(format!("environment variable {name}: ignored, {BY_FLAG}"));
        }
        if let Some(Variable { name, value: url }) = variables().find(|variable| variable.name == DATABASE_URL) {
            settings.set("database_url", url, Origin::Variable(name.clone()));
        }
        settings.add_environment(variables(), &known);
        settings
    }
}
