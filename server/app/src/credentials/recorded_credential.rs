//! An instance's newest credential from the log, for operators who name an instance and do not have its token; and the
//! claims of a recorded grant.
//!
//! The credential has the content of the token, so everything that ends or limits the token applies to it too:
//! revocations, expiry, tools, single use.

use std::sync::Arc;

use countersign_core::{
    credential::{Claims, Grant, Verified},
    ids::InstanceId,
    instance::Instance,
};
use countersign_ledger::{leaf::Leaf, merkle::leaf_hash};
use countersign_store::{
    event::{self, StoredGrant},
    instance,
};

use crate::{App, Credential, Error, decisions::read_decisions::instant};

impl App {
    /// The newest credential of an instance, active or not. `None` if there is no such instance.
    pub(crate) async fn recorded_credential(&self, id: InstanceId) -> Result<Option<Arc<Credential>>, Error> {
        let mut conn = self.inner.engine.store.for_authority().connection().await?;
        let Some(stored) = instance::get_all(&mut conn, &[id.0]).await?.pop() else { return Ok(None) };
        let Some(grant) = event::newest_grant(&mut conn, id).await? else { return Ok(None) };
        let leaf_bytes = grant.leaf_bytes;
        let Instance { agent_instance_id, chain, inherited_roles, root_agent, purpose, labels, on_behalf_of, .. } =
            stored.instance;
        let grant = StoredGrant {
            leaf_bytes,
            agent_instance_id,
            chain,
            inherited_roles,
            root_agent,
            purpose,
            labels,
            on_behalf_of,
        };
        let (claims, kid) = self
            .claims(grant)?
            .ok_or_else(|| Error::internal("the event of a grant does not say what was granted", id))?;
        Ok(Some(Arc::new(Credential::recorded(Verified::new(claims, kid)))))
    }

    /// The claims of the token that was signed for this grant, and the key that first signed it. `None` if the event is
    /// not a grant.
    pub(crate) fn claims(&self, stored: StoredGrant) -> Result<Option<(Claims, String)>, Error> {
        let custody_ref = leaf_hash(&stored.leaf_bytes);
        let leaf =
            Leaf::parse(&stored.leaf_bytes).map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
        Ok((|| {
            let granted = leaf.grant?;
            let claims = Claims::new(Grant {
                issuer: &self.inner.engine.config.issuer,
                audience: &self.inner.engine.config.audience,
                credential_id: leaf.credential_id?.parse().ok()?,
                ancestors: &stored.chain,
                agent_instance_id: stored.agent_instance_id,
                // The instance's current sponsor is not used: it may be another one, for whom nothing was granted yet.
                sponsor_id: leaf.sponsor_id?.parse().ok()?,
                agent: granted.agent.parse().ok()?,
                role: granted.role.parse().ok()?,
                inherited_roles: stored.inherited_roles,
                root_agent: stored.root_agent,
                tools: granted.tools.iter().map(|tool| tool.parse().ok()).collect::<Option<_>>()?,
                purpose: stored.purpose,
                single_use: granted.single_use,
                rev: i64::try_from(leaf.revocation_seq?.0).ok()?,
                custody_ref,
                labels: stored.labels,
                on_behalf_of: stored.on_behalf_of,
                ttl_seconds: granted.ttl_seconds,
                now: instant(leaf.timestamp)?,
            });
            Some((claims, granted.key_id?.into_owned()))
        })())
    }
}
