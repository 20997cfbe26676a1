//! GetReadiness: whether the installation is ready for use (database, clock, policy, issuing, serving; log and persons
//! are only described), and the warnings about what works but should be changed.

use std::sync::atomic::Ordering;

use countersign_core::{kill_switch::Target, rollout::RolloutState};
use countersign_store::manifest::Counted;

use super::expiry::stamp;
use crate::{
    AlsoTwo, App, FourEyes,
    authority::{
        compiled_policies::LoadedPolicy,
        snapshot::{DecisionSource, Granting, OpenRollout, Snapshot},
    },
    credentials::issuances::WORRYING,
    custody::append_manifest::reported_ratio,
};

/// One condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is met.
    pub ok: bool,
    /// What was observed, and what to do if the condition is not met.
    pub message: String,
}

/// The conditions, and the warnings about things that work but should be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The checks.
    pub checks: Vec<Check>,
    /// The warnings.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Whether every check passes.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// The message about the policy in use.
fn policy_message(snapshot: &Snapshot) -> String {
    match snapshot.unusable {
        Some(version) => format!(
            "policy {version} is active, but its stored content does not match its recorded hash, so nothing can be \
             allowed: activate another version"
        ),
        None if snapshot.answers() => "a valid policy answers".to_owned(),
        None => "no policy is active, so nothing can be allowed: create and activate one".to_owned(),
    }
}

/// A warning about a version in use that could no longer be stored or activated.
fn faulty(policy: &LoadedPolicy) -> Option<String> {
    let faults = policy.compiled.faults();
    let first = faults.first()?;
    Some(format!(
        "policy {} was stored before checks that it does not pass, {} in all; it stays in use, and cannot be \
         activated again: ValidatePolicy says what to fix, first {first}",
        policy.version,
        faults.len()
    ))
}

/// The message about the limits for new credentials.
fn granting_message(granting: &Granting) -> String {
    match granting {
        Granting::Policy(policy) => format!("roles and tools of policy {} bound new credentials", policy.version),
        Granting::ServiceLimits => {
            "no policy was ever active: the token service's limits alone bound new credentials".to_owned()
        }
        Granting::Nothing => {
            "no policy says what may be granted, so no credential is issued or delegated: activate one".to_owned()
        }
    }
}

/// The message about bindings of logins, and about what one person may do alone.
fn persons_message(also: AlsoTwo) -> String {
    let alone = [
        (!also.policies).then_some("a policy that they stored themself answers"),
        (!also.admin_keys).then_some("a key with which another person can approve or confirm is made"),
        (!also.kill_switch_release).then_some("a kill switch that they engaged themself is released"),
    ];
    let alone: Vec<_> = alone.into_iter().flatten().collect();
    let alone = if alone.is_empty() {
        String::new()
    } else {
        format!("; at one person's word {} (four_eyes)", alone.join(", and "))
    };
    format!(
        "what takes two persons goes by whose each login is (ListPersonBindings), and is worth as much as those bindings are \
         honest{alone}"
    )
}

/// The message about manifests.
fn counted_message(counted: &Counted) -> String {
    let Some(whole) = counted.whole_time else { return "; no manifest counts it yet".to_owned() };
    let reported = reported_ratio(counted).map_or_else(String::new, |ratio| {
        format!(", and {:.1} % of the outcomes of allowed calls were reported by their deadline", 100.0 * ratio)
    });
    format!("; its manifests count {} events, as of {}{reported}", counted.size, stamp(whole))
}

/// A warning about a rollout that leaves some callers without enforcement.
fn observing(open: &OpenRollout) -> Option<String> {
    let rollout = &open.rollout;
    if !matches!(open.baseline, DecisionSource::Observe) {
        return None;
    }
    let held = if rollout.state == RolloutState::Paused {
        "; it is paused until a person resumes it or rolls it back, and a rollback lets every call through"
    } else {
        ""
    };
    Some(format!(
        "rollout {} is at {} % and its baseline observes: the other {} % of callers are recorded, not held back{held}",
        rollout.rollout_id,
        rollout.percent,
        rollout.percent.rest()
    ))
}

impl App {
    fn database_check(&self) -> Check {
        let wrong = if *self.inner.authority.database_ready.borrow() {
            *self.inner.status.no_writes.borrow()
        } else {
            Some("does not answer")
        };
        let message = wrong.map_or_else(
            || "answers and takes writes".to_owned(),
            |wrong| format!("{wrong}: every decision is refused as unavailable until that is over"),
        );
        Check { name: "database", ok: wrong.is_none(), message }
    }

    fn clock_check(&self) -> Check {
        let message = match self.inner.engine.clock.trust() {
            Ok(()) => "agrees with the database's".to_owned(),
            Err(doubted) => doubted.to_string(),
        };
        Check { name: "clock", ok: self.inner.engine.clock.trust().is_ok(), message }
    }

    /// How far the custody log is checked and signed.
    fn log_message(&self) -> String {
        let (check, published) = (self.inner.custody.check(), self.inner.custody.published());
        let signed = published.map_or_else(
            || "no checkpoint is published yet".to_owned(),
            |checkpoint| format!("the newest checkpoint is over {} events", checkpoint.size),
        );
        let checked = match (check.whole_size, check.whole_time) {
            (Some(size), Some(time)) => {
                format!("the stored events were compared with it up to {size}, at {}", stamp(time))
            }
            _ => format!("{} stored events were compared with it, in the first round", check.checked_size),
        };
        let counted = self.inner.status.counted.load();
        let counted = counted.as_deref().map_or_else(String::new, counted_message);
        format!("{signed}; {checked}{counted}")
    }

    fn log_warnings(&self) -> Vec<String> {
        let altered = self.inner.custody.finding().map(|finding| {
            format!(
                "the custody log was changed in the database: index {}: {}. `countersign log verify` shows more; \
                 docs/for-auditors.md says what to do",
                finding.log_index, finding.why
            )
        });
        let unkept = self.inner.custody.unkept().map(|why| {
            format!("checkpoints cannot be kept outside the database, and none is published until they can: {why}")
        });
        altered.into_iter().chain(unkept).collect()
    }

    /// Checks what this server knows; makes no queries.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let snapshot = self.snapshot();
        let mut checks = vec![
            self.database_check(),
            self.clock_check(),
            Check { name: "policy", ok: snapshot.answers(), message: policy_message(&snapshot) },
        ];
        // Without any policy nothing is granted either, so one check reports it.
        if snapshot.answers() {
            checks.push(Check {
                name: "issuing",
                ok: !matches!(snapshot.granting, Granting::Nothing),
                message: granting_message(&snapshot.granting),
            });
        }
        checks.push(Check { name: "log", ok: true, message: self.log_message() });
        if let FourEyes::Persons(also) = self.inner.engine.config.four_eyes {
            checks.push(Check { name: "persons", ok: true, message: persons_message(also) });
        }
        if self.inner.status.leaving.load(Ordering::Relaxed) {
            let message = "the server is stopping: others answer";
            checks.push(Check { name: "serving", ok: false, message: message.to_owned() });
        }
        let mut warnings: Vec<_> = self.inner.engine.clock.warning().into_iter().collect();
        warnings.extend(self.log_warnings());
        let engaged = snapshot.kill_switches.engaged();
        if engaged.iter().any(|switch| switch.target == Target::All) {
            warnings.push("a kill switch stops every call".to_owned());
        } else if !engaged.is_empty() {
            warnings.push(format!("{} kill switch(es) stop calls: ListKillSwitches says which", engaged.len()));
        }
        if let Some(open) = &snapshot.rollout {
            warnings.extend(observing(open));
        } else if matches!(snapshot.active, Some(DecisionSource::Observe)) {
            warnings.push(
                "nothing is enforced: the last rollout was undone and its baseline observes. Every call is recorded and let \
                 through until a policy-admin activates a policy or starts another rollout"
                    .to_owned(),
            );
        }
        let mut faulty: Vec<_> = snapshot.policies().filter_map(|policy| faulty(policy)).collect();
        // The baseline of a rollout may also be the active version.
        faulty.dedup();
        warnings.extend(faulty);
        let failures = self.issuance_failures();
        if failures.ratio() > WORRYING {
            warnings.push(format!(
                "{} of {} requests for a credential failed on this server within five minutes, more than {} %: look at \
                 the database, the load and the log",
                failures.failed,
                failures.of,
                WORRYING * 100.0
            ));
        }
        if let Some(power) = self.inner.engine.config.database_power {
            warnings.push(format!(
                "this server's database role {power}: an attacker who takes over this server can change the records. \
                 Make a lesser role with `countersign migrate --grant-to ROLE`, and serve as it"
            ));
        }
        if self.inner.engine.config.four_eyes == FourEyes::None {
            warnings.push(
                "four_eyes has the value none: one person alone approves sponsors and calls, and binds logins to \
                 persons; each such event states it. Set four_eyes to persons as soon as there are two"
                    .to_owned(),
            );
        }
        if self.inner.engine.config.dev {
            warnings.push(
                "dev mode: every program on this machine may call without a credential and do everything; \
                           never expose this server"
                    .to_owned(),
            );
        } else if self.inner.engine.config.made_by_dev {
            warnings.push(
                "this installation was made by --dev, which accepts every caller: its operators, sponsors and their \
                 keys are those of a trial. Use a new database for production"
                    .to_owned(),
            );
        }
        Readiness { checks, warnings }
    }
}
