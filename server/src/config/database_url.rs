//! The URL of a database: its parameters and hosts (`MOST_HOSTS`), that over a network its sslmode must be verify-full,
//! and that no message repeats the password.

use std::{net::IpAddr, path::PathBuf, str::FromStr as _};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The known parameters. Parameters with brackets (`options[name]`) are known too.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

const FORM: &str = "must be of the form postgres://user:password@host:5432/database";
const ENCODED: &str = "must be of the form postgres://user:password@host:5432/database, where / ? # and @ in the user and the \
                       password are percent-encoded (%2F %3F %23 %40)";
const SEVERAL: &str = "names several hosts in an invalid form: write them before the path, separated by commas, at \
                       most eight (postgres://user:password@one:5432,other:5432/database)";
/// Limit of the hosts in one URL.
const MOST_HOSTS: usize = 8;
/// The value that permits a database connection without TLS, or with TLS that verifies less.
pub(super) const WITHOUT_TLS: &str = "network-that-nobody-else-can-read";

/// A URL that was checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// The URL without unknown parameters; if it names several hosts, one URL for each.
    pub(super) urls: Vec<String>,
    /// How many parameters were unknown.
    pub(super) passed_over: usize,
    pub(super) has_password: bool,
    /// The client's private key for TLS.
    pub(super) key_file: Option<PathBuf>,
}

/// Checks a URL. The messages never repeat it, because the error may be in the password.
pub(super) fn check(url: &str, without_tls: bool) -> Result<Checked, String> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or(FORM)?;
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if after.contains(['@', '#']) {
        return Err(ENCODED.to_owned());
    }
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let all: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    let kept: Vec<_> = all.iter().copied().filter(|(name, _)| known(name)).collect();
    let value = |names: &[&str]| kept.iter().rev().find(|(name, _)| names.contains(name)).map(|&(_, value)| value);
    let encoded = |host: &str| host.to_ascii_lowercase().contains("%2c");
    let elsewhere = value(&["host", "hostaddr", "port"]).is_some_and(|value| value.contains(',') || encoded(value));
    let hosts: Vec<_> = hosts.split(',').collect();
    let unclear = hosts.len() > 1 && (hosts.contains(&"") || value(&["host", "hostaddr", "port"]).is_some());
    if elsewhere || unclear || hosts.len() > MOST_HOSTS || hosts.iter().any(|host| encoded(host)) {
        return Err(SEVERAL.to_owned());
    }

    let scheme = &url[..url.len() - rest.len()];
    let before = if authority.contains('@') { format!("{scheme}{user}@") } else { scheme.to_owned() };
    let query: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = query.join("&");
    let of_host = |host: &&str| {
        let read = |query: &str| {
            let mark = if query.is_empty() { "" } else { "?" };
            let url = format!("{before}{host}{path}{mark}{query}");
            PgConnectOptions::from_str(&url).map(|options| (url, options)).map_err(|_| FORM.to_owned())
        };
        let (url, options) = read(&query)?;
        if without_tls || is_local(&options) {
            return Ok(url);
        }
        match value(&["sslmode", "ssl-mode"]) {
            None if query.is_empty() => read("sslmode=verify-full").map(|(url, _)| url),
            None => read(&format!("{query}&sslmode=verify-full")).map(|(url, _)| url),
            Some(_) if matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) => Ok(url),
            Some(_) => Err(format!(
                "names a host that is reached over a network, so its sslmode must be verify-full, with \
                 sslrootcert=FILE if its certificate authority is not a public one. If no one else can read the \
                 network, set database_plaintext: {WITHOUT_TLS}"
            )),
        }
    };
    Ok(Checked {
        urls: hosts.iter().map(of_host).collect::<Result<_, _>>()?,
        passed_over: all.len() - kept.len(),
        has_password: user.contains(':') || value(&["password"]).is_some(),
        key_file: value(&["sslkey", "ssl-key"]).map(PathBuf::from),
    })
}

/// Whether a database is reached without a network: through a Unix socket or on loopback.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// A database for messages: role, host, database. Never the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let name = options.get_database().unwrap_or(user);
    let port = options.get_port();
    match options.get_socket() {
        Some(socket) => format!("database {name} on socket {}, port {port}, as user {user}", socket.display()),
        None => format!("database {name} on {}:{port} as user {user}", options.get_host()),
    }
}

/// `text` without the part in which a URL has its user and password, for messages that quote the configuration.
pub(crate) fn without_password(text: &str) -> String {
    let Some(at) = text.find("://") else { return text.to_owned() };
    let (scheme, rest) = text.split_at(at + 3);
    let scheme_name = scheme.trim_end_matches("://");
    if scheme_name.ends_with("postgres") || scheme_name.ends_with("postgresql") {
        return format!("{scheme}...");
    }
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}...@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_database_over_a_network_is_reached_with_verified_tls() {
        for (url, becomes) in [
            ("postgres://u@db/x", Some("postgres://u@db/x?sslmode=verify-full")),
            (
                "postgresql://u:p@10.0.0.1:5433/x?application_name=a",
                Some("postgresql://u:p@10.0.0.1:5433/x?application_name=a&sslmode=verify-full"),
            ),
            ("postgres://u@db/x?sslmode=verify-full", Some("postgres://u@db/x?sslmode=verify-full")),
            ("postgres://u@db/x?sslmode=require", None),
            ("postgres://u@db/x?sslmode=prefer", None),
            ("postgres://u@db/x?ssl-mode=disable", None),
            ("postgres://u@db/x?sslmode=verify-ca", None),
            ("postgres://u@x/y?host=10.1.1.1&sslmode=disable", None),
            ("postgres://u@127.0.0.1:1/x", Some("postgres://u@127.0.0.1:1/x")),
            ("postgres://u@127.8.8.8/x?sslmode=disable", Some("postgres://u@127.8.8.8/x?sslmode=disable")),
            ("postgres://u@[::1]:1/x", Some("postgres://u@[::1]:1/x")),
            ("postgres://u@localhost/x", Some("postgres://u@localhost/x")),
            ("postgresql:///x?host=/run/postgresql&user=u", Some("postgresql:///x?host=/run/postgresql&user=u")),
            ("postgres://u@%2Frun%2Fpostgresql/x", Some("postgres://u@%2Frun%2Fpostgresql/x")),
        ] {
            let checked = check(url, false);
            assert_eq!(checked.as_ref().ok().map(|checked| checked.urls[0].as_str()), becomes, "{url}");
            if let Err(message) = checked {
                assert!(message.contains("verify-full") && message.contains("database_plaintext"), "{message}");
            }
            assert!(check(url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let checked = check("postgres://u@localhost/x?connect_timeout=10&sslmod=off&user=v", false).unwrap();
        assert_eq!((checked.urls[0].as_str(), checked.passed_over), ("postgres://u@localhost/x?user=v", 2));
    }

    #[test]
    fn several_hosts_are_an_address_each() {
        let urls = |url: &str, without_tls| check(url, without_tls).map(|checked| checked.urls);
        assert_eq!(
            urls("postgres://u:p@a:1,b,[::1]:2/x?application_name=c", false).unwrap(),
            [
                "postgres://u:p@a:1/x?application_name=c&sslmode=verify-full",
                "postgres://u:p@b/x?application_name=c&sslmode=verify-full",
                "postgres://u:p@[::1]:2/x?application_name=c",
            ]
        );
        assert_eq!(urls("postgres://a,b/x", true).unwrap(), ["postgres://a/x", "postgres://b/x"]);
        assert!(urls("postgres://u@localhost,db/x?sslmode=disable", false).unwrap_err().contains("verify-full"));
        let nine = format!("postgres://u@{}/x", ["a"; 9].join(","));
        for url in [
            "postgres://u@a%2Cb/x",
            "postgres://u@a/x?host=a,b",
            "postgres://u@a/x?port=1,2",
            "postgres://u@a,b/x?port=1",
            "postgres://u@a,,b/x",
            "postgres://u@a,/x",
            &nine,
        ] {
            assert_eq!(check(url, true).unwrap_err(), SEVERAL, "{url}");
        }
    }

    #[test]
    fn a_password_is_seen_wherever_it_is() {
        for (url, has) in [
            ("postgres://u:p@localhost/x", true),
            ("postgres://u@localhost/x?password=p", true),
            ("postgres://u@localhost/x", false),
            ("postgres://localhost:5432/x", false),
        ] {
            assert_eq!(check(url, false).unwrap().has_password, has, "{url}");
        }
    }

    #[test]
    fn a_quoted_url_has_no_password() {
        for (text, shown) in [
            ("postgres://u:hunter2", "postgres://..."),
            ("https://u:hunter2@h/x@y", "https://...@y"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("no url", "no url"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }

    proptest! {
        /// For any error in it, in any place.
        #[test]
        fn no_message_repeats_a_password(
            before in "[ -~]{0,6}", after in "[ -~]{0,6}", tail in "(@db:5432/x|@db|@[a-z/?#&=:@ ]{0,8})[ -~]{0,8}",
        ) {
            const SECRET: &str = "hunter2hunter2";
            let url = format!("postgres://u:{before}{SECRET}{after}{tail}");
            for without_tls in [false, true] {
                match check(&url, without_tls) {
                    Err(message) => prop_assert!(!message.contains(SECRET), "{message}"),
                    Ok(checked) => {
                        for one in checked.urls {
                            let options = PgConnectOptions::from_str(&one).unwrap();
                            prop_assert!(!place(&options).contains(SECRET), "{url}: {}", place(&options));
                        }
                    }
                }
            }
            prop_assert!(!without_password(&url).contains(SECRET));
        }
    }
}
