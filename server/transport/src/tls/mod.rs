//! TLS with certificates that are replaced while the server runs.

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

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(5);

/// Where the server's certificate is, and who vouches for its clients. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key in PEM: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub private_key: PathBuf,
    /// The certificate authorities of clients in PEM. None: no client is asked for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Why the files are no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// Which of them.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A file of certificates holds none.
    #[error("{}: there is no certificate in it", .0.display())]
    Empty(PathBuf),
    /// The two do not belong together, or the key is of no kind that is known.
    #[error("TLS certificate {} and its key: {source}", certificate.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A certificate authority of clients is none.
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

/// Accepts TLS with whatever the files hold at the time.
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

    /// Takes a connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again whenever they change, for ever. What does not load is reported, and the certificate of
    /// before serves on.
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
        // A session that is resumed would bring its certificate along unverified.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Verifies client certificates where there are any; nobody needs one.
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

/// What is said of an authority's certificate where a server's should be. It serves all the same, since some clients take it.
const AUTHORITY: &str = "the first certificate of tls.certificate is a certificate authority (CA:TRUE) and no server's: Rust clients, \
    Countersign's own among them, refuse the connection. Put the server's own certificate first; one that is signed by itself is made \
    with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...`";

/// The certificates of a file, at least one.
fn chain(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File { what, path: path.to_owned(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if chain.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(chain) }
}

/// What tells one version of the files from the next.
fn stamps(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 3] {
    [Some(&files.certificate), Some(&files.private_key), files.client_ca.as_ref()].map(|path| {
        let metadata = fs::metadata(path?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

#[cfg(test)]
pub(crate) mod tests;
