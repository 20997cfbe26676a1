//! `token-service-config.yml`: the limits for all credentials: the issuer, the lifetime by default and at most, and the
//! supported tools and labels. `require_sponsor` must be true.

use std::path::Path;

use countersign_core::{
    grant::{DEFAULT_TTL, HARD_MAX_TTL, MIN_TTL},
    labels::DeclaredLabel,
    names::{CALL_SHAPE, ToolId},
};

use super::{
    problem::{Problem, Problems},
    settings::{self, Settings},
};
use crate::dev;

const KEYS: [&str; 6] =
    ["issuer", "default_ttl_seconds", "max_ttl_seconds", "require_sponsor", "supported_tools[]", "supported_labels[]"];
/// Limit of the labels that can be declared.
const MOST_LABELS: usize = 256;
const LONGEST_ISSUER: usize = 255;

/// The installation's limits for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenService {
    /// The `iss` of every credential and receipt.
    pub issuer: String,
    /// Lifetime of a credential if the request names none, in seconds.
    pub default_ttl_seconds: u32,
    /// Longest lifetime in seconds; at most 900.
    pub max_ttl_seconds: u32,
    /// The tools for which credentials can be issued; at least one, no duplicates.
    pub supported_tools: Vec<ToolId>,
    /// The labels that issuers may set.
    pub supported_labels: Vec<DeclaredLabel>,
}

impl TokenService {
    /// The configured file; in dev, if none is configured, the built-in one.
    pub(super) fn named(settings: &mut Settings, dev: bool) -> Option<Self> {
        let read = match settings.path("token_service") {
            Some(path) => Self::read(&path),
            None if dev => Self::parse(dev::TOKEN_SERVICE, Path::new(dev::TOKEN_SERVICE_NAME)),
            None => {
                settings.report(
                    "token_service",
                    "is missing: set it to the path of token-service-config.yml, which limits what may be issued",
                );
                return None;
            }
        };
        read.map_err(|problems| settings.report_all(problems.0)).ok()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// All its errors, each with its line.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let mut settings = Settings::default();
        settings.add_file(path, &KEYS)?;
        Self::from_settings(settings)
    }

    /// Reads the file's text; `path` is its name in messages.
    ///
    /// # Errors
    /// All its errors, each with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Problems> {
        let mut settings = Settings::default();
        settings.add_text(text, path, &KEYS)?;
        Self::from_settings(settings)
    }

    fn from_settings(mut settings: Settings) -> Result<Self, Problems> {
        let issuer = settings.parse("issuer", "1 to 255 characters without blanks", |text| {
            let fits = (1..=LONGEST_ISSUER).contains(&text.len()) && !text.contains(char::is_whitespace);
            fits.then(|| text.to_owned())
        });
        if settings.text("issuer").is_none() {
            settings.report("issuer", "is missing; it is the `iss` of every credential");
        }
        let max_ttl_seconds = settings.number("max_ttl_seconds", MIN_TTL..=HARD_MAX_TTL, HARD_MAX_TTL);
        let default_ttl_seconds =
            settings.number("default_ttl_seconds", MIN_TTL..=HARD_MAX_TTL, DEFAULT_TTL.min(max_ttl_seconds));
        if default_ttl_seconds > max_ttl_seconds {
            settings
                .report("default_ttl_seconds", format!("must be at most max_ttl_seconds, which is {max_ttl_seconds}"));
        }
        if settings.word("require_sponsor", &[("true", true), ("false", false)]) == Some(false) {
            let why = "must be true: without a sponsor no human would be accountable for the agent. To allow and \
                       count calls that have no sponsor yet, use a policy rollout with the baseline observe";
            settings.report("require_sponsor", why);
        }
        let supported_tools = supported_tools(&mut settings);
        let supported_labels = supported_labels(&mut settings);
        let service = issuer.map(|issuer| Self {
            issuer,
            default_ttl_seconds,
            max_ttl_seconds,
            supported_tools,
            supported_labels,
        });
        settings.finish(service)
    }
}

fn supported_tools(settings: &mut Settings) -> Vec<ToolId> {
    let mut tools: Vec<ToolId> = Vec::new();
    let mut problems = Vec::new();
    let items = settings.list("supported_tools");
    if items.is_empty() {
        settings.report("supported_tools", "is missing or empty: no credential could be issued");
    }
    for (text, origin) in items {
        match text.parse::<ToolId>() {
            Ok(tool) if tools.contains(&tool) => {
                problems.push(Problem::new(origin, "supported_tools", format!("{tool} occurs twice")));
            }
            Ok(tool) => tools.push(tool),
            Err(_) => {
                let message = format!("each must be {CALL_SHAPE}, one is {}", settings::quoted(&text));
                problems.push(Problem::new(origin, "supported_tools", message));
            }
        }
    }
    settings.report_all(problems);
    tools
}

fn supported_labels(settings: &mut Settings) -> Vec<DeclaredLabel> {
    let mut problems = Vec::new();
    let items = settings.list("supported_labels");
    if items.len() > MOST_LABELS {
        settings.report("supported_labels", format!("must be at most {MOST_LABELS}, are {}", items.len()));
    }
    let mut labels: Vec<DeclaredLabel> = Vec::new();
    for (text, origin) in items {
        match text.parse::<DeclaredLabel>() {
            Ok(label) if labels.contains(&label) => {
                problems.push(Problem::new(origin, "supported_labels", format!("{label} occurs twice")));
            }
            Ok(label) => labels.push(label),
            Err(why) => {
                problems.push(Problem::new(
                    origin,
                    "supported_labels",
                    format!("each {why}, one is {}", settings::quoted(&text)),
                ));
            }
        }
    }
    settings.report_all(problems);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = include_str!("../dev/token-service-config.yml");

    fn parse(text: &str) -> Result<TokenService, String> {
        TokenService::parse(text, Path::new("t.yml")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_printed_file_loads() {
        let service = parse(PRINTED).unwrap();
        assert_eq!(service.issuer, "agent-token-svc");
        assert_eq!((service.default_ttl_seconds, service.max_ttl_seconds), (300, 900));
        let tools: Vec<_> = service.supported_tools.iter().map(ToolId::as_str).collect();
        assert_eq!(tools, ["billing", "search", "file-store"]);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let cases = [
            (
                "max_ttl_seconds: 900",
                "max_ttl_seconds: 901",
                "t.yml:3: max_ttl_seconds: must be a whole number, 1 to 900, is \"901\"",
            ),
            (
                "max_ttl_seconds: 900",
                "max_ttl_seconds: 200",
                "t.yml:2: default_ttl_seconds: must be at most max_ttl_seconds, which is 200",
            ),
            ("require_sponsor: true", "require_sponsor: false", "t.yml:4: require_sponsor: must be true"),
            (
                "require_sponsor: true",
                "require_sponsor: maybe",
                "t.yml:4: require_sponsor: must be true or false, is \"maybe\"",
            ),
            (
                "require_sponsor",
                "require_sponser",
                "t.yml:4: require_sponser: unknown key; did you mean require_sponsor?",
            ),
            ("[billing, search", "[Bill ing, search", "t.yml:5: supported_tools: each must be 1 to 128"),
            ("[billing, search", "[search, search", "t.yml:5: supported_tools: search occurs twice"),
            (
                "require_sponsor: true",
                "supported_labels: [team, tier=, team]",
                "t.yml:4: supported_labels: each must be a key, or a key, = and a value: tier=standard, one is \"tier=\"",
            ),
            ("require_sponsor: true", "supported_labels: [team, team]", "t.yml:4: supported_labels: team occurs twice"),
            ("[billing, search, file-store]", "billing", "t.yml:5: supported_tools: must be a list"),
            ("[billing, search, file-store]", "[]", "supported_tools: is missing or empty"),
            ("issuer: agent-token-svc", "", "issuer: is missing"),
            ("issuer: agent-token-svc", "issuer: [a]", "t.yml:1: issuer[]: must be one value, is a list"),
            (
                "default_ttl_seconds: 300",
                "default_ttl_seconds: -1",
                "t.yml:2: default_ttl_seconds: must be a whole number",
            ),
            ("default_ttl_seconds: 300", "default_ttl_seconds: 1.5", "t.yml:2"),
            ("default_ttl_seconds: 300", "issuer: other", "t.yml:2: issuer: is set twice, first on line 1"),
        ];
        for (from, to, expected) in cases {
            let error = parse(&PRINTED.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let error = parse("max_ttl_seconds: 0\nrequire_sponsor: false\ncolour: red\n").unwrap_err();
        assert_eq!(error.lines().count(), 5, "{error}");
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for text in ["", "- a\n", "just words", "a: [", "\0"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
