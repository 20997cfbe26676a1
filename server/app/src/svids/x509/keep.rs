//! The worker that sees to it that one X.509 authority signs and the next one is published: makes those that are
//! missing, and removes those that have expired. Runs on every server.

use countersign_core::{
    clock::random,
    spiffe::{Lifetime, TrustDomain},
    x509_authority::{SigningWindow, missing_windows},
};
use countersign_ledger::leaf::{Change, Digest, Kind, Leaf, Subject};
use countersign_store::x509_authority::{self, StoredAuthority};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use time::Duration;
use zeroize::Zeroizing;

use super::certificate::{self, CERTIFICATE_BACKDATE};
use crate::{
    App, Error,
    engine::{custody_leaf, secrets::Secrets, sha256::sha256, transaction::ChangeTx},
};

impl App {
    /// Makes the authorities that are missing and removes those that have served their time. Does not ask the database where nothing is
    /// due, and under the head's lock looks again: another server may have done it.
    pub(crate) async fn keep_x509_authorities(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let Some(domain) = &inner.engine.config.trust_domain else { return Ok(()) };
        // At a start too: what is believed there while the clocks are apart is the database's, which agrees with itself.
        self.inner.engine.clock.trust()?;
        if !self.snapshot().authorities.due(inner.engine.clock.now()) {
            return Ok(());
        }
        let mut tx = ChangeTx::begin(&inner.engine.store, &*inner.engine.clock, &inner.engine.entropy).await?;
        tx.ensure_time_is_known()?;
        tend(&mut tx, domain, &inner.engine.secrets).await?;
        if tx.finish().await? {
            self.inner.authority.refresh_snapshot().await;
        }
        Ok(())
    }
}

async fn tend(tx: &mut ChangeTx, domain: &TrustDomain, secrets: &Secrets) -> Result<(), Error> {
    let now = tx.now();
    for id in x509_authority::remove_expired(tx.conn(), now).await? {
        tx.changes_authority();
        let leaf = Leaf { state_after: Some("RETIRED".into()), ..leaf_of(tx, Kind::KeyRetired, &id) };
        tx.append(leaf, "")?;
    }
    let known = x509_authority::list(tx.conn(), domain.as_str()).await?;
    let known: Vec<_> =
        known.iter().map(|stored| SigningWindow { from: stored.sign_from, until: stored.sign_until }).collect();
    for window in missing_windows(&known, now) {
        make(tx, domain, window, secrets).await?;
    }
    Ok(())
}

/// Makes an authority. From the commit on it is in the bundle of every server, and it signs in its window.
async fn make(tx: &mut ChangeTx, domain: &TrustDomain, window: SigningWindow, secrets: &Secrets) -> Result<(), Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| Error::internal("no key of an X.509 authority can be made", error))?;
    let begin = tx.now() - Duration::seconds(CERTIFICATE_BACKDATE.into());
    let life = Lifetime { begin, end: window.leaves() };
    let serial = certificate::serial(random(tx.entropy()));
    let certificate = certificate::of_authority(&key, &domain.id(), serial, life)?.der().to_vec();
    let hash = sha256(&certificate);
    let authority_id = hex::encode(hash);
    let der = Zeroizing::new(key.serialize_der());
    let (private_nonce, private_key) = secrets.seal(&authority_id, &der, tx.entropy())?;
    let stored = StoredAuthority {
        authority_id,
        trust_domain: domain.as_str().to_owned(),
        certificate,
        private_nonce,
        private_key,
        publish_time: tx.now(),
        sign_from: window.from,
        sign_until: window.until,
        expire_time: window.leaves(),
    };
    tx.changes_authority();
    x509_authority::insert(tx.conn(), &stored).await?;
    let set = |field: &'static str, at| Change {
        after: Some(custody_leaf::timestamp(at).to_string().into()),
        before: None,
        field: field.into(),
    };
    let leaf = Leaf {
        changes: vec![
            set("expire_time", stored.expire_time),
            set("sign_from", stored.sign_from),
            set("sign_until", stored.sign_until),
        ],
        content_hash: Some(Digest(hash)),
        state_after: Some(if window.covers(tx.now()) { "ACTIVE".into() } else { "NEXT".into() }),
        ..leaf_of(tx, Kind::KeyCreated, &stored.authority_id)
    };
    tx.append(leaf, "")?;
    Ok(())
}

fn leaf_of(tx: &ChangeTx, kind: Kind, id: &str) -> Leaf<'static> {
    let subject = Subject { id: Some(id.to_owned().into()), kind: "x509_authority".into() };
    Leaf { subject: Some(subject), ..tx.own_leaf(kind) }
}
