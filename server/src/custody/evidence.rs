//! `countersign evidence export` and `evidence verify`: gets a bundle and writes it if it holds, and checks one
//! offline.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use countersign_client::v1::{self, export_evidence_request::Subject};
use countersign_ledger::{
    evidence::{self, Expected, MAX_BUNDLE_BYTES, Report},
    note::VerifierKey,
};
use prost_types::Timestamp;
use serde_json::json;

use super::{block_on, error::CustodyError, files, verify_log::read_key};
use crate::{
    arguments::instant,
    remote::{
        RemoteArgs,
        output::{note, print},
    },
};

/// What to prove, and where to write it.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The chain of this decision.
    #[arg(long, value_name = "ID", group = "subject", required_unless_present_any = ["instance", "event", "sponsor"])]
    decision: Option<String>,
    /// The chain of this instance.
    #[arg(long, value_name = "ID", group = "subject")]
    instance: Option<String>,
    /// The chain of this event.
    #[arg(long, value_name = "ID", group = "subject")]
    event: Option<String>,
    /// Everything that this sponsor answers for, from --from until before --to.
    #[arg(long, value_name = "ID", group = "subject", requires_all = ["from", "to"])]
    sponsor: Option<String>,
    /// The beginning, as an RFC 3339 time such as 2026-05-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "sponsor")]
    from: Option<Timestamp>,
    /// The end, which does not belong to it.
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "sponsor")]
    to: Option<Timestamp>,
    /// The new file for the bundle.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The log's public key, kept from before [default: the one that the bundle states].
    #[arg(long, value_name = "KEY", env = "COUNTERSIGN_LOG_KEY")]
    log_key: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl ExportArgs {
    fn subject(&self) -> Option<Subject> {
        let chain = |id: &Option<String>, of: fn(String) -> Subject| id.clone().map(of);
        let period = self.sponsor.clone().map(|sponsor_id| {
            Subject::SponsorPeriod(v1::SponsorPeriod { sponsor_id, start_time: self.from, end_time: self.to })
        });
        chain(&self.decision, Subject::PolicyDecisionId)
            .or_else(|| chain(&self.instance, Subject::AgentInstanceId))
            .or_else(|| chain(&self.event, Subject::EventId))
            .or(period)
    }
}

/// Gets a bundle, checks it, and writes it: a bundle that does not hold is not written.
pub(crate) fn export(args: &ExportArgs) -> Result<(), CustodyError> {
    let file = block_on(async {
        let failed = |status: tonic::Status| args.remote.call_failed(&status);
        let connection = args.remote.connect().await?;
        let request = v1::ExportEvidenceRequest { subject: args.subject() };
        let mut pieces = connection.custody().export_evidence(request).await.map_err(failed)?.into_inner();
        let mut file = Vec::new();
        while let Some(piece) = pieces.message().await.map_err(failed)? {
            if file.len() + piece.data.len() > MAX_BUNDLE_BYTES {
                return Err(CustodyError::TooLong { path: args.file.clone(), most: MAX_BUNDLE_BYTES });
            }
            file.extend(piece.data);
        }
        Ok(file)
    })?;
    let report = check(&file, args.log_key.as_deref(), &args.file)?;
    files::write(&args.file, &file)?;
    tell(&report, args.remote.json())
}

/// The file to check, and against which key.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The bundle.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's public key, kept from before: origin, key id and base64 with plus signs between [default: the one that the bundle
    /// states, which only shows that it agrees with itself].
    #[arg(long, value_name = "KEY", env = "COUNTERSIGN_LOG_KEY")]
    log_key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Checks a bundle with nothing but the file and the key.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(), CustodyError> {
    let file = files::read(&args.file, MAX_BUNDLE_BYTES)?;
    let report = check(&file, args.log_key.as_deref(), &args.file)?;
    tell(&report, args.json)
}

fn check(file: &[u8], key: Option<&str>, path: &std::path::Path) -> Result<Report, CustodyError> {
    let key = key.map(read_key).transpose()?;
    let expected = Expected { key: key.as_ref(), origin: key.as_ref().map(VerifierKey::name) };
    evidence::verify(file, expected).map_err(|source| CustodyError::Evidence { path: path.to_owned(), source })
}

fn tell(report: &Report, json: bool) -> Result<(), CustodyError> {
    if !report.key_is_expected {
        note(
            "The log's key was taken from the bundle itself, so this shows only that the bundle agrees with itself. Compare the \
             key with one that you know from elsewhere, and give it with --log-key.",
        );
    }
    Ok(print(&if json { as_json(report) } else { in_words(report) })?)
}

fn as_json(report: &Report) -> String {
    let whole = report.completeness.as_ref().map(|whole| {
        json!({
            "sponsor_id": whole.sponsor_id, "from": whole.from.to_string(), "to": whole.to.to_string(),
            "events": whole.events.to_string(), "decisions": whole.decisions.to_string(), "manifests": whole.manifests,
            "missing_reports": whole.missing_reports.to_string(), "open_decisions": whole.open_decisions.to_string(),
        })
    });
    let instances: Vec<_> = report
        .instances
        .iter()
        .map(|instance| {
            json!({
                "id": instance.id, "parent": instance.parent, "root": instance.root, "sponsor": instance.sponsor,
                "log_index": instance.log_index.to_string(),
            })
        })
        .collect();
    let answer = json!({
        "holds": true, "origin": report.origin, "key": report.key, "key_is_expected": report.key_is_expected,
        "size": report.size.to_string(), "root": hex::encode(report.root), "events": report.kinds, "instances": instances,
        "disclosed": report.disclosed, "undisclosed": report.undisclosed, "policies": report.policies,
        "keys_missing": report.keys_missing, "grounds_missing": report.grounds_missing, "completeness": whole,
    });
    format!("{answer:#}\n")
}

fn in_words(report: &Report) -> String {
    let events: u64 = report.kinds.values().sum();
    let kinds: BTreeMap<_, _> = report.kinds.iter().collect();
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut lines = vec![
        format!(
            "The bundle holds: {events} events of the log {}, each under its signed checkpoint over {}.",
            report.origin, report.size
        ),
        format!("events     {}", kinds.join(", ")),
        format!("instances  {}", report.instances.len()),
        format!("texts      {} disclosed, {} erased or withheld", report.disclosed, report.undisclosed),
        format!("policies   {}, each one that an event names", report.policies),
    ];
    if let Some(whole) = &report.completeness {
        lines.push(format!(
            "whole      all {} decisions that {} answers for from {} until {}: the {} manifests of this time count as many events \
             ({}); {} reports are missing by their reporters' own numbers, {} calls had no outcome yet",
            whole.decisions, whole.sponsor_id, whole.from, whole.to, whole.manifests, whole.events, whole.missing_reports,
            whole.open_decisions
        ));
    }
    lines.extend([format!("key        {}", report.key), format!("root       {}", hex::encode(report.root))]);
    lines.join("\n") + "\n"
}
