//! The HTTPS client of the server, for identity providers' documents, webhooks, traces and sinks: which authorities it
//! trusts, and which proxy it uses (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`). It follows no redirects.

use std::{env, ffi::OsString, io, path::Path, sync::Arc, time::Duration};

use reqwest::{Client, NoProxy, Proxy, Response, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The variables that name a proxy for https addresses; the first that is not empty counts. Plain HTTP never leaves this
/// machine, so HTTP_PROXY does not matter.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// The variables that name hosts to which no proxy leads.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// No proxy leads to this machine: it would be another one's loopback.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// How long a connection is kept without a request: less than a load balancer or a server does, which would close it
/// while the next request is on its way.
const KEPT: Duration = Duration::from_secs(10);

/// What becomes of a connection after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// It is closed: requests are rare, so a kept connection would be dead by the next one.
    Closed,
    /// One is kept for the next request.
    Kept,
}

/// A client that trusts the public certificate authorities and those in `ca`, and uses the proxy that the environment
/// names. It follows no redirects. It also speaks HTTP; its users check
/// [`is_confidential`](crate::config::is_confidential) first.
pub(crate) fn client(ca: Option<&Path>, connections: Connections) -> io::Result<Client> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in
        ca.map(CertificateDer::pem_file_iter).transpose().map_err(io::Error::other)?.into_iter().flatten()
    {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(usize::from(connections == Connections::Kept))
        .pool_idle_timeout(KEPT)
        // The environment is read here, so that a proxy that cannot be used is an error.
        .no_proxy();
    let client = match proxy_of(|name| env::var_os(name))? {
        Some(Route { proxy, .. }) => client.proxy(proxy),
        None => client,
    };
    client.build().map_err(|error| io::Error::other(error.without_url()))
}

/// The proxy that the environment names for https addresses: host and port, without the password in it.
pub(crate) fn proxy_in_use() -> io::Result<Option<String>> {
    Ok(proxy_of(|name| env::var_os(name))?.map(|route| route.shown))
}

/// A proxy for https addresses.
#[derive(Debug)]
struct Route {
    proxy: Proxy,
    shown: String,
}

fn proxy_of(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Option<Route>> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.is_empty())?)))
    };
    let Some((name, value)) = first(&PROXIES) else { return Ok(None) };
    let invalid = || {
        io::Error::other(format!(
            "{name} must be the URL of an HTTP proxy, such as http://proxy.example:3128; its value is not shown, \
             because it may contain a password"
        ))
    };
    let value = value.into_string().map_err(|_| invalid())?;
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let url: reqwest::Url = url.parse().map_err(|_| invalid())?;
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
    let shown = format!("{}://{host}:{}", url.scheme(), url.port_or_known_default().unwrap_or_default());
    let exceptions = match first(&EXCEPTIONS) {
        Some((name, list)) => {
            list.into_string().map_err(|_| io::Error::other(format!("{name} must be a list of hosts as text")))?
        }
        None => String::new(),
    };
    let proxy = Proxy::https(url).map_err(|_| invalid())?;
    let proxy = proxy.no_proxy(NoProxy::from_string(&format!("{exceptions},{THIS_MACHINE}")));
    Ok(Some(Route { proxy, shown }))
}

/// The body of an answer, or `None` if it is longer than `most` bytes.
pub(crate) async fn body(mut answer: Response, most: usize) -> Result<Option<Vec<u8>>, String> {
    let mut read = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(why)? {
        if read.len() + chunk.len() > most {
            return Ok(None);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(Some(read))
}

/// An error with its causes, because a client's outermost error only says that it could not connect; without the URL,
/// which may be a secret.
pub(crate) fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> io::Result<Option<String>> {
        let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        Ok(proxy_of(value)?.map(|route| route.shown))
    }

    #[test]
    fn a_proxy_is_named_by_the_standard_variables() {
        assert_eq!(named(&[]).unwrap(), None);
        assert_eq!(named(&[("HTTPS_PROXY", ""), ("HTTP_PROXY", "http://other:1")]).unwrap(), None);
        for name in PROXIES {
            assert_eq!(named(&[(name, "proxy.example:3128")]).unwrap().unwrap(), "http://proxy.example:3128");
        }
        let both = [("all_proxy", "http://last"), ("https_proxy", "https://u:geheim@first")];
        assert_eq!(named(&both).unwrap().unwrap(), "https://first:443");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_without_its_value() {
        for value in ["socks5://u:geheim@a:1", "http://", "http://u:geheim@a:99999", "ftp://geheim"] {
            let said = named(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(said.starts_with("HTTPS_PROXY must be") && !said.contains("geheim"), "{said}");
        }
    }
}
