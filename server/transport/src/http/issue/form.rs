//! The form of `POST /issue`: its fields, and its idempotency by `request_id` (`MAX_REQUEST_ID`). An unknown field is
//! refused. All violations are reported at once, by field name.

use std::{collections::BTreeMap, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_app::{AgentFacts, Error, Idempotency, IssueCredential, Trace};
use countersign_core::{
    Violation,
    names::{AgentName, InvalidName, RoleName, SponsorId, ToolId},
    text,
};
use serde_json::{Map, Value};

use super::{DEFAULT_AGENT, DEFAULT_PURPOSE};
use crate::{
    convert::{Refused, idempotency::Idem, provenance::facts},
    http::strict_json,
};

/// Every field.
const FIELDS: [&str; 13] = [
    "tool",
    "sponsor_id",
    "ttl",
    "role",
    "purpose",
    "agent",
    "single_use",
    "on_behalf_of",
    "agent_version",
    "model",
    "platform",
    "traceparent",
    "request_id",
];
/// Longest `request_id`, bytes.
const MAX_REQUEST_ID: usize = 64;

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Result<(IssueCredential, Idem), Error> {
    let values =
        strict_json::object(body, strict_json::VALUES[0]).map_err(|violation| Error::Invalid(vec![violation]))?;
    let mut form = Form { values, wrong: Vec::new() };
    let read = form.issue();
    form.refuse_the_unknown();
    match read {
        Ok(read) if form.wrong.is_empty() => Ok(read),
        _ => Err(Error::Invalid(form.wrong)),
    }
}

/// The fields that are left to read, and the violations so far. Readers return `None` if they added to `wrong`.
struct Form {
    values: Map<String, Value>,
    wrong: Vec<Violation>,
}

impl Form {
    fn issue(&mut self) -> Result<(IssueCredential, Idem), Refused> {
        // Before idempotency is read, because a request that is sent again has another span.
        let trace = self.name::<Trace>("traceparent");
        let idem = self.idempotency();
        let tool = self.required::<ToolId>("tool");
        let sponsor_id = self.required::<SponsorId>("sponsor_id");
        let ttl_seconds = self.value("ttl", "a whole number of seconds", Value::as_i64);
        let role = self.name::<RoleName>("role");
        let agent = self.agent();
        let purpose = self.purpose();
        let single_use = self.value("single_use", "true or false", Value::as_bool);
        let on_behalf_of = self.free_text("on_behalf_of", text::MAX_ON_BEHALF_OF);
        let facts = self.facts();
        let issue = IssueCredential {
            sponsor_id: sponsor_id?,
            agent: agent?,
            role: role?,
            tools: vec![tool?],
            purpose: purpose?,
            ttl_seconds: ttl_seconds?,
            single_use: single_use?.unwrap_or_default(),
            agent_instance_id: None,
            labels: BTreeMap::new(),
            on_behalf_of: on_behalf_of?,
            facts: facts?,
            trace: trace?,
        };
        Ok((issue, idem?))
    }

    /// The idempotency of this request: its id, and a hash of all other fields. Read first, while all fields are
    /// present.
    fn idempotency(&mut self) -> Result<Idem, Refused> {
        let Some(request_id) = self.text("request_id")?.filter(|id| !id.is_empty()) else { return Ok(None) };
        if request_id.len() > MAX_REQUEST_ID || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.refuse("request_id", format!("must be at most {MAX_REQUEST_ID} visible ASCII characters")));
        }
        let rest: BTreeMap<_, _> = self.values.iter().collect();
        let rest = serde_json::to_vec(&rest).map_err(|wrong| self.refuse("request_id", wrong.to_string()))?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &[b"/issue\0", rest.as_slice()].concat()).as_ref());
        Ok(Some(Idempotency { request_id, fingerprint }))
    }

    fn agent(&mut self) -> Result<AgentName, Refused> {
        let agent = self.text("agent")?.unwrap_or_else(|| DEFAULT_AGENT.to_owned());
        agent.parse().map_err(|wrong: InvalidName| self.refuse("agent", wrong.to_string()))
    }

    fn purpose(&mut self) -> Result<String, Refused> {
        Ok(self.free_text("purpose", text::MAX_TEXT)?.unwrap_or_else(|| DEFAULT_PURPOSE.to_owned()))
    }

    fn free_text(&mut self, field: &'static str, longest: usize) -> Result<Option<String>, Refused> {
        let text = self.text(field)?;
        match text.as_deref().map_or(Ok(()), |text| text::check(field, text, longest)) {
            Ok(()) => Ok(text),
            Err(violation) => Err(self.absorb([violation])),
        }
    }

    fn facts(&mut self) -> Result<AgentFacts, Refused> {
        let [agent_version, model, platform] = ["agent_version", "model", "platform"].map(|field| self.text(field));
        let or_empty = Option::<String>::unwrap_or_default;
        let read = facts(or_empty(agent_version?), or_empty(model?), or_empty(platform?));
        read.map_err(|wrong| self.absorb(wrong))
    }

    fn required<T: FromStr<Err: ToString>>(&mut self, field: &'static str) -> Result<T, Refused> {
        self.name(field)?.ok_or_else(|| self.refuse(field, "is required"))
    }

    fn name<T: FromStr<Err: ToString>>(&mut self, field: &'static str) -> Result<Option<T>, Refused> {
        let name = self.text(field)?.map(|text| text.parse::<T>()).transpose();
        name.map_err(|error| self.refuse(field, error.to_string()))
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, Refused> {
        self.value(field, "a string", |value| value.as_str().map(ToOwned::to_owned))
    }

    /// Takes a field out; `null` counts as missing.
    fn value<T>(
        &mut self,
        field: &'static str,
        form: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        match self.values.remove(field).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| self.refuse(field, format!("must be {form}"))),
        }
    }

    fn refuse_the_unknown(&mut self) {
        let known = FIELDS.join(", ");
        let unknown = std::mem::take(&mut self.values).into_iter().map(|(name, _)| name);
        self.wrong.extend(unknown.map(|name| Violation::new(name, format!("is no field here; there are: {known}"))));
    }

    fn refuse(&mut self, field: &'static str, description: impl Into<String>) -> Refused {
        self.absorb([Violation::new(field, description)])
    }

    fn absorb(&mut self, wrong: impl IntoIterator<Item = Violation>) -> Refused {
        self.wrong.extend(wrong);
        Refused
    }
}
