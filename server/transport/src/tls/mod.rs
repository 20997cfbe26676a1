//! TLS with certificates that are replaced while the server runs, once their files change (`POLL`). TLS 1.2 and 1.3;
//! client certificates are optional, and sessions are then not resumed. Warns if an authority's certificate is the
//! server's.

pub(crate) mod certificate;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

/// How often the files are checked.
const POLL: Duration = Duration::from_secs(5);

/// The files of the server's certificate and of the authorities for client certificates. They are read again when they
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub private_key: PathBuf,
    /// The certificate authorities of clients in PEM. `None` if clients are not asked for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or contains something else.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// Which of them.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate file contains no certificate.
    #[error("{}: there is no certificate in it", .0.display())]
    Empty(PathBuf),
    /// The certificate and the key do not belong together, or the kind of key is unknown.
    #[error("TLS certificate {} and its key: {source}", certificate.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A certificate authority for clients is invalid.
    #[error("client CA {}: {why}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The protocol versions cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// Accepts TLS with the current content of the files.
#[derive(Clone)]
pub(crate) struct Tls {
    current: Arc<RwLock<TlsAcceptor>>,
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    /// Loads the files: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let current = Arc::new(RwLock::new(acceptor(&files, &provider)?));
        Ok(Self { current, files, provider })
    }

    /// The acceptor for a connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again whenever they change, for ever. If they do not load, that is logged and the previous
    /// certificate stays in use.
    pub(crate) async fn follow(self) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = stamps(&self.files);
        loop {
            ticks.tick().await;
            let now = stamps(&self.files);
            if now == seen {
                continue;
            }
            seen = now;
            self.reload();
        }
    }

    fn reload(&self) {
        match acceptor(&self.files, &self.provider) {
            Ok(acceptor) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
                tracing::info!(certificate = %self.files.certificate.display(), "the TLS files were read again");
            }
            Err(error) => tracing::warn!(%error, "the new TLS files do not load; what was read before serves on"),
        }
    }
}

fn acceptor(files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<TlsAcceptor, TlsError> {
    let versions = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let clients = match &files.client_ca {
        Some(path) => versions.with_client_cert_verifier(verifier(path, provider)?),
        None => versions.with_no_client_auth(),
    };
    let mut config = clients.with_cert_resolver(Arc::new(SingleCertAndKey::from(own_key(files, provider)?)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if files.client_ca.is_some() {
        // The certificate of a resumed session would not be verified.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Verifies client certificates if there are any; they are optional.
fn verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let wrong = |why: String| TlsError::ClientCa { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in chain("client CA", path)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(error.to_string()))
}

fn own_key(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = chain("TLS certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|source| TlsError::File {
        what: "TLS private key",
        path: files.private_key.clone(),
        source,
    })?;
    let is_authority = chain.first().is_some_and(|own| certificate::is_authority(own));
    let pair = CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| TlsError::Pair { certificate: files.certificate.clone(), source })?;
    if is_authority {
        tracing::warn!(certificate = %files.certificate.display(), "{AUTHORITY}");
    }
    Ok(pair)
}

/// The warning about an authority's certificate in place of a server's. It is used nevertheless, because some clients
/// accept it.
const AUTHORITY: &str = "the first certificate of tls.certificate is a certificate authority (CA:TRUE) and no server's: Rust clients, \
    Countersign's own among them, refuse the connection. Put the server's own certificate first; one that is signed by itself is made \
    with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...`";

/// The certificates of a file, at least one.
fn chain(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File { what, path: path.to_owned(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if chain.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(chain) }
}

/// Identifies a version of the files.
fn stamps(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 3] {
    [Some(&files.certificate), Some(&files.private_key), files.client_ca.as_ref()].map(|path| {
        let metadata = fs::metadata(path?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

#[cfg(test)]
pub(crate) mod tests;
