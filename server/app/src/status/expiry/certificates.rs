//! When the certificates in configured files expire. The files are read each time, because some are replaced while the
//! server runs.

use std::path::PathBuf;

use countersign_core::expiry::ExpiryKind;
use countersign_store::expiry::Ending;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::parse_x509_certificate;

use crate::engine::sha256::sha256;

/// Limit of the certificates that are read from one file.
const MOST: usize = 1_000;

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// The use of the certificates.
    pub kind: ExpiryKind,
    /// The configuration key that names the file.
    pub setting: String,
    /// PEM.
    pub path: PathBuf,
}

/// The expiry of all certificates in `files`. A file that cannot be read is reported by the part that uses it, and left
/// out here.
pub(super) fn read_all(files: &[CertificateFile]) -> Vec<Ending> {
    files.iter().flat_map(read).collect()
}

fn read(file: &CertificateFile) -> Vec<Ending> {
    let Ok(certificates) = CertificateDer::pem_file_iter(&file.path) else { return Vec::new() };
    let ending = |certificate: CertificateDer<'_>| {
        let (_, parsed) = parse_x509_certificate(&certificate).ok()?;
        Some(Ending {
            kind: file.kind,
            id: hex::encode(sha256(&certificate)),
            of: Some(format!("{} ({})", file.setting, file.path.display())),
            end_time: parsed.validity().not_after.to_datetime(),
        })
    };
    certificates.take(MOST).filter_map(Result::ok).filter_map(ending).collect()
}
