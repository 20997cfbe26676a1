//! Recognises the variables that Kubernetes sets in every container for every service of its namespace ("service
//! links"). A service named `countersign-database` causes `COUNTERSIGN_DATABASE_PORT=tcp://10.0.0.1:5432` and six more,
//! none of which are settings.

use std::net::IpAddr;

/// Whether a variable is one, by its name and by the value that Kubernetes would set.
pub(super) fn is_one(name: &str, value: &str) -> bool {
    let number = || value.parse::<u16>().is_ok();
    let address = || value.parse::<IpAddr>().is_ok();
    if name.ends_with("_SERVICE_HOST") {
        return address();
    }
    if name.contains("_SERVICE_PORT") {
        return number();
    }
    if name.ends_with("_PORT") && is_endpoint(value) {
        return true;
    }
    // COUNTERSIGN_DATABASE_PORT_5432_TCP, and with _PROTO, _PORT and _ADDR.
    let Some((_, end)) = name.rsplit_once("_PORT_").or_else(|| name.strip_suffix("_PORT")?.rsplit_once("_PORT_"))
    else {
        return false;
    };
    let mut parts = end.split('_');
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol));
    let rest = parts.next();
    port && protocol
        && match rest {
            None if name.ends_with("_PORT") => number(),
            None => is_endpoint(value),
            Some("PROTO") => ["tcp", "udp", "sctp"].contains(&value),
            Some("PORT") => number(),
            Some("ADDR") => address(),
            Some(_) => false,
        }
}

/// `tcp://10.0.0.1:5432`.
fn is_endpoint(value: &str) -> bool {
    let Some((protocol, place)) = value.split_once("://") else { return false };
    let Some((address, port)) = place.rsplit_once(':') else { return false };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    ["tcp", "udp", "sctp"].contains(&protocol) && address.parse::<IpAddr>().is_ok() && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_is_told_from_what_people_set() {
        for service in ["COUNTERSIGN", "COUNTERSIGN_DATABASE", "COUNTERSIGN_LISTEN", "COUNTERSIGN_LOG_LEVEL"] {
            for (end, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_HOST", "fd00::1"),
                ("SERVICE_PORT", "5432"),
                ("SERVICE_PORT_HTTP", "80"),
                ("PORT", "tcp://10.0.0.1:5432"),
                ("PORT", "udp://[fd00::1]:53"),
                ("PORT_5432_TCP", "tcp://10.0.0.1:5432"),
                ("PORT_5432_TCP_PROTO", "tcp"),
                ("PORT_5432_TCP_PORT", "5432"),
                ("PORT_5432_TCP_ADDR", "10.0.0.1"),
            ] {
                assert!(is_one(&format!("{service}_{end}"), value), "{service}_{end}");
            }
        }
        for (name, value) in [
            ("COUNTERSIGN_DATABASE_PORT", "5432"),
            ("COUNTERSIGN_PORT", "8080"),
            ("COUNTERSIGN_DATABASE_URL", "tcp://10.0.0.1:5432"),
            ("COUNTERSIGN_LISTEN", "127.0.0.1:80"),
            ("COUNTERSIGN_PORT_TCP", "tcp://10.0.0.1:5432"),
            ("COUNTERSIGN_SERVICE_HOST", "db.internal"),
        ] {
            assert!(!is_one(name, value), "{name}");
        }
    }
}
