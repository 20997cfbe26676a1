//! AcceptInstance: another sponsor takes over an orphaned root, if that sponsor could start it today and the caller has
//! no part in the transfer (four eyes). Decides how long it then has to renew its credential.

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

use super::stop_instance::{Found, leaf as leaf_of, read};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    authority::snapshot::Loaded,
    engine::transaction::{Change, ChangeTx},
    operators::four_eyes::Alone,
    recorder::{limits, not_active, of_role},
};

/// How long an accepted instance has to get its first credential under the new sponsor: as long as any credential would
/// have lived.
const WINDOW: Duration = Duration::seconds(HARD_MAX_TTL as i64);

/// The orphan, the new sponsor, and the reason.
#[derive(Debug, Clone)]
pub struct AcceptInstance {
    /// The run.
    pub agent_instance_id: InstanceId,
    /// The new sponsor.
    pub sponsor_id: SponsorId,
    /// The reason, in words.
    pub reason: String,
    /// The instance's etag as last read. `None` for no check.
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
            // It is based on the approval of the new sponsor.
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
            // Entries up to now concern its old credentials, which stay revoked.
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
    /// Refuses a person who already has a part in the transfer.
    async fn check_person(&self, tx: &mut ChangeTx, found: &Found, to: &Sponsor) -> Result<Alone, Error> {
        let actor = tx.login(&self.caller.operator_id).await?;
        let recorded_by = match &found.sponsor.departure {
            Some(departure) => Some(tx.login(&departure.recorded_by).await?),
            None => None,
        };
        let rule = found.instance.check_acceptance(&actor, [&found.sponsor, to], recorded_by.as_ref());
        Ok(self.app.inner.engine.config.four_eyes.hold(rule)?)
    }

    /// Whether the sponsor could start this run today.
    fn fits(&self, instance: &Instance, sponsor: &Sponsor, policy: Option<&CompiledPolicy>) -> Result<(), Error> {
        let wanted = Wanted { tools: &instance.tools, ttl: None, remaining: None };
        // For a root, which has no inherited roles.
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
