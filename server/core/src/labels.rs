//! The labels that issuers may set, as `supported_labels` declares them. Rules and rollouts read labels, so an issuer
//! who could choose them freely could choose its side.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{likeness::did_you_mean, names, text, violation::Violation};

/// The labels that the installation declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredLabels {
    /// Any label, for a server that is being tried out.
    Any,
    /// Only these.
    These(Vec<DeclaredLabel>),
}

/// One declared label: `tier=standard`, or with any value `team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredLabel {
    key: String,
    /// `None` for any value.
    value: Option<String>,
}

/// The text does not declare a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a key, or a key, = and a value: tier=standard")]
pub struct InvalidLabel;

impl FromStr for DeclaredLabel {
    type Err = InvalidLabel;
    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value.to_owned())));
        let labels = BTreeMap::from([(key.to_owned(), value.clone().unwrap_or_default())]);
        let fits = names::is_name(key) && text::check_labels(&labels).is_empty() && value.as_deref() != Some("");
        fits.then(|| Self { key: key.to_owned(), value }).ok_or(InvalidLabel)
    }
}

impl fmt::Display for DeclaredLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

impl DeclaredLabels {
    /// The labels that are set but not declared.
    #[must_use]
    pub fn check(&self, labels: &BTreeMap<String, String>) -> Vec<Violation> {
        let Self::These(declared) = self else { return Vec::new() };
        let refused = labels.iter().filter(|(key, value)| {
            !declared.iter().any(|one| one.key == **key && one.value.as_ref().is_none_or(|fits| fits == *value))
        });
        refused.map(|(key, value)| Violation::new(format!("labels[{key}]"), undeclared(declared, key, value))).collect()
    }
}

fn undeclared(declared: &[DeclaredLabel], key: &str, value: &str) -> String {
    let values: Vec<_> = declared.iter().filter(|one| one.key == key).filter_map(|one| one.value.as_deref()).collect();
    if !values.is_empty() {
        let meant = did_you_mean(value, values.iter().copied());
        return format!("must be one of {}, as this installation declares{meant}", values.join(", "));
    }
    if declared.is_empty() {
        return "is not declared; no label is. The labels that issuers may set are declared in supported_labels of \
                token-service-config.yml"
            .to_owned();
    }
    let meant = did_you_mean(key, declared.iter().map(|one| one.key.as_str()));
    let all: Vec<_> = declared.iter().map(ToString::to_string).collect();
    format!("is not declared; supported_labels of token-service-config.yml has {}{meant}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(declared: &[&str]) -> DeclaredLabels {
        DeclaredLabels::These(declared.iter().map(|one| one.parse().unwrap()).collect())
    }

    #[test]
    fn what_is_not_declared_is_refused_and_told() {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let declared = these(&["tier=standard", "tier=critical", "team"]);
        for fits in [labels("tier", "critical"), labels("team", "whatever"), BTreeMap::new()] {
            assert!(declared.check(&fits).is_empty(), "{fits:?}");
        }
        for (key, value, says) in [
            (
                "tier",
                "stand",
                "must be one of standard, critical, as this installation declares; did you mean \"standard\"?",
            ),
            ("tier", "", "must be one of standard, critical"),
            ("tiers", "standard", "did you mean \"tier\"?"),
            ("region", "eu", "has tier=standard, tier=critical, team"),
        ] {
            let found = declared.check(&labels(key, value));
            assert_eq!(found.len(), 1);
            assert!(found[0].field == format!("labels[{key}]") && found[0].description.contains(says), "{found:?}");
        }
        assert!(these(&[]).check(&labels("tier", "x"))[0].description.contains("supported_labels"));
        assert!(DeclaredLabels::Any.check(&labels("tier", "x")).is_empty());
    }

    #[test]
    fn a_declaration_is_a_key_or_a_key_and_a_value() {
        for good in ["team", "tier=standard", "tier=a=b"] {
            assert_eq!(good.parse::<DeclaredLabel>().unwrap().to_string(), good);
        }
        for bad in ["", "=", "=x", "tier=", "Tier Two", "tier=\u{202e}x", &format!("tier={}", "x".repeat(129))] {
            assert_eq!(bad.parse::<DeclaredLabel>(), Err(InvalidLabel), "{bad:?}");
        }
    }
}
