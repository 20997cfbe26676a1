//! SVIDs: documents that prove an instance's SPIFFE ID, on its live credential as it stands when they are recorded.
//! None lives longer than the credential, and a single-use credential gets none.

use std::{borrow::Cow, sync::Arc, time::Instant};

use countersign_core::{
    Violation,
    credential::{JwtSvidClaims, Verified},
    grant::BACKDATE,
    spiffe::{self, Lifetime},
};
use countersign_ledger::{
    export::Disclosed,
    leaf::{self, Change, Digest, Kind, Leaf, Subject},
};

use super::{
    batch::BatchBuilder,
    job::{Job, JwtDocument, MintedJwt, MintedX509, SvidJob, X509Document},
    preload::Wanted,
};
use crate::{
    Error,
    engine::custody_leaf,
    svids::x509::{self, CERTIFICATE_BACKDATE},
};

impl Job for SvidJob<JwtDocument> {
    type Reply = MintedJwt;
    const KEPT_AS: &'static [&'static str] = &["Svid", "Jwt"];

    /// Its credential says everything, and the snapshot whether that is dead.
    fn wants(&self, _wanted: &mut Wanted, _epoch: i64) {}

    fn record(&self, batch: &mut BatchBuilder<'_>, _arrived: Instant) -> Result<MintedJwt, Error> {
        batch.ensure_live(&self.holder, self.now)?;
        batch.jwt_svid(self)
    }

    fn log_index(reply: &MintedJwt) -> i64 {
        reply.log_index
    }

    fn again(&self, batch: &BatchBuilder<'_>, kept: MintedJwt) -> Result<MintedJwt, Error> {
        batch.ensure_minted_again(self, kept.claims.expire_time())?;
        Ok(kept)
    }
}

impl Job for SvidJob<X509Document> {
    type Reply = MintedX509;
    const KEPT_AS: &'static [&'static str] = &["Svid", "X509"];

    /// As of a JWT-SVID.
    fn wants(&self, _wanted: &mut Wanted, _epoch: i64) {}

    fn record(&self, batch: &mut BatchBuilder<'_>, _arrived: Instant) -> Result<MintedX509, Error> {
        batch.ensure_live(&self.holder, self.now)?;
        batch.x509_svid(self)
    }

    fn log_index(reply: &MintedX509) -> i64 {
        reply.log_index
    }

    fn again(&self, batch: &BatchBuilder<'_>, kept: MintedX509) -> Result<MintedX509, Error> {
        batch.ensure_minted_again(self, kept.expire_time)?;
        Ok(kept)
    }
}

impl BatchBuilder<'_> {
    fn jwt_svid(&mut self, job: &SvidJob<JwtDocument>) -> Result<MintedJwt, Error> {
        let JwtDocument { jti, audience } = &job.document;
        let life = self.svid_life(job, BACKDATE)?;
        let key = self.snapshot.keys.active.clone();
        let issuer = &self.engine.config.issuer;
        let claims = JwtSvidClaims::new(issuer, job.spiffe_id.clone(), audience.clone(), life, *jti);
        let mut changes: Vec<_> =
            audience.iter().zip(1..).map(|(one, n)| set(format!("audience.{n}"), one.as_str())).collect();
        changes.extend([expires(life), set("key_id", key.kid())]);
        let log_index = self.record_svid(job, "jwt_svid", jti.to_string(), changes)?;
        Ok(MintedJwt { claims, log_index, key: Some(key) })
    }

    fn x509_svid(&mut self, job: &SvidJob<X509Document>) -> Result<MintedX509, Error> {
        let X509Document { serial, key } = &job.document;
        let life = self.svid_life(job, CERTIFICATE_BACKDATE)?;
        let authority = self.snapshot.authorities.signing(job.now).ok_or_else(|| {
            Error::NotReady("no X.509 authority may sign now: a server makes one within a minute".to_owned())
        })?;
        let certificate = x509::of_instance(key, &job.spiffe_id, *serial, life, &authority.issuer)?.der().to_vec();
        let changes = vec![set("authority", authority.id.clone()), expires(life)];
        let log_index = self.record_svid(job, "x509_svid", hex::encode(serial), changes)?;
        let spiffe_id = job.spiffe_id.clone();
        Ok(MintedX509 { certificate, serial: *serial, spiffe_id, expire_time: life.end, log_index })
    }

    /// How long the SVID lives, or everything that does not fit.
    fn svid_life<D>(&self, job: &SvidJob<D>, backdate: u32) -> Result<Lifetime, Error> {
        let default = self.engine.config.default_ttl;
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

    /// Appends the event of an SVID.
    fn record_svid<D>(
        &mut self,
        job: &SvidJob<D>,
        kind: &'static str,
        id: String,
        changes: Vec<Change<'_>>,
    ) -> Result<i64, Error> {
        let subject = Subject { id: Some(id.into()), kind: kind.into() };
        let leaf = Leaf { changes, subject: Some(subject), ..leaf_of(job) };
        self.append(Arc::new(custody_leaf::seal(&leaf, Disclosed::default())?))
    }
}

/// What the events of all SVIDs state.
fn leaf_of<D>(job: &SvidJob<D>) -> Leaf<'_> {
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

fn expires(life: Lifetime) -> Change<'static> {
    set("expire_time", custody_leaf::timestamp(life.end).to_string())
}

fn set<'a>(field: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Change<'a> {
    Change { after: Some(value.into()), before: None, field: field.into() }
}
