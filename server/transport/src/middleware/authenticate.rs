//! Authentication of callers: by the bearer in the `authorization` header or by a client certificate, and which callers
//! are local. It is tried again while the database does not answer, if the method stops something. Then the checks of
//! rights, rate and turn to read.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use countersign_app::{App, Caller, Error, Issuance, Purpose, ReadTurn, RefusedAdministration};
use countersign_core::{client_certificate::ClientCertificate, clock::uuid_v7, credential::Verified};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Uri, header, uri::Authority as HostPort};
use tokio::time::sleep;
use uuid::Uuid;

use crate::authz::{Access, Requester, Row};

/// What the pipeline needs from the application.
pub(crate) trait AccessControl: Send + Sync {
    /// An id that no other request has.
    fn fresh_id(&self) -> Uuid;
    /// As [`App::recognise`].
    fn recognise(&self, bearer: Option<&str>, local: bool, purpose: Purpose) -> Option<Caller>;
    /// As [`App::authenticate`].
    fn authenticate<'a>(
        &'a self,
        bearer: Option<&'a str>,
        local: bool,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Caller, Error>>;
    /// As [`App::take_rate`].
    fn take_rate(&self, caller: &Caller, stops: bool) -> Result<(), Error>;
    /// As [`App::enter_read`].
    fn enter_read<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<ReadTurn>, Error>>;
    /// As [`App::note_issuance`].
    fn note_issuance(&self, issuance: Issuance);
    /// As [`App::note_shed`].
    fn note_shed(&self);
    /// As [`App::note_refused_administration`].
    fn note_refused(&self, refused: &RefusedAdministration<'_>);
    /// As [`App::authenticate_certificate`].
    fn authenticate_certificate(&self, certificate: &ClientCertificate) -> Result<Caller, Error>;
    /// As [`App::ensure_live`].
    fn ensure_live(&self, instance: &Verified) -> Result<(), Error>;
}

impl AccessControl for App {
    fn fresh_id(&self) -> Uuid {
        uuid_v7(self.clock().now(), self.entropy())
    }

    fn recognise(&self, bearer: Option<&str>, local: bool, purpose: Purpose) -> Option<Caller> {
        self.recognise(bearer, local, purpose)
    }

    fn authenticate<'a>(
        &'a self,
        bearer: Option<&'a str>,
        local: bool,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Caller, Error>> {
        self.authenticate(bearer, local, purpose).boxed()
    }

    fn take_rate(&self, caller: &Caller, stops: bool) -> Result<(), Error> {
        self.take_rate(caller, stops)
    }

    fn enter_read<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<ReadTurn>, Error>> {
        async { self.enter_read(caller).await.map(Some) }.boxed()
    }

    fn note_issuance(&self, issuance: Issuance) {
        self.note_issuance(issuance);
    }

    fn note_shed(&self) {
        self.note_shed();
    }

    fn note_refused(&self, refused: &RefusedAdministration<'_>) {
        self.note_refused_administration(refused);
    }

    fn authenticate_certificate(&self, certificate: &ClientCertificate) -> Result<Caller, Error> {
        self.authenticate_certificate(certificate)
    }

    fn ensure_live(&self, instance: &Verified) -> Result<(), Error> {
        self.ensure_live(instance)
    }
}

/// The address of the other end of the connection; in every request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The other end of the connection is a program on the machine around the container of a trial; in every such request's
/// extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FromHost;

/// The certificate that the other end of the connection showed in the TLS handshake; in every request's extensions, if
/// it showed one.
#[derive(Debug, Clone)]
pub(crate) struct PeerCertificate(pub(crate) Arc<ClientCertificate>);

/// When an authentication that failed because of the database is tried again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Authenticates the caller. `None` if the method is open, so that no authentication is needed.
pub(super) async fn caller(
    access: &dyn AccessControl,
    row: &Row,
    headers: &HeaderMap,
    local: bool,
    certificate: Option<&PeerCertificate>,
) -> Result<Option<Caller>, Error> {
    if row.access == Access::Open {
        return Ok(None);
    }
    let bearer = bearer(headers)?;
    if let (None, Some(PeerCertificate(certificate))) = (bearer, certificate) {
        return access.authenticate_certificate(certificate).map(Some);
    }
    let purpose = row.purpose();
    if let Some(caller) = access.recognise(bearer, local, purpose) {
        return Ok(Some(caller));
    }
    loop {
        match access.authenticate(bearer, local, purpose).await {
            // A stop must not fail because the caller could not be authenticated for a moment, so authentication is
            // tried again until the deadline.
            Err(Error::StoreUnavailable) if row.stops => sleep(ASK_AGAIN).await,
            found => return found.map(Some),
        }
    }
}

/// Counts the call against its caller's rate. An unknown caller has no rate, so a failed authentication is not counted.
pub(super) fn within_rate(access: &dyn AccessControl, row: &Row, caller: Option<&Caller>) -> Result<(), Error> {
    caller.map_or(Ok(()), |caller| access.take_rate(caller, row.stops))
}

/// Waits for the caller's turn if the method only reads.
pub(super) async fn read_turn(
    access: &dyn AccessControl,
    row: &Row,
    caller: Option<&Caller>,
) -> Result<Option<ReadTurn>, Error> {
    match caller {
        Some(caller) if row.reads() => access.enter_read(caller).await,
        _ => Ok(None),
    }
}

/// Checks with the method's row whether `caller` may call it.
pub(super) fn permit(access: &dyn AccessControl, row: &Row, caller: Option<&Caller>) -> Result<(), Error> {
    match caller {
        None => row.permit(Requester::Unauthenticated),
        Some(Caller::Operator(operator)) => {
            row.permit(Requester::Operator(operator.roles))?;
            row.permit_scope(operator)
        }
        Some(Caller::Instance(instance)) => row.permit(Requester::Instance(&|| access.ensure_live(instance))),
    }
}

/// The text after `Bearer`. A missing header is not an error, because dev mode lets some callers in without.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let wrong = |why: &str| Err(Error::Unauthenticated { message: format!("{why}: send {WANTED}") });
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return wrong("there is more than one authorization header");
    }
    let Ok(text) = value.to_str() else { return wrong("the authorization header holds characters that no token has") };
    let (scheme, token) =
        text.trim().split_once(' ').map_or((text.trim(), ""), |(scheme, token)| (scheme, token.trim()));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return wrong(other_scheme(scheme));
    }
    if token.is_empty() {
        return wrong(
            "the authorization header says Bearer and no token follows, so the variable that should hold it is empty",
        );
    }
    match PLACEHOLDERS.iter().find(|word| word.eq_ignore_ascii_case(token)) {
        Some(word) => wrong(&format!(
            "the authorization header holds the word {word} in place of a token, so the client has none"
        )),
        None if token.starts_with(['$', '{', '<']) => wrong(
            "the authorization header holds the name of a variable in place of a token, which nothing has filled in",
        ),
        None => Ok(Some(token)),
    }
}

/// The required form of an authorization header, for messages.
const WANTED: &str = "`authorization: Bearer`, a space, and an API key (csk_...) or a credential of POST /issue";

/// Texts that programs write if they have no token.
const PLACEHOLDERS: [&str; 8] = ["null", "undefined", "None", "nil", "NaN", "false", "token", "[object Object]"];

/// What is wrong with a header that does not begin with `Bearer`.
fn other_scheme(scheme: &str) -> &'static str {
    match scheme.to_ascii_lowercase().as_str() {
        "" => "the authorization header is empty",
        "basic" => "the authorization header is Basic, which the OAuth endpoints alone take",
        word if word.starts_with("csk_") || word.starts_with("eyj") => {
            "the authorization header holds a token without the word Bearer before it"
        }
        _ => "the authorization header is not Bearer",
    }
}

/// Whether the request comes from this machine and is meant for it. A proxy here may forward a stranger's request, and
/// a browser here may be led to call a foreign name that points here: neither counts as local.
pub(super) fn is_local(request: &Request) -> bool {
    let from_host = request.extensions().get::<FromHost>().is_some();
    let peer = from_host || request.extensions().get::<Peer>().is_some_and(|peer| peer.0.to_canonical().is_loopback());
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let relayed = forwarded.iter().any(|name| request.headers().contains_key(*name));
    peer && !relayed && names_this_machine(request.uri(), request.headers())
}

fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let header = || headers.get(header::HOST)?.to_str().ok()?.parse::<HostPort>().ok();
    let Some(host) = uri.authority().cloned().or_else(header) else { return false };
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bearer_is_told_as_what_it_is() {
        let said = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            match bearer(&headers) {
                Err(Error::Unauthenticated { message }) => message,
                other => panic!("{value}: {other:?}"),
            }
        };
        for (value, words) in [
            ("Bearer", "no token follows"),
            ("Bearer ", "no token follows"),
            ("bearer    ", "no token follows"),
            ("", "is empty"),
            ("Bearer null", "the word null in place"),
            ("Bearer NULL", "the word null in place"),
            ("Bearer undefined", "the word undefined in place"),
            ("Bearer None", "the word None in place"),
            ("Bearer [object Object]", "the word [object Object] in place"),
            ("Bearer $TOKEN", "name of a variable"),
            ("Bearer ${TOKEN}", "name of a variable"),
            ("Bearer {{token}}", "name of a variable"),
            ("Bearer <token>", "name of a variable"),
            ("csk_0123", "without the word Bearer"),
            ("eyJhbGciOiJFUzI1NiJ9.e30.x", "without the word Bearer"),
            ("null", "is not Bearer"),
            ("Basic cml0YTp4", "is Basic"),
            ("Digest x", "is not Bearer"),
        ] {
            let said = said(value);
            assert!(said.contains(words) && said.contains("csk_..."), "{value}: {said}");
            assert!(!said.contains("TOKEN") && !said.contains("0123"), "nothing that may be secret: {said}");
        }
        for (value, token) in [("Bearer csk_1", "csk_1"), ("bearer  abc ", "abc"), ("BEARER a.b.c", "a.b.c")] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers).unwrap(), Some(token));
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
    }
}
