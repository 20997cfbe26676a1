//! The client that sends an OAuth request: the one way in which it authenticates (Basic, `client_secret`, Bearer or the
//! subject token), and whether `client_id` is its own. Its credentials become the bearer that the pipeline knows, so
//! that everything the pipeline does with callers applies here too.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_app::Caller;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::{endpoint::Endpoint, error::OAuthError, form::Form, scheme::Scheme};

/// The prefix of an API key, which is an operator's client secret.
const KEY_PREFIX: &str = "csk_";

/// The client's statement of its identity.
pub(super) struct Client {
    pub(super) scheme: Scheme,
    /// `client_id`, if it was sent.
    id: Option<String>,
    /// Whether it is the id of the API key in the request.
    is_key: bool,
}

impl Client {
    /// Finds out how the client authenticates, and puts its credentials into `headers` as the bearer.
    pub(super) fn of(endpoint: Endpoint, headers: &mut HeaderMap, form: &Form) -> Result<Self, (Scheme, OAuthError)> {
        let scheme = scheme(endpoint, headers, form)?;
        let at = |wrong| (scheme, wrong);
        let (id, presented) = match scheme {
            Scheme::None => (None, None),
            Scheme::Bearer => (None, value(headers).and_then(|value| Some(value.split_once(' ')?.1.trim().to_owned()))),
            Scheme::Basic => basic(headers).map_err(at).map(|(id, key)| (Some(id), Some(key)))?,
            Scheme::Post => (None, form.get("client_secret").map(ToOwned::to_owned)),
            Scheme::Subject => (None, form.get("subject_token").map(ToOwned::to_owned)),
        };
        let id = one_id(id, form.get("client_id"), scheme).map_err(at)?;
        let presented = presented.unwrap_or_default();
        if matches!(scheme, Scheme::Basic | Scheme::Post) && !presented.starts_with(KEY_PREFIX) {
            let why = "the client_secret must be an API key (csk_...); a credential is sent as authorization: Bearer";
            return Err(at(OAuthError::client(why)));
        }
        if !matches!(scheme, Scheme::None | Scheme::Bearer) {
            headers.insert(header::AUTHORIZATION, bearer(&presented).map_err(at)?);
        }
        let is_key = id.as_deref().is_some_and(|id| key_id(&presented).is_some_and(|key| names_key(id, key)));
        Ok(Self { scheme, id, is_key })
    }

    /// Refuses a `client_id` that is not the caller's. For an operator it is the operator's id or the API key's; for an
    /// instance, its id or its agent's name.
    pub(super) fn check(&self, caller: &Caller) -> Result<(), OAuthError> {
        let Some(id) = self.id.as_deref() else { return Ok(()) };
        let right = match caller {
            Caller::Operator(operator) => operator.anonymous || self.is_key || operator.operator_id.as_str() == id,
            Caller::Instance(own) => own.agent.as_str() == id || own.agent_instance_id.to_string() == id,
        };
        let why = "client_id is not the client that authenticated: send the operator's id or the API key's, of an instance its own id \
                   or its agent's name, or leave it out where that is possible";
        if right { Ok(()) } else { Err(OAuthError::client(why)) }
    }
}

/// The only way in which the client authenticates (RFC 6749, section 2.3: never two at once).
fn scheme(endpoint: Endpoint, headers: &HeaderMap, form: &Form) -> Result<Scheme, (Scheme, OAuthError)> {
    let none = |wrong| (Scheme::None, wrong);
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(none(OAuthError::invalid("authorization", "is sent more than once")));
    }
    let in_header = match value(headers).map(|value| value.split(' ').next().unwrap_or_default().to_ascii_lowercase()) {
        None if headers.contains_key(header::AUTHORIZATION) => {
            return Err(none(OAuthError::client("the authorization header is not ASCII")));
        }
        None => None,
        Some(word) if word == "bearer" => Some(Scheme::Bearer),
        Some(word) if word == "basic" => Some(Scheme::Basic),
        Some(_) => {
            let why = "the authorization header must be Basic with a client id and an API key, or Bearer with an API key or \
                       a credential";
            return Err(none(OAuthError::client(why)));
        }
    };
    let in_body = ["client_secret", "client_assertion"].into_iter().filter(|name| form.get(name).is_some()).count();
    if in_body + usize::from(in_header.is_some()) > 1 {
        let why = "the client authenticates in more than one way: send one of authorization and client_secret";
        return Err((in_header.unwrap_or(Scheme::Post), OAuthError::invalid("", why)));
    }
    if form.get("client_assertion").is_some() {
        return Err(none(OAuthError::client(
            "client_assertion is not taken here: authenticate with an API key or a credential",
        )));
    }
    Ok(match in_header {
        Some(scheme) => scheme,
        None if in_body > 0 => Scheme::Post,
        None if endpoint == Endpoint::Token && form.get("subject_token").is_some() => Scheme::Subject,
        None => Scheme::None,
    })
}

fn value(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

/// Id and secret, which were percent-encoded before they were joined (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<(String, String), OAuthError> {
    let wrong = || OAuthError::client("the Basic authorization must be base64 of a client id, a colon and an API key");
    let encoded = value(headers).and_then(|value| value.split_once(' ')).ok_or_else(wrong)?.1;
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (id, secret) = text.split_once(':').ok_or_else(wrong)?;
    Ok((decode(id).ok_or_else(wrong)?, decode(secret).ok_or_else(wrong)?))
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// The client's id. A client secret requires one; if there are two, they must be equal.
fn one_id(header: Option<String>, form: Option<&str>, scheme: Scheme) -> Result<Option<String>, OAuthError> {
    match (header, form) {
        (Some(header), Some(form)) if header != form => {
            Err(OAuthError::invalid("client_id", "differs from the client id in the authorization header"))
        }
        (None, None) if scheme == Scheme::Post => {
            Err(OAuthError::client("client_secret is sent without client_id: send the operator's id or the API key's"))
        }
        (header, form) => Ok(header.or_else(|| form.map(ToOwned::to_owned))),
    }
}

/// The credential in the form that the pipeline accepts.
fn bearer(presented: &str) -> Result<HeaderValue, OAuthError> {
    let mut value = HeaderValue::try_from(format!("Bearer {presented}")).map_err(|_| {
        OAuthError::client("the secret contains characters that an API key or a credential never contains")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The id in an API key, `csk_<id>_<secret>`.
fn key_id(key: &str) -> Option<Uuid> {
    Uuid::try_parse(key.strip_prefix(KEY_PREFIX)?.split_once('_')?.0).ok()
}

/// Whether a client's id is the id of this key, with or without a prefix and hyphens.
fn names_key(client_id: &str, key: Uuid) -> bool {
    client_id.rsplit('_').next().and_then(|id| Uuid::try_parse(id).ok()) == Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_api_key_is_known_in_every_way_to_write_it() {
        let key = key_id("csk_01890a5dac96774bbcceb302099a8057_a_b").unwrap();
        for id in [
            "01890a5dac96774bbcceb302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "csk_01890a5dac96774bbcceb302099a8057",
            "key_01890a5d-ac96-774b-bcce-b302099a8057",
        ] {
            assert!(names_key(id, key), "{id}");
        }
        assert!(!names_key("rita", key) && !names_key("", key) && !names_key("01890a5dac96774bbcceb302099a8058", key));
        assert_eq!((key_id("csk_x_y"), key_id("csk_"), key_id("")), (None, None, None));
    }

    #[test]
    fn basic_is_parted_first_and_then_percent_decoded() {
        let read = |text: &str| {
            let value = format!("Basic {}", STANDARD.encode(text));
            basic(&HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])).ok()
        };
        let parts = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("rita:s"), parts("rita", "s"));
        assert_eq!(read("rita%40example.com:a%3Ab%25+c"), parts("rita@example.com", "a:b% c"));
        assert_eq!(read("rita:a:b"), parts("rita", "a:b"));
        assert_eq!((read("rita"), read("rita:%ff")), (None, None));
    }
}
