//! RevokeCredential, RevokeCredentials, and revocation by token (RFC 7009): who may revoke what. One entry revokes the
//! credentials. The children that were started with a single credential are stopped too, with one entry for each live
//! child; too many are refused.

use std::sync::Arc;

use countersign_core::{
    ids::CredentialId,
    instance::InstanceState,
    key_scope::KeyScope,
    names::ToolId,
    operator::{OperatorRole, Roles},
    revocation::RevocationKind,
};
use countersign_ledger::leaf::{Change as Attribute, Decimal, Kind, Leaf, Subject};
use countersign_store::settlement::{self, StoppedInstance};
use serde::{Deserialize, Serialize};

use super::propagate_revocations::stopped_leaf;
use crate::{
    App, Caller, Credential, Error, Idempotency,
    authn::authenticate::Presented,
    engine::{
        stops::Stopper,
        transaction::{Change, ChangeTx},
    },
};

/// The roles that may revoke a single credential, besides the instances of its chain.
const MAY_REVOKE_ONE: [OperatorRole; 3] = [OperatorRole::Issuer, OperatorRole::Approver, OperatorRole::Admin];

/// Limit of the children that one revocation stops: each is an entry and an event, written while the log head is held.
const MOST_CHILDREN: i64 = 1_000;

/// Which credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationScope {
    /// One credential. It is unknown whether it exists, because credentials are not stored.
    Credential(CredentialId),
    /// Those that name a tool.
    Tool(ToolId),
    /// Every one.
    All,
}

/// What to revoke, and the reason.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Which credentials.
    pub scope: RevocationScope,
    /// The reason, in words.
    pub reason: String,
    /// For a single credential: whether the children that were started with it stay live.
    pub spare_delegated: bool,
}

/// Where a revocation is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Its number.
    pub seq: i64,
    /// The log index of the event; the events of the children follow it.
    pub log_index: i64,
    /// The number of live children of a single credential that were stopped.
    #[serde(default)]
    pub revoked_child_count: i64,
}

/// A revocation by this caller.
struct RevokeBy<'a> {
    caller: &'a Caller,
    revoke: &'a Revoke,
    /// The credential, if it was presented.
    presented: Option<&'a Credential>,
}

impl RevocationScope {
    const fn kind(&self) -> RevocationKind {
        match self {
            Self::Credential(_) => RevocationKind::Credential,
            Self::Tool(_) => RevocationKind::Tool,
            Self::All => RevocationKind::All,
        }
    }

    /// The id in the entry.
    fn id(&self) -> Option<String> {
        match self {
            Self::Credential(id) => Some(id.to_string()),
            Self::Tool(id) => Some(id.to_string()),
            Self::All => None,
        }
    }
}

impl Change for RevokeBy<'_> {
    // The verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "Revoke";
    type Answer = Revoked;

    fn stops(&self) -> bool {
        true
    }

    fn stopper<'a>(&self, caller: &'a str) -> Stopper<'a> {
        match self.caller {
            Caller::Operator(_) => Stopper::Operator(caller),
            Caller::Instance(_) => Stopper::Run,
        }
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Revoked, Error> {
        let scope = &self.revoke.scope;
        let children = self.children(tx).await?;
        let seq = tx.revoke(scope.kind(), scope.id().unwrap_or_default()).await?;
        let leaf = self.leaf(tx, Kind::Revocation);
        let run = self.presented;
        let leaf = Leaf {
            agent_instance_id: run.map(|run| run.agent_instance_id.to_string().into()),
            revocation_seq: u64::try_from(seq).ok().map(Decimal),
            root_instance_id: run.map(|run| run.root_instance_id().to_string().into()),
            sponsor_id: run.map(|run| run.sponsor_id.to_string().into()),
            subject: Some(Subject { id: scope.id().map(Into::into), kind: scope.kind().as_str().into() }),
            ..leaf
        };
        let (log_index, _) = tx.append(leaf, &self.revoke.reason)?;
        self.stop_children(tx, &children).await?;
        let revoked_child_count = i64::try_from(children.len()).unwrap_or(i64::MAX);
        Ok(Revoked { seq, log_index, revoked_child_count })
    }
}

impl RevokeBy<'_> {
    /// A leaf of this change, made by the caller.
    fn leaf(&self, tx: &ChangeTx, kind: Kind) -> Leaf<'static> {
        match self.caller {
            Caller::Operator(operator) => tx.leaf(kind, &operator.operator_id),
            Caller::Instance(instance) => Leaf {
                changes: vec![Attribute {
                    after: Some(instance.agent_instance_id.to_string().into()),
                    field: "revoked_by".into(),
                    ..Attribute::default()
                }],
                ..tx.own_leaf(kind)
            },
        }
    }

    /// The live children to stop: those that were started with the credential. Refuses if there are too many.
    async fn children(&self, tx: &mut ChangeTx) -> Result<Vec<StoppedInstance>, Error> {
        let RevocationScope::Credential(id) = &self.revoke.scope else { return Ok(Vec::new()) };
        if self.revoke.spare_delegated {
            return Ok(Vec::new());
        }
        let earliest = tx.earliest();
        let children = settlement::started_with(tx.conn(), *id, earliest, MOST_CHILDREN + 1).await?;
        let parent = children.first().and_then(|child| child.parent_agent_id);
        match parent {
            Some(parent) if i64::try_from(children.len()).unwrap_or(i64::MAX) > MOST_CHILDREN => {
                Err(Error::IllegalTransition(format!(
                    "nothing was revoked: more than {MOST_CHILDREN} live instances were started with credential {id}, which \
                     are too many for one revocation. RevokeInstance {parent} stops all of them, with the instance that \
                     started them (roles issuer, approver, admin; its sponsor); spare_delegated revokes the credential alone"
                )))
            }
            _ => Ok(children),
        }
    }

    /// Stops children, each with an entry and an event; their descendants are stopped by the same entries.
    async fn stop_children(&self, tx: &mut ChangeTx, children: &[StoppedInstance]) -> Result<(), Error> {
        if children.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = children.iter().map(|child| child.agent_instance_id).collect();
        let seqs = tx.revoke_each(RevocationKind::Instance, ids.iter().map(ToString::to_string).collect()).await?;
        for (child, seq) in children.iter().zip(seqs) {
            let leaf = self.leaf(tx, Kind::InstanceRevoked);
            // The credential is the reason.
            let leaf = stopped_leaf(RevocationKind::Credential, seq, InstanceState::Revoked, child, leaf);
            tx.append(leaf, "")?;
        }
        let now = tx.now();
        Ok(settlement::settle(tx.conn(), &ids, InstanceState::Revoked, Some(now)).await?)
    }
}

impl App {
    /// Revokes credentials. From the commit on, no ALLOW with any of them is recorded. An instance can name only its
    /// own credential.
    pub async fn revoke(
        &self,
        caller: &Caller,
        revoke: &Revoke,
        idempotency: Option<Idempotency>,
    ) -> Result<Revoked, Error> {
        let presented = match caller {
            Caller::Operator(operator) => {
                // Its owner is unknown, because credentials are not stored.
                operator.outside(
                    "it may not revoke a credential by its id, which does not say whose it is (by the token it may)",
                )?;
                None
            }
            Caller::Instance(own) if revoke.scope == RevocationScope::Credential(own.credential_id) => Some(&**own),
            Caller::Instance(_) => {
                let message =
                    "an instance revokes by id its own credential only, and by token those of what it started";
                return Err(Error::RoleRequired { message: message.to_owned(), roles: MAY_REVOKE_ONE.to_vec() });
            }
        };
        let change = RevokeBy { caller, revoke, presented };
        self.change(&caller.id(), idempotency.as_ref(), &change).await
    }

    /// Revokes the credential `token`. `None` if there was nothing to do: a text that is not a live credential of this
    /// installation is not valid anyway, and one that the caller may not revoke is treated as unknown.
    ///
    /// An operator with issuer, approver or admin may, and so may the instance itself and its ancestors.
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        token: &str,
        spare_delegated: bool,
        idempotency: Option<Idempotency>,
    ) -> Result<Option<Revoked>, Error> {
        match caller {
            Caller::Operator(operator) if operator.roles.meets(Roles::of(&MAY_REVOKE_ONE)) => {}
            Caller::Operator(_) => {
                let message = "none of the caller's roles allows to revoke a credential".to_owned();
                return Err(Error::RoleRequired { message, roles: MAY_REVOKE_ONE.to_vec() });
            }
            Caller::Instance(own) => self.ensure_live(own)?,
        }
        let Some(credential) = self.live_and_revocable(caller, token).await? else { return Ok(None) };
        if let Caller::Operator(operator) = caller {
            let covers = |scope: &KeyScope| scope.has_run(&credential.sponsor_id, &credential.tools);
            operator.within("it may not revoke this credential", covers)?;
        }
        let scope = RevocationScope::Credential(credential.credential_id);
        let revoke = Revoke { scope, reason: String::new(), spare_delegated };
        let change = RevokeBy { caller, revoke: &revoke, presented: Some(&*credential) };
        self.change(&caller.id(), idempotency.as_ref(), &change).await.map(Some)
    }

    async fn live_and_revocable(&self, caller: &Caller, token: &str) -> Result<Option<Arc<Credential>>, Error> {
        let Presented::Holds(credential) = self.present(token).await? else { return Ok(None) };
        // By a clock in doubt nothing has expired, so a stop is accepted.
        let live = self.inner.engine.clock.trust().is_err()
            || self.snapshot().dead(&credential, self.inner.engine.clock.now()).is_none();
        let its_own = match caller {
            Caller::Operator(_) => true,
            Caller::Instance(own) => credential.chain.contains(&own.agent_instance_id),
        };
        Ok((live && its_own).then_some(credential))
    }
}
