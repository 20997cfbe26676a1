//! Rules for a configuration: every error is reported with its place, nothing panics, and no message repeats a
//! password. For tests and fuzz targets only.

use std::{path::Path, str::FromStr as _};

use sqlx::postgres::PgConnectOptions;

use super::{Config, Origin, Problems, TokenService, database_url, settings::Settings, sources};
use crate::dev;

/// A password.
const SECRET: &str = "hunter2hunter2";
/// The file's name in messages. The files that it names are in a folder that does not exist.
const FILE: &str = "/nowhere/countersign.yaml";

/// The shipped example with all its comments as settings, and the shortest configuration.
#[must_use]
pub fn config_seeds() -> Vec<Vec<u8>> {
    let example = include_str!("../../../deploy/config/countersign.yaml");
    let all: Vec<_> =
        example.lines().map(|line| line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line)).collect();
    let texts = [
        example.to_owned(),
        all.join("\n"),
        format!("database_url: postgres://u:{SECRET}@db/x?sslmode=require\ntoken_service: token.yml\nlisten: 0.0.0.0:1\n"),
        format!("postgres://u:{SECRET}@db/x: 1\nlisten: postgres://u:{SECRET}@db/x\ndatabase_url: [postgres://u:{SECRET}@db]\n"),
        "operators:\n  oidc:\n    - {name: corp, issuer: 'https://id.example', audience: a, roles: [{value: v, grants: [admin]}]}\n\
         \x20 mtls: [{san: 'dns:a', operator_id: a, roles: [gate]}]\nwebhooks: [{name: a, url: 'https://a/b', events: [x]}]\n"
            .to_owned(),
        "sinks:\n  - {name: a, kind: elasticsearch, url: 'https://a/b', index: a-b, form: ecs, secret_file: a, ca: b, texts: true}\n\
         \x20 - {name: b, kind: splunk_hec, url: 'https://u:p@a', index: a, secret_file: a, acknowledge: true, start: next}\n\
         \x20 - {name: c, kind: file, folder: a, form: otel}\n  - {name: d, kind: otlp_logs, url: 'http://localhost:1?a=b'}\n"
            .to_owned(),
        // Found because of a panic: the number of a list item that does not exist.
        "'operators.oidc[18446744073709551615].name': a\n'webhooks[7].name': b\nx[]: 1\n".to_owned(),
        // Found because of its run time: a key that was compared with every known one, and repeated in full.
        format!("? {}\n: 1\n", "listem".repeat(1_400)),
        "operators.oidc[3].name: a\nlimits.max_connections: 7\n&a listen: *a\nfour_eyes: none\n".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// A `countersign.yaml`.
///
/// # Panics
/// If a rule is broken.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No other file of the machine is read, whatever the configuration names.
    if text.contains("..") || text.contains(": /") || text.contains(":/") && !text.contains("://") {
        return;
    }
    let mut settings = Settings::default();
    let read = match settings.add_text(text, Path::new(FILE), sources::keys()) {
        Ok(()) => Config::read(settings, false, false),
        Err(problems) => Err(problems),
    };
    match read {
        Ok(config) => assert!(!config.to_string().contains(SECRET), "{config}"),
        Err(problems) => says_where(&problems, text),
    }
}

fn says_where(problems: &Problems, text: &str) {
    let lines = 1 + text.matches(['\n', '\r']).count() as u64;
    assert!(!problems.0.is_empty());
    // Only in the URL of a database it is known to be a password.
    let hidden = text.lines().filter(|line| line.contains(SECRET)).all(|line| {
        line.trim_start_matches("database_url: ").starts_with("postgres://u:") && line.matches(SECRET).count() == 1
    });
    for problem in &problems.0 {
        assert!(!problem.message.is_empty() && problem.key.len() <= 600, "{problem}");
        if let Origin::File(_, line) = &problem.origin {
            assert!(*line <= lines, "{problem}: there are {lines} lines");
        }
        assert!(!hidden || !problem.to_string().contains(SECRET), "{problem}");
    }
}

/// The shipped file, and some invalid ones.
#[must_use]
pub fn token_service_seeds() -> Vec<Vec<u8>> {
    let wrong = "issuer: [a]\ndefault_ttl_seconds: 1.5\nmax_ttl_seconds: 901\nsupported_tools: [a, a, 'b c']\n";
    [dev::TOKEN_SERVICE, wrong].map(|text| text.as_bytes().to_vec()).into()
}

/// A `token-service-config.yml`.
///
/// # Panics
/// If a rule is broken.
pub fn token_service(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match TokenService::parse(text, Path::new(FILE)) {
        Ok(service) => {
            assert!((1..=900).contains(&service.default_ttl_seconds) && service.max_ttl_seconds <= 900);
            assert!(service.default_ttl_seconds <= service.max_ttl_seconds && !service.supported_tools.is_empty());
        }
        Err(problems) => says_where(&problems, text),
    }
}

/// The part after the password in the URL of a database.
#[must_use]
pub fn database_url_seeds() -> Vec<Vec<u8>> {
    let rests = [
        "@db:5432/x",
        "@10.0.0.1,db:5433/x?application_name=a&sslmode=verify-full",
        "@[::1]:1/x?password=b&host=/run&options[a]=b",
        "%40@localhost/x?sslmode=disable&connect_timeout=1",
        "/@db/x#a",
        "@%2Frun%2Fpostgresql/x?port=5",
    ];
    rests.map(|rest| rest.as_bytes().to_vec()).into()
}

/// No message about the URL of a database repeats the password, wherever the error is; and a database on a network is
/// reached with TLS that verifies it.
///
/// # Panics
/// If that is not the case.
pub fn database_url(data: &[u8]) {
    // If the password is also the name of the database, it is shown as the name.
    let Some(rest) = std::str::from_utf8(data).ok().filter(|rest| !rest.contains(SECRET)) else { return };
    let url = format!("postgres://u:{SECRET}{rest}");
    assert!(!database_url::without_password(&url).contains(SECRET));
    for without_tls in [false, true] {
        match database_url::check(&url, without_tls) {
            Err(why) => assert!(!why.is_empty() && !why.contains(SECRET), "{why}"),
            Ok(checked) => {
                assert!((1..=8).contains(&checked.urls.len()) && checked.has_password, "{url}");
                for one in checked.urls {
                    let options = PgConnectOptions::from_str(&one).expect("it was read before");
                    let place = database_url::place(&options);
                    assert!(!place.contains(SECRET), "{url}: {place}");
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "../../core/tests/edits/mod.rs"]
mod edits;

#[cfg(test)]
mod tests {
    use super::{edits::holds, *};

    #[test]
    fn a_configuration_is_read_or_its_mistakes_are_told() {
        holds(&config_seeds(), 400, config);
        holds(&token_service_seeds(), 1_000, token_service);
    }

    #[test]
    fn the_url_of_a_database_keeps_its_password() {
        holds(&database_url_seeds(), 2_000, database_url);
    }
}
