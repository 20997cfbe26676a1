//! Where a request comes from: its trace (`traceparent`; several or malformed ones count as no trace), and the facts
//! about an agent (version, model, platform), with their characters and longest text (`MAX_FACT`).

use countersign_app::{AgentFacts, Error, Trace};
use countersign_core::Violation;
use http::HeaderMap;

use super::{
    read,
    violations::{Refused, Violations},
};

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Longest version, model or platform, bytes.
const MAX_FACT: usize = 128;

/// The trace of a request by its headers. Several such headers, or a malformed one, count as no trace, as W3C says.
pub(crate) fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut all = headers.get_all(TRACEPARENT).into_iter();
    let one = all.next().filter(|_| all.next().is_none());
    one.and_then(|value| value.to_str().ok()?.parse().ok())
}

/// The facts about an agent, as its issuer states them in a form; or all their violations.
pub(crate) fn facts(agent_version: String, model: String, platform: String) -> Result<AgentFacts, Vec<Violation>> {
    match read(|v| v.facts(agent_version, model, platform)) {
        Ok(facts) => Ok(facts),
        Err(Error::Invalid(wrong)) => Err(wrong),
        Err(other) => Err(vec![Violation::new("", other.to_string())]),
    }
}

impl Violations {
    /// The facts about an agent, as its issuer states them.
    pub(super) fn facts(
        &mut self,
        agent_version: String,
        model: String,
        platform: String,
    ) -> Result<AgentFacts, Refused> {
        let mut fact = |field, text| self.fact(field, text);
        let (agent_version, model, platform) =
            (fact("agent_version", agent_version), fact("model", model), fact("platform", platform));
        Ok(AgentFacts { agent_version: agent_version?, model: model?, platform: platform? })
    }

    /// A text that goes into the custody log unchanged; `None` if it is empty.
    fn fact(&mut self, field: &str, text: String) -> Result<Option<String>, Refused> {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.len() <= MAX_FACT && text.bytes().all(visible) {
            return Ok(Some(text).filter(|text| !text.is_empty()));
        }
        Err(self.refuse(field, format!("must be at most {MAX_FACT} visible ASCII characters other than \" and \\")))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_malformed_or_doubled_header_is_no_trace() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            headers
        };
        assert_eq!(trace(&headers(&[good])), good.parse().ok());
        for bad in [&[][..], &[""], &["garbage"], &[good, good], &["00-\u{e4}"], &[&good.to_uppercase()]] {
            assert_eq!(trace(&headers(bad)), None, "{bad:?}");
        }
    }
}
