//! The key that signs the log's checkpoints, made at the first start, and the name of the log in them
//! (`custody.origin`), which is set once and never changes.

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_ledger::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    leaf::{Change, Digest, Kind, Leaf, Subject},
    note::VerifierKey,
};
use countersign_store::{log_tree, sealed};
use zeroize::Zeroizing;

use crate::{
    Error,
    engine::{secrets::Secrets, sha256::sha256, transaction::ChangeTx},
};

/// The name of the key among the installation's secrets.
const LOG_KEY: &str = "log-key";

/// The key with its name.
pub(crate) struct LogKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogKey({})", self.verifier)
    }
}

impl LogKey {
    /// Reads the key, or at the first start creates it. The log is named then, for good: `configured` is the name in the
    /// configuration, `otherwise` the name of a log that has none there.
    pub(crate) async fn load(
        tx: &mut ChangeTx,
        secrets: &Secrets,
        configured: Option<&str>,
        otherwise: &str,
    ) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::internal("the log's key cannot be used", error);
        let origin = match (log_tree::read(tx.conn()).await?.origin, configured) {
            (Some(named), Some(configured)) if named != configured => {
                return Err(Error::NotReady(format!(
                    "custody.origin is {configured}, but this log was named {named} when its first checkpoint was \
                     signed, and keeps that name: set custody.origin to it, or leave it out"
                )));
            }
            (Some(named), _) => named,
            (None, configured) => {
                let origin = configured.unwrap_or(otherwise).to_owned();
                log_tree::name(tx.conn(), &origin).await?;
                origin
            }
        };
        if let Some(stored) = sealed::secret(tx.conn(), LOG_KEY).await? {
            let der = secrets.open(LOG_KEY, &stored.nonce, &stored.text)?;
            let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|error| failed(&error))?;
            let verifier = VerifierKey::of(&origin, &pair).map_err(|error| failed(&error))?;
            return Ok(Self { pair, verifier });
        }
        let pair = Ed25519KeyPair::generate().map_err(|error| failed(&error))?;
        let der = pair.to_pkcs8v1().map_err(|error| failed(&error))?;
        let der = Zeroizing::new(der.as_ref().to_vec());
        let verifier = VerifierKey::of(&origin, &pair).map_err(|error| failed(&error))?;
        let (nonce, text) = secrets.seal(LOG_KEY, &der, tx.entropy())?;
        sealed::insert_secret(tx.conn(), LOG_KEY, &nonce, &text).await?;
        let text = verifier.to_string();
        let leaf = Leaf {
            changes: vec![Change { after: Some(text.clone().into()), before: None, field: "verifier_key".into() }],
            content_hash: Some(Digest(sha256(text.as_bytes()))),
            state_after: Some("ACTIVE".into()),
            subject: Some(Subject { id: Some(origin.into()), kind: "log_key".into() }),
            ..tx.own_leaf(Kind::KeyCreated)
        };
        tx.append(leaf, "")?;
        Ok(Self { pair, verifier })
    }

    /// The name of the log.
    pub(crate) fn origin(&self) -> &str {
        self.verifier.name()
    }

    /// The public key, for whoever checks.
    pub(crate) const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of a size and a root.
    pub(crate) fn sign(&self, size: u64, root: [u8; 32]) -> Result<String, Error> {
        let checkpoint = Checkpoint { origin: self.origin().to_owned(), size, root, extensions: Vec::new() };
        let signed = checkpoint.sign(self.origin(), &self.pair);
        Ok(signed.map_err(|error| Error::internal("a checkpoint cannot be signed", error))?.note.to_string())
    }

    /// Reads a note that this key signed.
    pub(crate) fn open(&self, note: &[u8]) -> Result<Checkpoint, String> {
        let opened = SignedCheckpoint::open(note, &self.verifier, self.origin());
        opened.map(|signed| signed.checkpoint).map_err(|error| error.to_string())
    }
}
