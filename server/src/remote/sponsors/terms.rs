//! Sponsors as a table, and one with all terms.

use countersign_client::{
    Connection,
    v1::{GetSponsorRequest, GetSponsorResponse, Sponsor, SponsorState, SuspendCause},
};

use crate::remote::{
    RemoteArgs, RemoteError,
    output::{fact, facts, joined, listed, or_dash, printable, time, word},
};

pub(super) async fn get(
    connection: &Connection,
    sponsor_id: String,
    remote: &RemoteArgs,
) -> Result<GetSponsorResponse, RemoteError> {
    let answer = connection.sponsors().get_sponsor(GetSponsorRequest { sponsor_id }).await;
    Ok(answer.map_err(|status| remote.call_failed(&status))?.into_inner())
}

pub(super) fn rows(sponsors: &[Sponsor]) -> String {
    let row = |sponsor: &Sponsor| {
        [
            printable(&sponsor.sponsor_id),
            state(sponsor),
            joined(&sponsor.roles),
            time(sponsor.review_due_at.as_ref()),
            or_dash(&sponsor.person_id),
            or_dash(&sponsor.display_name),
        ]
    };
    let rows: Vec<_> = sponsors.iter().map(row).collect();
    listed(["sponsor", "state", "roles", "review due", "person", "name"], &rows, "There is no such sponsor.")
}

/// Everything that an approval covers.
pub(super) fn terms(sponsor: &Sponsor) -> String {
    let mut labels: Vec<_> = sponsor.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.sort_unstable();
    let longest = sponsor.max_ttl.as_ref().map_or_else(|| "-".to_owned(), |longest| format!("{} s", longest.seconds));
    let confirmed = match (sponsor.person_id.is_empty(), sponsor.person_confirmed) {
        (true, _) => "-".to_owned(),
        (false, true) => printable(&sponsor.person_id),
        (false, false) => format!("{}, to be approved", printable(&sponsor.person_id)),
    };
    facts(&[
        fact("sponsor", printable(&sponsor.sponsor_id)),
        fact("name", or_dash(&sponsor.display_name)),
        fact("e-mail", or_dash(&sponsor.email)),
        fact("person", confirmed),
        fact("roles", joined(&sponsor.roles)),
        fact("longest credential", longest),
        fact("deepest delegation", sponsor.max_depth.to_string()),
        fact("labels", joined(&labels)),
        fact("state", state(sponsor)),
        fact("review due", time(sponsor.review_due_at.as_ref())),
        fact("registered", time(sponsor.create_time.as_ref())),
        fact("etag", or_dash(&sponsor.etag)),
    ])
}

fn state(sponsor: &Sponsor) -> String {
    let known = |state: SponsorState| word(state.as_str_name(), "SPONSOR_STATE_");
    let state = SponsorState::try_from(sponsor.state).map_or_else(|_| sponsor.state.to_string(), known);
    match sponsor.suspend_cause() {
        SuspendCause::ReviewLapsed => format!("{state}, the review lapsed"),
        SuspendCause::Operator | SuspendCause::Unspecified => state,
    }
}
