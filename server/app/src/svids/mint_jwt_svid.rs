//! MintJwtSvid: proves an instance's SPIFFE ID to the services it names. Refuses an audience that is this installation
//! or one of its tools; without a trust domain there are no SVIDs.

use countersign_core::{
    Violation,
    clock::uuid_v7,
    credential::sign_jwt_svid,
    ids::EventId,
    names::{OperatorId, ToolId},
    spiffe::{OwnNames, SpiffeId, SvidAudience, TrustDomain},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    App, Caller, Credential, Error, Idempotency,
    recorder::{JwtDocument, MintedJwt, SvidJob},
};

/// Whose it is to be, and for whom.
#[derive(Debug, Clone)]
pub struct MintJwtSvid {
    /// The instance's live credential; none: the one the caller authenticated with.
    pub token: Option<String>,
    /// The services it will be presented to.
    pub audience: Vec<SvidAudience>,
    /// Seconds from now; none: the default, or what is left of the credential.
    pub ttl_seconds: Option<i64>,
}

/// A signed JWT-SVID.
#[derive(Clone)]
pub struct JwtSvid {
    /// The token. A secret.
    pub svid: String,
    /// Its `sub`.
    pub spiffe_id: SpiffeId,
    /// Its `jti`.
    pub svid_id: Uuid,
    /// When it expires.
    pub expire_time: OffsetDateTime,
    /// Where the custody log holds it.
    pub log_index: i64,
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSvid").field("svid_id", &self.svid_id).finish_non_exhaustive()
    }
}

impl App {
    /// Records and signs a JWT-SVID. An instance gets its own only.
    pub async fn mint_jwt_svid(
        &self,
        caller: &Caller,
        command: MintJwtSvid,
        idempotency: Option<Idempotency>,
    ) -> Result<JwtSvid, Error> {
        let minted = self.record_jwt_svid(caller, command, idempotency.as_ref()).await;
        let outcome = if minted.is_ok() { "minted" } else { "refused" };
        metrics::counter!("countersign_svids_total", "kind" => "jwt", "outcome" => outcome).increment(1);
        minted
    }

    async fn record_jwt_svid(
        &self,
        caller: &Caller,
        command: MintJwtSvid,
        idempotency: Option<&Idempotency>,
    ) -> Result<JwtSvid, Error> {
        self.inner.engine.clock.trust()?;
        let domain = self.trust_domain()?;
        let holder = self.holder(caller, command.token.as_deref(), "token").await?;
        self.for_others(&command.audience, &holder)?;
        let (now, entropy) = (self.inner.engine.clock.now(), &*self.inner.engine.entropy);
        let job = SvidJob {
            spiffe_id: domain.instance(holder.agent_instance_id),
            holder,
            operator_id: operator_id(caller),
            ttl: command.ttl_seconds,
            event_id: EventId(uuid_v7(now, entropy)),
            now,
            document: JwtDocument { jti: uuid_v7(now, entropy), audience: command.audience },
        };
        let keyed = idempotency.map(|idempotency| idempotency.key(&caller.id(), "MintJwtSvid"));
        let MintedJwt { claims, log_index, key } = self.inner.recorder.submit_one(job, keyed).await?;
        let key = key.unwrap_or_else(|| self.snapshot().keys.active.clone());
        let svid =
            sign_jwt_svid(&claims, &key).map_err(|error| Error::internal("a JWT-SVID cannot be signed", error))?;
        Ok(JwtSvid { svid, expire_time: claims.expire_time(), spiffe_id: claims.sub, svid_id: claims.jti, log_index })
    }

    /// Refuses audiences that are this installation or one of its tools: there a credential or a receipt is asked for, and a
    /// verifier that does not look at `typ` would take the document for one.
    fn for_others(&self, audience: &[SvidAudience], holder: &Credential) -> Result<(), Error> {
        let (config, snapshot) = (&self.inner.engine.config, self.snapshot());
        let (mut own, mut tools) = (OwnNames::default(), OwnNames::default());
        own.add(&config.issuer);
        own.add(&config.audience);
        let known = config.supported_tools.iter().chain(&holder.tools).map(ToolId::as_str);
        known
            .chain(snapshot.policies().flat_map(|policy| policy.compiled.tool_names()))
            .for_each(|tool| tools.add(tool));
        let wrong = audience.iter().enumerate().filter_map(|(nth, one)| {
            let why = if own.has(one) {
                "is this installation itself, which takes credentials: name the service that the SVID will be shown to"
            } else if tools.has(one) {
                "is the id of a tool, which takes receipts: name the service that the SVID will be shown to, by its URL or its \
                 SPIFFE ID"
            } else {
                return None;
            };
            Some(Violation::new(format!("audience[{nth}]"), why))
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
    }

    /// The installation's trust domain, without which there are no SPIFFE IDs.
    pub(crate) fn trust_domain(&self) -> Result<&TrustDomain, Error> {
        self.inner.engine.config.trust_domain.as_ref().ok_or_else(|| {
            let why = "this installation has no SPIFFE trust domain, so instances have no SPIFFE IDs: who runs it can set \
                       spiffe.trust_domain";
            Error::NotReady(why.to_owned())
        })
    }
}

/// The operator who asks; none where the instance does itself.
pub(crate) fn operator_id(caller: &Caller) -> Option<OperatorId> {
    caller.operator().map(|operator| operator.operator_id.clone())
}
