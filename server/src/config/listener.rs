//! Where to listen (`listen`), and whether without TLS: on loopback only, or behind a proxy that terminates TLS
//! (`plaintext`). The files of TLS and of the authorities of client certificates (`tls.*`).

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::settings::Settings;

/// The value that permits listening without TLS on an address that others can reach.
const BEHIND_PROXY: &str = "behind-proxy-that-terminates-tls";

/// Where and how to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// TLS.
    Tls {
        /// The address.
        address: SocketAddr,
        /// Certificate chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        private_key: PathBuf,
        /// The certificate authorities of clients in PEM. `None` if clients are not asked for a certificate.
        client_ca: Option<PathBuf>,
    },
    /// Without TLS: on loopback, or behind a proxy that terminates TLS.
    Plaintext {
        /// The address.
        address: SocketAddr,
        /// Whether the configuration says that a proxy in front terminates TLS.
        behind_proxy: bool,
    },
}

impl Listener {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Tls { address, .. } | Self::Plaintext { address, .. } => *address,
        }
    }

    pub(super) fn read(settings: &mut Settings, dev: bool, container: bool) -> Option<Self> {
        let wanted = "an address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        let address = match settings.text("listen") {
            Some(_) => {
                settings.parse("listen", wanted, |text| text.replacen("localhost:", "127.0.0.1:", 1).parse().ok())?
            }
            None if container => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        };
        let loopback = address.ip().to_canonical().is_loopback();
        if dev && !loopback && !container {
            settings.report(
                "listen",
                format!(
                    "--dev accepts every caller without a credential, so it listens on this machine only \
                         (127.0.0.1 or ::1), not on {address}; in a container, add --container"
                ),
            );
        }
        let client_ca = settings.readable("tls.client_ca");
        if client_ca.is_some() && settings.text("tls.certificate").is_none() {
            settings.report("tls.client_ca", "needs tls.certificate: without TLS there are no client certificates");
        }
        let proxied = settings.word("plaintext", &[(BEHIND_PROXY, ())]).is_some();
        match (settings.readable("tls.certificate"), settings.private("tls.private_key")) {
            (Some(certificate), Some(private_key)) => {
                if proxied {
                    settings.report("plaintext", "contradicts tls: remove one of the two");
                }
                return Some(Self::Tls { address, certificate, private_key, client_ca });
            }
            (Some(_), None) => settings.report("tls.private_key", "is missing; tls.certificate needs it"),
            (None, Some(_)) => settings.report("tls.certificate", "is missing; tls.private_key needs it"),
            (None, None) if !loopback && !proxied && !dev => settings.report(
                "listen",
                format!(
                    "{address} can be reached from other machines, and credentials must not travel in the clear: set \
                     tls.certificate and tls.private_key or, if something in front terminates TLS, plaintext: {BEHIND_PROXY}"
                ),
            ),
            (None, None) => {}
        }
        Some(Self::Plaintext { address, behind_proxy: proxied })
    }
}
