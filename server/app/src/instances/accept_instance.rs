//! AcceptInstance: another sponsor takes an orphaned root over.

use countersign_core::{
    grant::{self, HARD_MAX_TTL, Wanted},
    ids::InstanceId,
    instance::{Instance, InstanceTransition},
    names::SponsorId,
    sponsor::Sponsor,
};
use countersign_ledger::leaf::{self, Digest, Kind, Leaf, SponsorState};
use countersign_policy::CompiledPolicy;
use countersign_store::{instance, sponsor};
use time::Duration;

use super::transition_instance::{Found, leaf as leaf_of, read};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    authority::snapshot::Loaded,
    engine::transaction::{Change, ChangeTx},
    operators::persons::Alone,
    recorder::{limits, not_active, of_role},
};

/// How long an accepted instance waits for its first credential under the new sponsor: as long as any would have lived.
const WINDOW: Duration = Duration::seconds(HARD_MAX_TTL as i64);

/// Which orphan, to whom, and why.
#[derive(Debug, Clone)]
pub struct AcceptInstance {
    /// Which run.
    pub agent_instance_id: InstanceId,
    /// Who takes it over.
    pub sponsor_id: SponsorId,
    /// Why, in words.
    pub reason: String,
    /// The instance's etag as last read; none: no check.
    pub etag: Option<String>,
}

struct AcceptBy<'a> {
    app: &'a App,
    caller: &'a OperatorCaller,
    command: &'a AcceptInstance,
}

impl Change for AcceptBy<'_> {
    const METHOD: &'static str = "AcceptInstance";
    type Answer = Instance;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Instance, Error> {
        let (command, operator, now) = (self.command, &self.caller.operator_id, tx.now());
        let head = tx.head_before().clone();
        let snapshot = match self.app.inner.authority.snapshot_at(tx.conn(), &head).await? {
            Loaded::Ready(snapshot) => snapshot,
            Loaded::Missing(missing) => return Err(missing.not_yet()),
        };
        let found = read(tx, command.agent_instance_id).await?;
        found.ensure(command.etag.as_deref())?;
        let after = found.instance.check(InstanceTransition::Accept, now)?;
        found.instance.check_root()?;
        let sponsor = sponsor::get(tx.conn(), &command.sponsor_id).await?;
        let sponsor = sponsor.ok_or_else(|| Error::not_found("sponsor", &command.sponsor_id))?;
        let alone = self.check_person(tx, &found, &sponsor).await?;
        if !sponsor.is_active(now) {
            return Err(not_active(&sponsor));
        }
        let policy = snapshot.granting_policy()?;
        self.fits(&found.instance, &sponsor, policy)?;

        let before = found.settle(tx)?;
        tx.changes_authority();
        let mut changes = alone.changes();
        changes.push(leaf::Change {
            after: Some(sponsor.sponsor_id.as_str().to_owned().into()),
            before: Some(before.sponsor_id.as_str().to_owned().into()),
            field: "sponsor_id".into(),
        });
        let leaf = Leaf {
            changes,
            // It stands on the approval of who answers for it now.
            custody_ref: sponsor.grant_leaf.map(Digest),
            sponsor_id: Some(sponsor.sponsor_id.as_str().to_owned().into()),
            sponsor_state: Some(SponsorState::Live),
            state_after: Some(after.as_str().into()),
            ..leaf_of(&before, tx.leaf(Kind::InstanceAccepted, operator))
        };
        let (_, hash) = tx.append(leaf, &command.reason)?;
        let instance = Instance {
            sponsor_id: sponsor.sponsor_id,
            state: after,
            expire_time: now + WINDOW,
            end_time: None,
            // Entries up to now are about its old credentials, which stay dead.
            rev: tx.revocation_seq(),
            custody_ref: hash,
            revision: before.revision + 1,
            ..before
        };
        instance::update(tx.conn(), &instance).await?;
        Ok(instance)
    }
}

impl AcceptBy<'_> {
    /// Refuses whoever has a part in the transfer already.
    async fn check_person(&self, tx: &mut ChangeTx, found: &Found, to: &Sponsor) -> Result<Alone, Error> {
        let actor = tx.login(&self.caller.operator_id).await?;
        let recorded_by = match &found.sponsor.departure {
            Some(departure) => Some(tx.login(&departure.recorded_by).await?),
            None => None,
        };
        let rule = found.instance.check_acceptance(&actor, [&found.sponsor, to], recorded_by.as_ref());
        Ok(self.app.inner.engine.config.four_eyes.hold(rule)?)
    }

    /// Whether the sponsor could have started this run today.
    fn fits(&self, instance: &Instance, sponsor: &Sponsor, policy: Option<&CompiledPolicy>) -> Result<(), Error> {
        let wanted = Wanted { tools: &instance.tools, ttl: None, remaining: None };
        // A root's: nobody's role binds it beside its own.
        let roles = [of_role(policy, &instance.role)];
        let (_, violations) = grant::check(wanted, sponsor, limits(&self.app.inner.engine.config, &roles));
        if violations.is_empty() { Ok(()) } else { Err(Error::GrantTooWide(violations)) }
    }
}

impl App {
    /// Makes an orphan LIVE under another sponsor, for long enough to renew its credential.
    pub async fn accept_instance(
        &self,
        caller: &OperatorCaller,
        command: AcceptInstance,
        idempotency: Option<Idempotency>,
    ) -> Result<Instance, Error> {
        let change = AcceptBy { app: self, caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
