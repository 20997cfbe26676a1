use std::io;

use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::io::duplex;
use tokio_rustls::TlsConnector;

use super::*;

/// A fresh pair of files, and the certificate to trust.
pub(crate) fn write(folder: &TempDir) -> (TlsFiles, CertificateDer<'static>) {
    let Generated { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("tls.crt"),
        private_key: folder.path().join("tls.key"),
        client_ca: None,
    };
    fs::write(&files.certificate, cert.pem()).unwrap();
    fs::write(&files.private_key, signing_key.serialize_pem()).unwrap();
    (files, cert.der().clone())
}

/// A client that trusts only `trusted` and offers these protocols.
pub(crate) fn connector(trusted: &CertificateDer<'static>, offer: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offer.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Performs a handshake, and returns the agreed protocol.
async fn handshake(tls: &Tls, trusted: &CertificateDer<'static>, offer: &[&str]) -> io::Result<Option<Vec<u8>>> {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, _server) = tokio::join!(connector(trusted, offer).connect(name, near), tls.acceptor().accept(far));
    Ok(client?.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn both_http_versions_are_agreed_on_and_no_other() {
    let folder = TempDir::new().unwrap();
    let (files, trusted) = write(&folder);
    let tls = Tls::load(files).unwrap();
    assert_eq!(handshake(&tls, &trusted, &["h2", "http/1.1"]).await.unwrap().unwrap(), b"h2");
    assert_eq!(handshake(&tls, &trusted, &["http/1.1"]).await.unwrap().unwrap(), b"http/1.1");
    assert_eq!(handshake(&tls, &trusted, &[]).await.unwrap(), None);
    assert!(handshake(&tls, &trusted, &["spdy/1"]).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_serves_unless_it_is_broken() {
    let folder = TempDir::new().unwrap();
    let (files, old) = write(&folder);
    let tls = Tls::load(files.clone()).unwrap();
    let (_, new) = write(&folder);
    assert!(handshake(&tls, &new, &["h2"]).await.is_err(), "not read yet");
    tls.reload();
    assert!(handshake(&tls, &new, &["h2"]).await.is_ok());
    assert!(handshake(&tls, &old, &["h2"]).await.is_err());

    fs::write(&files.private_key, "nonsense").unwrap();
    tls.reload();
    assert!(handshake(&tls, &new, &["h2"]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_files_are_watched() {
    let folder = TempDir::new().unwrap();
    let (files, _) = write(&folder);
    let tls = Tls::load(files.clone()).unwrap();
    let watch = tokio::spawn(tls.clone().follow());
    tokio::time::sleep(POLL * 2).await;
    let (_, new) = write(&folder);
    // Files of the same length, changed within one tick of a coarse clock, would look unchanged.
    fs::File::options().append(true).open(&files.certificate).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    tokio::time::sleep(POLL * 2).await;
    assert!(handshake(&tls, &new, &["h2"]).await.is_ok());
    watch.abort();
}

#[test]
fn what_does_not_load_is_named() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (files, _) = write(&folder);
    let (others, _) = write(&other);
    let load = |certificate: &Path, private_key: &Path| {
        let files =
            TlsFiles { certificate: certificate.to_owned(), private_key: private_key.to_owned(), client_ca: None };
        Tls::load(files).err().expect("refused").to_string()
    };
    let missing = folder.path().join("missing");
    assert!(load(&missing, &files.private_key).contains("missing"));
    assert!(load(&files.certificate, &missing).contains("missing"));
    assert!(load(&files.private_key, &files.private_key).contains("no certificate"));
    assert!(load(&files.certificate, &files.certificate).contains("tls.crt"));
    assert!(load(&files.certificate, &others.private_key).contains("and its key"));
}

#[test]
fn an_authority_is_told_from_a_server() {
    let key = rcgen::KeyPair::generate().unwrap();
    for (kind, authority) in [
        (rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), true),
        (rcgen::IsCa::ExplicitNoCa, false),
        (rcgen::IsCa::NoCa, false),
    ] {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = kind;
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(certificate::is_authority(certificate.der()), authority);
    }
    assert!(!certificate::is_authority(b"nonsense"));
}
