//! `sponsor approve`: approves exactly the terms that were seen: those of `--etag`, or those that a terminal shows
//! before it asks.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use countersign_client::{
    Connection,
    v1::{ApproveSponsorRequest, Sponsor},
};

use super::terms::{get, rows, terms};
use crate::remote::{
    ChangeArgs, RemoteArgs, RemoteError,
    output::{note, printable},
};

/// The sponsor to approve.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The sponsor's id.
    #[arg(value_name = "SPONSOR")]
    sponsor_id: String,
    /// The etag of the terms that you saw, as `sponsor show` shows it [default: show the terms, and ask].
    #[arg(long, value_name = "ETAG", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    etag: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn approve(args: ApproveArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let connection = args.remote.connect().await?;
    let (etag, repeat) = if let Some(etag) = args.etag {
        (etag, request_id.clone())
    } else {
        let etag = seen(&connection, args.sponsor_id.clone(), &args.remote).await?;
        // A repetition must be about the terms that were seen, because the current ones may be different.
        let repeat = format!("{request_id} --etag {}", printable(&etag));
        (etag, repeat)
    };
    let request = ApproveSponsorRequest { sponsor_id: args.sponsor_id, reason: args.change.reason, etag, request_id };
    let answer = connection.sponsors().approve_sponsor(request).await;
    args.remote.changed(answer, &repeat, "ApproveSponsorResponse", |answer| rows(answer.sponsor.as_slice()))
}

/// Shows the terms on standard error and asks. Returns the etag of what was shown.
async fn seen(connection: &Connection, sponsor_id: String, remote: &RemoteArgs) -> Result<String, RemoteError> {
    let sponsor = get(connection, sponsor_id, remote).await?.sponsor.ok_or(RemoteError::Answer)?;
    note(terms(&sponsor).trim_end());
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(RemoteError::NobodyToAsk { etag: printable(&sponsor.etag) });
    }
    if says_yes(&sponsor)? { Ok(sponsor.etag) } else { Err(RemoteError::Declined) }
}

fn says_yes(sponsor: &Sponsor) -> Result<bool, RemoteError> {
    let mut terminal = io::stderr().lock();
    let id = printable(&sponsor.sponsor_id);
    let asked = write!(terminal, "Approve {id} on these terms? [y/N] ").and_then(|()| terminal.flush());
    asked.map_err(RemoteError::Terminal)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(RemoteError::Terminal)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "YES\n", " y \r\n"] {
            assert!(is_yes(yes));
        }
        for no in ["", "\n", "n\n", "yy\n", "no, yes\n"] {
            assert!(!is_yes(no));
        }
    }
}
