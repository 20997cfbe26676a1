//! AuthZEN's searches for actions: the limit of a page, and its tokens, which are valid only for the search that they
//! came from.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_app::{Error, SearchActions};
use countersign_core::names::ActionName;
use serde_json::{Value, json};

use super::{
    call::{Parts, call},
    members::{Object, member, mistyped, object, text},
};
use crate::convert::{Refused, read, violations::Violations};

/// Stands for every action: a search has no action, and one that a request names is ignored.
const ANY: &str = "any";

/// An Action Search request.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) command: SearchActions,
    pub(crate) pages: Pages,
}

/// How a search is answered in pages.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Whether the request uses pages.
    pub(crate) asked_for: bool,
    /// Identifies the search, so that its tokens are not used for another one.
    of: String,
}

impl Pages {
    /// The token for the page after `reached`.
    pub(crate) fn token(&self, reached: Option<&ActionName>) -> String {
        format!("{}.{}", self.of, reached.map_or("", ActionName::as_str))
    }
}

/// An Action Search request. A token is valid only for the search that it came from.
pub(crate) fn search(body: &Object) -> Result<Search, Error> {
    let page = member(body, "page");
    let pages = Pages { asked_for: page.is_some(), of: of(body) };
    let command = read(|v| {
        let any = json!({ "name": ANY });
        let call = call(v, Parts { action: Some(&any), ..Parts::of(body) });
        let page = match page {
            None => Ok((None, SearchActions::MOST)),
            page => object(v, "page", page).and_then(|page| {
                v.within("page", |v| {
                    let (after, limit) = (after(v, page, &pages.of), limit(v, page));
                    Ok((after?, limit?))
                })
            }),
        };
        let (call, (after, limit)) = (call?, page?);
        Ok(SearchActions { call, after, limit })
    })?;
    Ok(Search { command, pages })
}

/// A hash of the search without its page, in 22 characters.
fn of(body: &Object) -> String {
    let entities = ["subject", "resource", "context"].map(|name| member(body, name));
    let digest = digest(&SHA256, json!(entities).to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}

fn after(v: &mut Violations, page: &Object, of: &str) -> Result<Option<ActionName>, Refused> {
    // The standard marks the end with an empty token, and some clients send it back.
    let Some(token) = text(v, "token", member(page, "token"))?.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let reached = token.strip_prefix(of).and_then(|rest| rest.strip_prefix('.'));
    match reached.map(|name| (name, name.parse())) {
        Some(("", _)) => Ok(None),
        Some((_, Ok(name))) => Ok(Some(name)),
        _ => Err(v.refuse("token", "is not from this search: ask for its first page, without a token")),
    }
}

fn limit(v: &mut Violations, page: &Object) -> Result<usize, Refused> {
    match member(page, "limit") {
        None => Ok(SearchActions::MOST),
        Some(Value::Number(number)) if number.is_u64() => {
            let limit = number.as_u64().and_then(|limit| usize::try_from(limit).ok());
            Ok(limit.map_or(SearchActions::MOST, |limit| limit.min(SearchActions::MOST)))
        }
        Some(_) => Err(mistyped(v, "limit", "a whole number that is not negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(page: &Value) -> Object {
        let body = json!({
            "subject": {"type": "user", "id": "alice"},
            "resource": {"type": "record", "id": "1"},
            "action": 7,
            "page": page,
        });
        let Value::Object(body) = body else { panic!("an object") };
        body
    }

    #[test]
    fn a_page_goes_on_after_the_last_one_of_its_own_search() {
        let first = search(&body(&Value::Null)).unwrap();
        assert_eq!(
            (first.command.after.clone(), first.command.limit, first.pages.asked_for),
            (None, SearchActions::MOST, false)
        );
        let token = first.pages.token(Some(&"read".parse().unwrap()));
        let next = search(&body(&json!({"token": token, "limit": 2}))).unwrap();
        assert_eq!(next.command.after.as_ref().map(ActionName::as_str), Some("read"));
        assert_eq!((next.command.limit, next.pages.asked_for), (2, true));
        let begin = search(&body(&json!({"token": first.pages.token(None), "limit": 100_000}))).unwrap();
        assert_eq!((begin.command.after, begin.command.limit), (None, SearchActions::MOST));

        let mut elsewhere = body(&json!({"token": token}));
        elsewhere["subject"]["id"] = "bob".into();
        for (body, field) in [
            (elsewhere, "page.token"),
            (body(&json!({"token": "x"})), "page.token"),
            (body(&json!({"token": format!("{token} ")})), "page.token"),
            (body(&json!({"token": 1})), "page.token"),
            (body(&json!({"limit": -1})), "page.limit"),
            (body(&json!({"limit": 1.5})), "page.limit"),
            (body(&json!({"limit": "1"})), "page.limit"),
            (body(&json!("x")), "page"),
        ] {
            let Err(Error::Invalid(violations)) = search(&body) else { panic!("{body:?}") };
            assert_eq!(violations.iter().map(|one| &*one.field).collect::<Vec<_>>(), [field]);
        }
    }

    #[test]
    fn a_search_needs_a_subject_and_a_resource() {
        for (name, field) in [("subject", "subject"), ("resource", "resource")] {
            let mut body = body(&Value::Null);
            body.remove(name);
            let Err(Error::Invalid(violations)) = search(&body) else { panic!("{body:?}") };
            assert_eq!(violations[0].field, field);
        }
    }
}
