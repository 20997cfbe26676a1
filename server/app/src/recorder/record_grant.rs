//! Grants: a credential for a root instance, its renewal, or a child, by the records as they stand when it is recorded.
//! The sponsor must be active, the parent live, and what is renewed a live root; claims that would make too long a
//! token are refused.

use std::{sync::Arc, time::Instant};

use countersign_core::{
    Violation,
    credential::{Claims, Grant, LEEWAY, Verified},
    decision::Reason,
    ids::InstanceId,
    instance::{Instance, InstanceState},
    names::{SponsorId, ToolId},
    sponsor::{Sponsor, SponsorState},
};
use countersign_ledger::{
    commitment::Opening,
    export::Disclosed,
    leaf::{self, Decimal, Digest, Kind, Leaf},
};
use countersign_store::instance::{Holding, Standing};
use time::{Duration, OffsetDateTime};

use super::{
    batch::BatchBuilder,
    ceilings,
    job::{GrantJob, Granted, Holder, Job},
    preload::Wanted,
    validate_grant::EffectiveGrant,
};
use crate::{Error, credentials::introspect_credential::refused, engine::custody_leaf};

impl Job for GrantJob {
    type Reply = Granted;
    const KEPT_AS: &'static [&'static str] = &["Grant"];

    fn wants(&self, wanted: &mut Wanted, _epoch: i64) {
        match &self.holder {
            Holder::Root { sponsor_id, renews } => {
                wanted.sponsors.insert(sponsor_id.clone());
                wanted.instances.extend(renews);
            }
            Holder::Child { parent } => drop(wanted.sponsors.insert(parent.sponsor_id.clone())),
        }
    }

    fn adds_to(&self) -> Vec<Holding> {
        ceilings::adds_to(self)
    }

    fn record(&self, batch: &mut BatchBuilder<'_>, _arrived: Instant) -> Result<Granted, Error> {
        batch.grant(self)
    }

    fn log_index(reply: &Granted) -> i64 {
        reply.log_index
    }

    fn again(&self, batch: &BatchBuilder<'_>, kept: Granted) -> Result<Granted, Error> {
        batch.granted_again(self, kept)
    }
}

impl BatchBuilder<'_> {
    fn grant(&mut self, job: &GrantJob) -> Result<Granted, Error> {
        let policy = self.snapshot.granting_policy()?;
        let parent = self.live_parent(job)?;
        let sponsor_id = match &job.holder {
            Holder::Root { sponsor_id, .. } => sponsor_id,
            Holder::Child { parent } => &parent.sponsor_id,
        };
        let sponsor = self.found.sponsors.get(sponsor_id).ok_or_else(|| Error::not_found("sponsor", sponsor_id))?;
        if !sponsor.is_active(job.fresh.now) {
            return Err(not_active(sponsor));
        }
        let renewed = self.renewed(job)?;
        let effective = self.validate(job, sponsor, policy, parent, renewed)?;
        if let Some(tool) = self.narrowed(job).filter(|tool| !effective.tools.contains(tool)) {
            let audience = &self.engine.config.audience;
            let wrong = format!("must be {audience} or one of the tools that the credential is granted for, is {tool}");
            return Err(Error::GrantTooWide(vec![Violation::new("resource", wrong)]));
        }
        self.check_ceiling(job)?;
        let custody_ref = parent.map_or(sponsor.grant_leaf, |parent| Some(parent.custody_ref));
        let before = renewed.cloned();
        self.record(job, &sponsor_id.clone(), custody_ref, effective, before)
    }

    /// The one tool that the credential is to be for; none: the installation, by name or not.
    fn narrowed<'j>(&self, job: &'j GrantJob) -> Option<&'j ToolId> {
        job.resource.as_ref().filter(|tool| tool.as_str() != self.engine.config.audience)
    }

    /// The parent of a child that is asked for, if it may still act.
    fn live_parent<'j>(&self, job: &'j GrantJob) -> Result<Option<&'j Verified>, Error> {
        let Holder::Child { parent } = &job.holder else { return Ok(None) };
        self.ensure_live(parent, job.fresh.now).map(|()| Some(&***parent))
    }

    /// Refuses a credential that may no longer act, as of the head.
    pub(super) fn ensure_live(&self, credential: &Verified, now: OffsetDateTime) -> Result<(), Error> {
        match self.dead(credential, now) {
            None => Ok(()),
            Some(Reason::SponsorNotActive) => Err(match self.found.sponsors.get(&credential.sponsor_id) {
                Some(sponsor) if sponsor.state != SponsorState::Active => not_active(sponsor),
                _ => refused(Reason::SponsorNotActive),
            }),
            Some(reason) => Err(refused(reason)),
        }
    }

    /// Why a credential may no longer act, as of the head.
    pub(super) fn dead(&self, credential: &Verified, now: OffsetDateTime) -> Option<Reason> {
        if now >= credential.expire_time || credential.issue_time > now + Duration::seconds(LEEWAY) {
            return Some(Reason::CredentialExpired);
        }
        self.snapshot.dead(credential, now)
    }

    fn renewed(&self, job: &GrantJob) -> Result<Option<&Instance>, Error> {
        let Holder::Root { sponsor_id, renews: Some(id) } = &job.holder else { return Ok(None) };
        let stored = self.found.instances.get(id).filter(|stored| stored.instance.sponsor_id == *sponsor_id);
        let stored = stored.ok_or_else(|| Error::not_found("instance of this sponsor", id))?;
        if stored.standing(job.fresh.now) != Standing::In(InstanceState::Live)
            || stored.instance.parent_agent_id.is_some()
        {
            return Err(Error::IllegalTransition(format!(
                "instance {id} is not a live root instance, so its credential cannot be renewed: start a new one"
            )));
        }
        Ok(Some(&stored.instance))
    }

    fn record(
        &mut self,
        job: &GrantJob,
        sponsor_id: &SponsorId,
        custody_ref: Option<[u8; 32]>,
        effective: EffectiveGrant,
        renewed: Option<Instance>,
    ) -> Result<Granted, Error> {
        let config = &self.engine.config;
        let ancestors = effective.ancestors;
        let key = self.snapshot.keys.active.clone();
        let mut claims = Claims::new(Grant {
            issuer: &config.issuer,
            audience: self.narrowed(job).map_or(&*config.audience, ToolId::as_str),
            credential_id: job.fresh.credential_id,
            ancestors: &ancestors,
            agent_instance_id: renewed
                .as_ref()
                .map_or(job.fresh.agent_instance_id, |instance| instance.agent_instance_id),
            sponsor_id: sponsor_id.clone(),
            agent: job.agent.clone(),
            role: effective.role,
            inherited_roles: effective.inherited_roles,
            root_agent: effective.root_agent,
            tools: effective.tools,
            purpose: effective.purpose,
            single_use: job.single_use,
            rev: self.head.revocation_seq,
            custody_ref: [0; 32],
            labels: effective.labels,
            on_behalf_of: effective.on_behalf_of,
            ttl_seconds: effective.ttl,
            now: job.fresh.now,
        });
        too_long(&claims)?;
        let disclosed = disclosed(job, &claims);
        let leaf = leaf_of(job, &claims, custody_ref, &disclosed, key.kid());
        let event = custody_leaf::seal(&leaf, disclosed)?;
        claims.custody_ref = event.leaf_hash.into();
        let instance = instance_of(job, &claims, ancestors, event.leaf_hash, renewed);
        let log_index = self.append(Arc::new(event))?;
        self.delta.instances.insert(instance.agent_instance_id, instance);
        Ok(Granted { claims, log_index, key_id: Some(key.kid().to_owned()), key: Some(key) })
    }
}

/// Most bytes of claims whose token every verifier takes: base64 adds a third, header and signature some 300 bytes.
const MAX_CLAIMS: usize = 5_800;

/// Refuses what would be too long a token, before anything of it is recorded.
fn too_long(claims: &Claims) -> Result<(), Error> {
    let length = serde_json::to_vec(claims).map_err(|error| Error::internal("claims are no JSON", error))?.len();
    if length <= MAX_CLAIMS {
        return Ok(());
    }
    let description = format!(
        "labels, tools, purpose, on_behalf_of and chain make a credential of {length} bytes, and {MAX_CLAIMS} are the most: shorten them"
    );
    Err(Error::GrantTooWide(vec![Violation::new(largest(claims), description)]))
}

/// The field of a request that takes most of the room.
fn largest(claims: &Claims) -> &'static str {
    let labels: usize = claims.labels.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
    let tools: usize = claims.tools.iter().map(|tool| tool.as_str().len() + 3).sum();
    let on_behalf_of = claims.on_behalf_of.as_ref().map_or(0, String::len);
    let fields =
        [("labels", labels), ("tools", tools), ("purpose", claims.purpose.len()), ("on_behalf_of", on_behalf_of)];
    fields.into_iter().max_by_key(|(_, bytes)| *bytes).map_or("labels", |(field, _)| field)
}

/// Why a sponsor who is not active cannot answer for a run.
pub(crate) fn not_active(sponsor: &Sponsor) -> Error {
    let state = match sponsor.state {
        // The review has lapsed, and no worker has noticed yet.
        SponsorState::Active => SponsorState::Suspended,
        state => state,
    };
    Error::SponsorNotActive { sponsor_id: sponsor.sponsor_id.clone(), state }
}

/// The texts of a grant, each with its salt.
fn disclosed(job: &GrantJob, claims: &Claims) -> Disclosed {
    let opening = |salt, text: &String| Opening { salt, text: text.clone() };
    Disclosed {
        purpose: Some(opening(job.fresh.purpose_salt, &claims.purpose)),
        on_behalf_of: claims.on_behalf_of.as_ref().map(|text| opening(job.fresh.on_behalf_of_salt, text)),
        ..Disclosed::default()
    }
}

fn leaf_of<'a>(
    job: &'a GrantJob,
    claims: &'a Claims,
    custody_ref: Option<[u8; 32]>,
    disclosed: &Disclosed,
    key_id: &'a str,
) -> Leaf<'a> {
    let commitment = |opening: &Option<Opening>| opening.as_ref().map(|opening| Digest(opening.commitment()));
    let fact = |fact: &'a Option<String>| fact.as_deref().map(Into::into);
    let kind = if claims.parent_agent_id.is_some() { Kind::Delegated } else { Kind::CredentialIssued };
    Leaf {
        agent_instance_id: Some(claims.agent_instance_id.to_string().into()),
        credential_id: Some(claims.jti.to_string().into()),
        custody_ref: custody_ref.map(Digest),
        grant: Some(leaf::Grant {
            agent: claims.agent.as_str().into(),
            agent_version: fact(&job.facts.agent_version),
            depth: claims.depth,
            expire_time: custody_leaf::timestamp(claims.expire_time()),
            key_id: Some(key_id.into()),
            model: fact(&job.facts.model),
            platform: fact(&job.facts.platform),
            role: claims.role.as_str().into(),
            single_use: claims.single_use,
            tools: claims.tools.iter().map(|tool| tool.as_str().into()).collect(),
            ttl_seconds: claims.ttl_seconds,
            ..leaf::Grant::default()
        }),
        on_behalf_of_commitment: commitment(&disclosed.on_behalf_of),
        operator_id: job.operator_id.as_ref().map(|id| id.as_str().into()),
        parent_agent_id: claims.parent_agent_id.map(|id| id.to_string().into()),
        purpose_commitment: commitment(&disclosed.purpose),
        revocation_seq: u64::try_from(claims.rev).ok().map(Decimal),
        root_instance_id: Some(claims.sub.to_string().into()),
        span_id: job.trace.map(|trace| trace.span_id),
        sponsor_id: Some(claims.sponsor_id.as_str().into()),
        sponsor_state: Some(leaf::SponsorState::Live),
        trace_id: job.trace.map(|trace| trace.trace_id),
        ..Leaf::new(kind, job.fresh.event_id.to_string(), custody_leaf::timestamp(job.fresh.now))
    }
}

fn instance_of(
    job: &GrantJob,
    claims: &Claims,
    chain: Vec<InstanceId>,
    custody_ref: [u8; 32],
    renewed: Option<Instance>,
) -> Instance {
    if let Some(instance) = renewed {
        return Instance { expire_time: claims.expire_time(), rev: claims.rev, custody_ref, ..instance };
    }
    Instance {
        agent_instance_id: claims.agent_instance_id,
        parent_agent_id: claims.parent_agent_id,
        root_instance_id: claims.sub,
        chain,
        sponsor_id: claims.sponsor_id.clone(),
        agent: claims.agent.clone(),
        role: claims.role.clone(),
        inherited_roles: claims.inherited_roles.clone(),
        tools: claims.tools.clone(),
        purpose: claims.purpose.clone(),
        depth: claims.depth,
        state: InstanceState::Live,
        labels: claims.labels.clone(),
        create_time: job.fresh.now,
        expire_time: claims.expire_time(),
        end_time: None,
        rev: claims.rev,
        custody_ref,
        revision: 1,
        on_behalf_of: claims.on_behalf_of.clone(),
        parent_credential_id: match &job.holder {
            Holder::Child { parent } => Some(parent.credential_id),
            Holder::Root { .. } => None,
        },
        root_agent: claims.root_agent.clone(),
    }
}
