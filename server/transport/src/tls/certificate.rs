//! Reads a verified client certificate: its names (at most `MAX_NAMES`) and its end. Whether a certificate is an
//! authority's.

use countersign_core::client_certificate::{ClientCertificate, SubjectAltName};
use rustls::ServerConnection;
use x509_parser::{error::X509Error, extensions::GeneralName, parse_x509_certificate};

/// How many names are read at most.
const MAX_NAMES: usize = 64;

/// The certificate that the other end of a connection showed, verified in the handshake. `None` if it showed none.
pub(crate) fn of_peer(connection: &ServerConnection) -> Result<Option<ClientCertificate>, X509Error> {
    let Some(own) = connection.peer_certificates().and_then(|chain| chain.first()) else { return Ok(None) };
    let (_, parsed) = parse_x509_certificate(own)?;
    let names = match parsed.subject_alternative_name()? {
        Some(extension) => extension.value.general_names.iter().filter_map(name).take(MAX_NAMES).collect(),
        None => Vec::new(),
    };
    Ok(Some(ClientCertificate { names, expire_time: parsed.validity().not_after.to_datetime() }))
}

/// Whether a certificate says that it belongs to an authority. A certificate that cannot be read is left for the
/// clients to refuse.
pub(super) fn is_authority(der: &[u8]) -> bool {
    let Ok((_, parsed)) = parse_x509_certificate(der) else { return false };
    parsed.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
}

fn name(name: &GeneralName<'_>) -> Option<SubjectAltName> {
    match name {
        GeneralName::URI(uri) => Some(SubjectAltName::Uri((*uri).to_owned())),
        GeneralName::DNSName(host) => Some(SubjectAltName::dns(host)),
        GeneralName::RFC822Name(address) => Some(SubjectAltName::Email((*address).to_owned())),
        _ => None,
    }
}
