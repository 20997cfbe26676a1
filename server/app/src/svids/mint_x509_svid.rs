//! MintX509Svid: proves an instance's SPIFFE ID in TLS, to whom it connects and to who connects to it.

use countersign_core::{
    clock::{random, uuid_v7},
    ids::EventId,
    spiffe::SpiffeId,
};
use time::OffsetDateTime;

use super::{mint_jwt_svid::operator_id, x509::serial};
use crate::{
    App, Caller, CsrKey, Error, Idempotency,
    recorder::{MintedX509, SvidJob, X509Document},
};

/// Whose it is to be, and for which key.
#[derive(Debug, Clone)]
pub struct MintX509Svid {
    /// The instance's live credential; none: the one the caller authenticated with.
    pub token: Option<String>,
    /// The key that it is for, whose private half stays with the instance.
    pub key: CsrKey,
    /// Seconds from now; none: the default, or what is left of the credential.
    pub ttl_seconds: Option<i64>,
}

/// A signed X.509-SVID, and what to trust others by.
#[derive(Debug, Clone)]
pub struct X509Svid {
    /// The certificates to present, DER, the instance's first.
    pub chain: Vec<Vec<u8>>,
    /// The trust domain's authorities, DER.
    pub bundle: Vec<Vec<u8>>,
    /// Its one name.
    pub spiffe_id: SpiffeId,
    /// Its serial number, lower-case hexadecimal.
    pub serial_number: String,
    /// When it expires.
    pub expire_time: OffsetDateTime,
    /// Where the custody log holds it.
    pub log_index: i64,
}

impl App {
    /// Records and signs an X.509-SVID. An instance gets its own only.
    pub async fn mint_x509_svid(
        &self,
        caller: &Caller,
        command: MintX509Svid,
        idempotency: Option<Idempotency>,
    ) -> Result<X509Svid, Error> {
        let minted = self.record_x509_svid(caller, command, idempotency.as_ref()).await;
        let outcome = if minted.is_ok() { "minted" } else { "refused" };
        metrics::counter!("countersign_svids_total", "kind" => "x509", "outcome" => outcome).increment(1);
        minted
    }

    async fn record_x509_svid(
        &self,
        caller: &Caller,
        command: MintX509Svid,
        idempotency: Option<&Idempotency>,
    ) -> Result<X509Svid, Error> {
        self.inner.engine.clock.trust()?;
        let domain = self.trust_domain()?;
        let holder = self.holder(caller, command.token.as_deref(), "token").await?;
        let (now, entropy) = (self.inner.engine.clock.now(), &*self.inner.engine.entropy);
        let spiffe_id = domain.instance(holder.agent_instance_id);
        let job = SvidJob {
            holder,
            operator_id: operator_id(caller),
            spiffe_id,
            ttl: command.ttl_seconds,
            event_id: EventId(uuid_v7(now, entropy)),
            now,
            document: X509Document { serial: serial(random(entropy)), key: command.key },
        };
        let keyed = idempotency.map(|idempotency| idempotency.key(&caller.id(), "MintX509Svid"));
        let minted = self.inner.recorder.submit_one(job, keyed).await?;
        let MintedX509 { certificate, serial, spiffe_id, expire_time, log_index } = minted;
        Ok(X509Svid {
            chain: vec![certificate],
            bundle: self.snapshot().authorities.certificates(),
            spiffe_id,
            serial_number: hex::encode(serial),
            expire_time,
            log_index,
        })
    }
}
