//! TLS with certificates that are replaced while the server runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(5);

/// Where the server's certificate is. Both files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key in PEM: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub private_key: PathBuf,
}

/// Why the files are no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// Which of the two.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("TLS certificate {}: there is no certificate in it", .0.display())]
    Empty(PathBuf),
    /// The two do not belong together, or the key is of no kind that is known.
    #[error("TLS certificate {} and its key: {source}", certificate.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The protocol versions cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// Accepts TLS with whatever certificate the files hold at the time.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    /// Loads the files: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let current = Arc::new(Current(RwLock::new(Arc::new(read(&files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current, files, provider })
    }

    /// Takes a connection.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
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
        match read(&self.files, &self.provider) {
            Ok(key) => {
                self.current.replace(key);
                tracing::info!(certificate = %self.files.certificate.display(), "the TLS certificate was replaced");
            }
            Err(error) => tracing::warn!(%error, "the new TLS certificate does not load; the one of before serves on"),
        }
    }
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let wrong = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let of_certificate = |source| wrong("TLS certificate", &files.certificate)(source);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(of_certificate)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(of_certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(wrong("TLS private key", &files.private_key))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| TlsError::Pair { certificate: files.certificate.clone(), source })
}

/// What tells one version of the files from the next.
fn stamps(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 2] {
    [&files.certificate, &files.private_key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

#[cfg(test)]
pub(crate) mod tests;
