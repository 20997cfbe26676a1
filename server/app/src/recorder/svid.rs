//! SVIDs: documents that prove an instance's SPIFFE ID, on its live credential as it stands when they are recorded.

use std::{borrow::Cow, sync::Arc};

use countersign_core::{
    Violation,
    credential::{JwtSvidClaims, SigningKey, Verified},
    grant::BACKDATE,
    ids::EventId,
    names::OperatorId,
    spiffe::{self, Lifetime, SpiffeId, SvidAudience},
};
use countersign_ledger::{
    export::Disclosed,
    leaf::{self, Change, Digest, Kind, Leaf, Subject},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::batch::Staged;
use crate::{Credential, Error, custody_leaf};

/// An SVID to record and to make.
#[derive(Debug)]
pub(crate) struct SvidJob {
    /// On what it stands.
    pub(crate) holder: Arc<Credential>,
    /// Who asks; none where the instance does itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) spiffe_id: SpiffeId,
    pub(crate) ttl: Option<i64>,
    pub(crate) event_id: EventId,
    pub(crate) now: OffsetDateTime,
    /// Its `jti`.
    pub(crate) jti: Uuid,
    pub(crate) audience: Vec<SvidAudience>,
}

/// A recorded SVID: what to sign.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Minted {
    pub(crate) claims: JwtSvidClaims,
    pub(crate) log_index: i64,
    /// The key that the custody log names. Not kept: a repeated answer is signed with the key of the day.
    #[serde(skip)]
    pub(crate) key: Option<Arc<SigningKey>>,
}

impl Staged<'_> {
    pub(super) fn svid(&mut self, job: &SvidJob) -> Result<Minted, Error> {
        self.ensure_live(&job.holder, job.now)?;
        let key = self.snapshot.keys.active.clone();
        let life = self.svid_life(job, BACKDATE)?;
        let claims = JwtSvidClaims::new(
            &self.app.inner.config.issuer,
            job.spiffe_id.clone(),
            job.audience.clone(),
            life,
            job.jti,
        );
        let mut changes: Vec<_> =
            job.audience.iter().zip(1..).map(|(audience, n)| set(format!("audience.{n}"), audience.as_str())).collect();
        changes.push(set("expire_time", custody_leaf::timestamp(life.end).to_string()));
        changes.push(set("key_id", key.kid()));
        let subject = Subject { id: Some(job.jti.to_string().into()), kind: "jwt_svid".into() };
        let leaf = Leaf { changes, subject: Some(subject), ..leaf_of(job) };
        let log_index = self.append(Arc::new(custody_leaf::seal(&leaf, Disclosed::default())?));
        Ok(Minted { claims, log_index, key: Some(key) })
    }

    /// How long the SVID lives, or everything that does not fit.
    fn svid_life(&self, job: &SvidJob, backdate: u32) -> Result<Lifetime, Error> {
        let default = self.app.inner.config.default_ttl;
        let life = spiffe::lifetime(job.ttl, default, job.holder.expire_time, backdate, job.now);
        let single_use = job
            .holder
            .single_use
            .then(|| Violation::new("token", "a single-use credential is good for one Decide and gets no SVID"));
        match (life, single_use) {
            (Ok(life), None) => Ok(life),
            (life, single_use) => Err(Error::GrantTooWide(life.err().into_iter().chain(single_use).collect())),
        }
    }
}

/// What the events of all SVIDs state.
fn leaf_of(job: &SvidJob) -> Leaf<'_> {
    let holder: &Verified = &job.holder;
    Leaf {
        agent_instance_id: Some(holder.agent_instance_id.to_string().into()),
        credential_id: Some(holder.credential_id.to_string().into()),
        custody_ref: Some(Digest(holder.custody_ref)),
        operator_id: job.operator_id.as_ref().map(|id| id.as_str().into()),
        parent_agent_id: holder.parent_agent_id().map(|id| id.to_string().into()),
        root_instance_id: Some(holder.root_instance_id().to_string().into()),
        sponsor_id: Some(holder.sponsor_id.as_str().into()),
        sponsor_state: Some(leaf::SponsorState::Live),
        ..Leaf::new(Kind::SvidIssued, job.event_id.to_string(), custody_leaf::timestamp(job.now))
    }
}

fn set<'a>(field: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Change<'a> {
    Change { after: Some(value.into()), before: None, field: field.into() }
}
