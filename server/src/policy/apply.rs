//! `countersign policy apply`: stores a policy file, and makes it active: by the rollout that it asks for, or for all
//! callers at once.

use clap::Args;
use countersign_client::{
    Connection,
    v1::{
        ActivatePolicyRequest, CreatePolicyRequest, CreatePolicyResponse, OnBreach as WireOnBreach, PolicyState,
        Rollout, RolloutGates, RolloutScope, StartRolloutRequest, StickyKey as WireStickyKey,
    },
};
use countersign_core::rollout::{Gates, OnBreach, Percent, Scope, StickyKey};
use countersign_policy::{CompiledPolicy, RolloutSpec};
use prost_types::Duration;
use serde_json::{Value, json};

use super::{
    PolicyError,
    counted::counted,
    diff::{AgainstActive, stored},
    files::PolicyFiles,
    open_rollout,
};
use crate::remote::{
    ChangeArgs, RemoteArgs, RemoteError, block_on,
    output::{print, printable, value},
};

/// The document to store, and how to make it active.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: PolicyFiles,
    /// Store it, and do not activate it.
    #[arg(long, conflicts_with = "activate")]
    create_only: bool,
    /// Activate it for all callers at once, even if it asks for a rollout.
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// What was done with the document.
struct Applied {
    /// The active version before, if there was one.
    before: Option<String>,
    /// The rollout that was open before; while one is open, it decides which version is used.
    open: Option<Rollout>,
    changes: AgainstActive,
    stored: CreatePolicyResponse,
    outcome: Outcome,
}

enum Outcome {
    /// It is stored, as requested.
    Stored,
    /// It was already in use, for all callers or in the open rollout.
    Already,
    Activated {
        log_index: i64,
    },
    Rolling {
        rollout: Box<Rollout>,
        log_index: i64,
    },
}

pub(super) fn run(args: &ApplyArgs) -> Result<String, PolicyError> {
    // Checked here first: errors are reported with the file, and no call is made.
    let (texts, policy) = args.files.load()?;
    let request_id = args.change.request_id();
    let create = CreatePolicyRequest {
        document: texts.document,
        cedar: texts.cedar,
        reason: args.change.reason.clone(),
        request_id: request_id.clone(),
    };
    let applied = block_on(async {
        let connection = args.remote.connect().await?;
        let active = stored(&connection, &args.remote, "").await?;
        let before = active.as_ref().map(|active| active.version.clone());
        let open = open_rollout::read(&connection, &args.remote).await?;
        let standing = standing(open.as_ref(), before.as_deref());
        let changes = AgainstActive::new(active, standing, &policy);
        if !args.remote.json() {
            print(&args.files.warnings(&policy))?;
            print(&open.as_ref().map(|open| format!("{}\n", open_rollout::answers(open))).unwrap_or_default())?;
            print(&changes.words())?;
        }
        let stored = connection.policies().create_policy(create).await;
        let stored = stored.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
        let outcome = args.introduce(&connection, &stored, &policy, &request_id).await;
        if let (Err(_), false, Some(policy)) = (&outcome, args.remote.json(), &stored.policy) {
            // The error message that follows says why it is not active.
            print(&format!("{} is stored.\n", printable(&policy.version)))?;
        }
        Ok::<_, RemoteError>(Applied { before, open, changes, stored, outcome: outcome? })
    })?;
    if args.remote.json() { Ok(applied.json(&policy)?) } else { Ok(applied.words(&policy)) }
}

/// The state of the version that was last active.
fn standing(open: Option<&Rollout>, active: Option<&str>) -> &'static str {
    match open {
        None => "which is active",
        Some(open) if active == Some(open.baseline.as_str()) => "which is the baseline of the open rollout",
        Some(_) => "which was active before the open rollout",
    }
}

impl ApplyArgs {
    /// Makes the stored version active, in the requested way.
    async fn introduce(
        &self,
        connection: &Connection,
        stored: &CreatePolicyResponse,
        policy: &CompiledPolicy,
        request_id: &str,
    ) -> Result<Outcome, RemoteError> {
        let stored = stored.policy.as_ref().ok_or(RemoteError::Answer)?;
        if matches!(stored.state(), PolicyState::Active | PolicyState::Candidate) {
            return Ok(Outcome::Already);
        }
        if self.create_only {
            return Ok(Outcome::Stored);
        }
        let failed = |status| self.remote.change_failed(&status, request_id);
        let spec = policy.rollout().filter(|spec| !self.activate && spec.percent < Percent::ALL);
        let Some(spec) = spec else {
            let request = ActivatePolicyRequest {
                version: stored.version.clone(),
                reason: self.change.reason.clone(),
                request_id: request_id.to_owned(),
            };
            let done = connection.policies().activate_policy(request).await.map_err(failed)?.into_inner();
            return Ok(Outcome::Activated { log_index: done.log_index });
        };
        let request = StartRolloutRequest {
            reason: self.change.reason.clone(),
            request_id: request_id.to_owned(),
            ..rollout_of(spec, &stored.version)
        };
        let done = connection.rollouts().start_rollout(request).await.map_err(failed)?.into_inner();
        let rollout = Box::new(done.rollout.ok_or(RemoteError::Answer)?);
        Ok(Outcome::Rolling { rollout, log_index: done.log_index })
    }
}

/// The rollout that the document requests. Values that it leaves out are left to the server.
fn rollout_of(spec: &RolloutSpec, candidate: &str) -> StartRolloutRequest {
    StartRolloutRequest {
        baseline: spec.baseline.map(|baseline| baseline.to_string()).unwrap_or_default(),
        candidate: candidate.to_owned(),
        percent: Some(spec.percent.into()),
        sticky_key: spec.sticky_key.map_or(WireStickyKey::Unspecified, sticky_key).into(),
        steps: spec.steps.iter().flatten().map(|step| (*step).into()).collect(),
        increment_per_day: spec.increment.map(Into::into).unwrap_or_default(),
        gates: Some(gates(&spec.gates)),
        min_soak: spec.min_soak_seconds.map(|seconds| Duration { seconds: seconds.into(), nanos: 0 }),
        scope: Some(scope(&spec.scope)),
        ..StartRolloutRequest::default()
    }
}

/// The document's gates, with the defaults for those that it does not set.
fn gates(gates: &Gates) -> RolloutGates {
    let narrow = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let (seconds, millis) = (gates.latency_p95_ms / 1000, gates.latency_p95_ms % 1000);
    RolloutGates {
        missing_sponsor_bp: Some(narrow(gates.missing_sponsor_bp)),
        policy_error_bp: Some(narrow(gates.policy_error_bp)),
        latency_p95: Some(Duration { seconds: seconds.into(), nanos: narrow(millis * 1_000_000) }),
        window: Some(Duration { seconds: gates.window_seconds.into(), nanos: 0 }),
        min_decisions: Some(narrow(gates.min_decisions)),
        on_breach: match gates.on_breach {
            OnBreach::Rollback => WireOnBreach::Rollback,
            OnBreach::Pause => WireOnBreach::Pause,
        }
        .into(),
        issuance_failure_bp: gates.issuance_failure_bp.map(narrow),
    }
}

const fn sticky_key(key: StickyKey) -> WireStickyKey {
    match key {
        StickyKey::RootInstance => WireStickyKey::RootInstance,
        StickyKey::Sponsor => WireStickyKey::Sponsor,
        StickyKey::Agent => WireStickyKey::Agent,
    }
}

fn scope(scope: &Scope) -> RolloutScope {
    RolloutScope {
        tools: scope.tools.clone(),
        roles: scope.roles.clone(),
        sponsors: scope.sponsors.clone(),
        labels: scope.labels.clone().into_iter().collect(),
    }
}

impl Applied {
    fn words(&self, policy: &CompiledPolicy) -> String {
        let stored = self.stored.policy.clone().unwrap_or_default();
        let version = printable(&stored.version);
        let rules = counted(policy.rules().len(), "rule");
        let how = if self.stored.created { "stored" } else { "was stored before" };
        let became = match &self.outcome {
            Outcome::Stored if self.open.is_some() => {
                "It is not active yet: the rollout above decides which version is, while it is open.".to_owned()
            }
            Outcome::Stored => {
                let active = self.before.as_deref().map_or_else(|| "no policy".to_owned(), printable);
                format!("It is not active yet: {active} is active.")
            }
            Outcome::Already if stored.state() == PolicyState::Candidate => {
                format!("{version} is already the candidate of the open rollout: nothing was changed.")
            }
            Outcome::Already => match &self.open {
                Some(open) if open.baseline == stored.version => {
                    format!(
                        "{version} is the baseline of the open rollout, enforced for the other {} %: nothing was \
                         changed.",
                        100 - open.percent
                    )
                }
                Some(_) => format!(
                    "{version} was active before the open rollout, and is not while the rollout is open: nothing was \
                     changed. A policy-admin completes the rollout or rolls it back, and then activates a version."
                ),
                None => format!("{version} is already active: nothing was changed."),
            },
            Outcome::Activated { log_index } => {
                format!("{version} is enforced for all callers from entry {log_index} of the custody log on.")
            }
            Outcome::Rolling { rollout, log_index } => format!(
                "{version} is enforced for {} % of callers from entry {log_index} of the custody log on; {}. The \
                 rollout is {}.",
                rollout.percent,
                open_rollout::others(rollout),
                printable(&rollout.rollout_id),
            ),
        };
        format!("{version} {how}: {rules}.\n{became}\n")
    }

    /// One object: the stored version as CreatePolicy returns it, the warnings, the differences if they are known, and
    /// the rollout that was started, if any.
    fn json(&self, policy: &CompiledPolicy) -> Result<String, RemoteError> {
        let mut all = value("CreatePolicyResponse", &self.stored)?;
        if !policy.warnings().is_empty() {
            all["warnings"] = policy.warnings().iter().map(ToString::to_string).collect();
        }
        if let Some(sentences) = &self.changes.sentences {
            all["changes"] = json!(sentences);
        }
        match &self.outcome {
            Outcome::Stored | Outcome::Already => {}
            Outcome::Activated { log_index } => all["activated"] = json!({ "logIndex": log_index.to_string() }),
            Outcome::Rolling { rollout, log_index } => {
                // An operator who may start a rollout may read its secret, but a build's log must not contain it.
                let shown = Rollout { salt: Vec::new(), ..Rollout::clone(rollout) };
                all["rollout"] = value("Rollout", &shown)?;
                all["rollout"]["logIndex"] = Value::String(log_index.to_string());
            }
        }
        Ok(format!("{all:#}\n"))
    }
}
