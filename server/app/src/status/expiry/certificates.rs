//! When the certificates in configured files end. The files are read each time, since some are replaced under the server.

use std::path::PathBuf;

use countersign_core::expiry::ExpiryKind;
use countersign_store::expiry::Ending;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::parse_x509_certificate;

use crate::{engine::sha256::sha256, svids::x509::hex};

/// Most certificates of one file that are looked at.
const MOST: usize = 1_000;

/// A file that holds certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// What they are for.
    pub kind: ExpiryKind,
    /// The key of the configuration that names the file.
    pub setting: String,
    /// PEM.
    pub path: PathBuf,
}

/// The ends of all certificates in `files`. What cannot be read is told of by whoever serves with it, and left out here.
pub(super) fn read_all(files: &[CertificateFile]) -> Vec<Ending> {
    files.iter().flat_map(read).collect()
}

fn read(file: &CertificateFile) -> Vec<Ending> {
    let Ok(certificates) = CertificateDer::pem_file_iter(&file.path) else { return Vec::new() };
    let ending = |certificate: CertificateDer<'_>| {
        let (_, parsed) = parse_x509_certificate(&certificate).ok()?;
        Some(Ending {
            kind: file.kind,
            id: hex(&sha256(&certificate)),
            of: Some(format!("{} ({})", file.setting, file.path.display())),
            end_time: parsed.validity().not_after.to_datetime(),
        })
    };
    certificates.take(MOST).filter_map(Result::ok).filter_map(ending).collect()
}
