//! `countersign policy simulate`: the answers that a policy would have given to recorded decisions. Differences are
//! counted by kind: the same change by the same rules, for one sponsor.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use countersign_client::v1::{Effect, PolicyDifference, SimulatePolicyRequest, SimulatePolicyResponse};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{PolicyError, counted::counted, files::PolicyFiles};
use crate::{
    arguments::instant,
    remote::{
        RemoteArgs, RemoteError, block_on,
        output::{print, printable, table, time, value},
    },
};

/// Limit of the table's rows; rarer kinds are summed up.
const ROWS: usize = 50;
/// Limit of the kinds of differences that are counted separately; further ones are only counted in total.
const KINDS: usize = 10_000;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// What to simulate, and over which decisions.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The policy document, YAML. It is not stored.
    #[arg(value_name = "FILE", required_unless_present = "stored")]
    document: Option<PathBuf>,
    /// Raw Cedar policies beside it.
    #[arg(long, value_name = "FILE", requires = "document")]
    cedar: Option<PathBuf>,
    /// A stored version instead of a file, such as `pv_3`.
    #[arg(long, value_name = "VERSION", conflicts_with = "document")]
    stored: Option<String>,
    /// Decisions at or after this instant, RFC 3339 [default: 24 hours before the end].
    #[arg(long, value_name = "TIME", value_parser = instant)]
    start: Option<Timestamp>,
    /// Decisions before this instant, RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = instant)]
    end: Option<Timestamp>,
    /// Only decisions of this sponsor.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    sponsor: String,
    /// Only those of this run.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    instance: String,
    /// Only those on this tool.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    tool: String,
    /// Exit with 3 if a decision would have had another answer.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(super) fn run(args: &SimulateArgs) -> Result<(), PolicyError> {
    let request = args.request()?;
    let (last, kinds) = block_on(args.simulate(request))?;
    let said = if args.remote.json() { kinds.json(&last)? } else { kinds.words(&last) };
    print(&said)?;
    if args.exit_code && last.different > 0 { Err(PolicyError::Different(last.different)) } else { Ok(()) }
}

impl SimulateArgs {
    fn request(&self) -> Result<SimulatePolicyRequest, PolicyError> {
        let texts = match &self.document {
            // Checked here first: errors are reported with the file, and no call is made.
            Some(document) => Some(PolicyFiles::new(document.clone(), self.cedar.clone()).load()?.0),
            None => None,
        };
        let (document, cedar) = texts.map(|texts| (texts.document, texts.cedar)).unwrap_or_default();
        Ok(SimulatePolicyRequest {
            version: self.stored.clone().unwrap_or_default(),
            start_time: self.start,
            end_time: self.end,
            sponsor_id: self.sponsor.clone(),
            agent_instance_id: self.instance.clone(),
            tool_id: self.tool.clone(),
            document,
            cedar,
        })
    }

    async fn simulate(&self, request: SimulatePolicyRequest) -> Result<(SimulatePolicyResponse, Kinds), RemoteError> {
        let failed = |status| self.remote.call_failed(&status);
        let connection = self.remote.connect().await?;
        let mut pieces = connection.policies().simulate_policy(request).await.map_err(failed)?.into_inner();
        let (mut kinds, mut progress) = (Kinds::default(), Progress::new());
        while let Some(mut piece) = pieces.message().await.map_err(failed)? {
            kinds.note(std::mem::take(&mut piece.differences));
            if piece.done {
                progress.end();
                return Ok((piece, kinds));
            }
            progress.show(&piece);
        }
        Err(RemoteError::Answer)
    }
}

/// The progress on standard error: on a terminal one line that changes, otherwise one line per second.
struct Progress {
    last: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { last: Instant::now(), terminal: io::stderr().is_terminal(), shown: false }
    }

    fn show(&mut self, piece: &SimulatePolicyResponse) {
        if self.last.elapsed() < PROGRESS {
            return;
        }
        (self.last, self.shown) = (Instant::now(), true);
        let looked_at = piece.evaluated + piece.inconclusive + piece.not_asked;
        let reached = time(piece.reached_time.as_ref());
        let (before, after) = if self.terminal { ("\r", "") } else { ("", "\n") };
        // An error here has no consequences.
        let _ = write!(
            io::stderr(),
            "{before}checked {looked_at} decisions, until {reached}: {} different{after}",
            piece.different
        );
    }

    fn end(&self) {
        if self.terminal && self.shown {
            eprintln!();
        }
    }
}

/// Differences of one kind: the same change by the same rules, for one sponsor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    was: &'static str,
    would_be: &'static str,
    rules_then: String,
    rules_now: String,
    sponsor_id: String,
}

/// How many differences of a kind there are.
#[derive(Debug)]
struct Tally {
    count: i64,
    /// One of them, by the id of its decision.
    example: String,
}

/// The kinds of differences.
#[derive(Debug, Default)]
struct Kinds {
    counts: BTreeMap<Kind, Tally>,
    /// Of kinds that are not told apart any more.
    further: i64,
}

impl Kinds {
    fn note(&mut self, differences: Vec<PolicyDifference>) {
        for difference in differences {
            let kind = Kind {
                was: word(difference.recorded_effect()),
                would_be: word(difference.simulated_effect()),
                rules_then: rules(&difference.recorded_rule_ids, difference.recorded_reason().as_str_name()),
                rules_now: rules(&difference.simulated_rule_ids, difference.simulated_reason().as_str_name()),
                sponsor_id: printable(&difference.sponsor_id),
            };
            if let Some(tally) = self.counts.get_mut(&kind) {
                tally.count += 1;
            } else if self.counts.len() < KINDS {
                let example = printable(&difference.policy_decision_id);
                self.counts.insert(kind, Tally { count: 1, example });
            } else {
                self.further += 1;
            }
        }
    }

    /// The most frequent first.
    fn sorted(&self) -> Vec<(&Kind, &Tally)> {
        let mut all: Vec<_> = self.counts.iter().collect();
        all.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        all
    }

    fn words(&self, last: &SimulatePolicyResponse) -> String {
        let all = self.sorted();
        let row = |(kind, tally): &(&Kind, &Tally)| {
            [
                tally.count.to_string(),
                kind.was.to_owned(),
                kind.would_be.to_owned(),
                kind.rules_then.clone(),
                kind.rules_now.clone(),
                kind.sponsor_id.clone(),
                tally.example.clone(),
            ]
        };
        let rows: Vec<_> = all.iter().take(ROWS).map(row).collect();
        if rows.is_empty() {
            return summary(last);
        }
        let head = ["decisions", "was", "would be", "rules then", "rules now", "sponsor", "one of them"];
        let rest = all.iter().skip(ROWS).map(|(_, tally)| tally.count).sum::<i64>() + self.further;
        let rest = if rest > 0 { format!("and {rest} more of other kinds\n") } else { String::new() };
        format!("{}{rest}\n{}", table(head, &rows), summary(last))
    }

    /// One object: the last piece as SimulatePolicy returns it, and the differences by kind.
    fn json(&self, last: &SimulatePolicyResponse) -> Result<String, RemoteError> {
        let kind = |(kind, tally): (&Kind, &Tally)| {
            json!({
                "decisions": tally.count.to_string(),
                "recordedEffect": kind.was,
                "simulatedEffect": kind.would_be,
                "recordedRules": kind.rules_then,
                "simulatedRules": kind.rules_now,
                "sponsorId": kind.sponsor_id,
                "example": tally.example,
            })
        };
        let mut all = value("SimulatePolicyResponse", last)?;
        all["kinds"] = Value::Array(self.sorted().into_iter().map(kind).collect());
        if self.further > 0 {
            all["further"] = json!(self.further.to_string());
        }
        Ok(format!("{all:#}\n"))
    }
}

fn summary(last: &SimulatePolicyResponse) -> String {
    let asked = format!(
        "{} evaluated again: {} would have had another answer, {} newly allowed and {} no longer allowed.\n",
        decisions(last.evaluated),
        last.different,
        last.new_allows,
        last.new_denies
    );
    let some = |count, words: &str| if count > 0 { words.replace("{}", &decisions(count)) } else { String::new() };
    let unknown = "Unknown: {}, whose answer depends on data that was not stored (context, erased purposes).\n";
    let before = "Not evaluated again: {}, which were refused before any policy was evaluated. No policy changes \
                  them.\n";
    [asked, some(last.inconclusive, unknown), some(last.not_asked, before)].concat()
}

fn decisions(count: i64) -> String {
    counted(usize::try_from(count).unwrap_or(0), "decision")
}

const fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "ALLOW",
        Effect::Deny => "DENY",
        Effect::RequireApproval => "REQUIRE_APPROVAL",
        Effect::Unspecified => "-",
    }
}

/// The rules that determined an answer, or the reason if there are none.
fn rules(ids: &[String], reason: &str) -> String {
    let reason = reason.trim_start_matches("DECISION_REASON_");
    if ids.is_empty() { format!("({reason})") } else { printable(&ids.join(" ")) }
}

#[cfg(test)]
mod tests {
    use countersign_client::v1::DecisionReason;

    use super::*;

    fn difference(sponsor: &str, id: u32) -> PolicyDifference {
        PolicyDifference {
            policy_decision_id: format!("dec_{id}"),
            recorded_effect: Effect::Allow.into(),
            recorded_reason: DecisionReason::AllowedByRule.into(),
            recorded_rule_ids: vec!["one".to_owned()],
            simulated_effect: Effect::Deny.into(),
            simulated_reason: DecisionReason::NoMatchingRule.into(),
            sponsor_id: sponsor.to_owned(),
            ..PolicyDifference::default()
        }
    }

    #[test]
    fn differences_of_one_kind_are_one_row_and_the_most_frequent_comes_first() {
        let mut kinds = Kinds::default();
        kinds.note(vec![difference("alice", 1), difference("bob", 2)]);
        kinds.note(vec![difference("bob", 3)]);
        let last =
            SimulatePolicyResponse { evaluated: 9, different: 3, new_denies: 3, inconclusive: 1, ..Default::default() };
        let expected = "decisions  was    would be  rules then  rules now           sponsor  one of them
2          ALLOW  DENY      one         (NO_MATCHING_RULE)  bob      dec_2
1          ALLOW  DENY      one         (NO_MATCHING_RULE)  alice    dec_1

9 decisions evaluated again: 3 would have had another answer, 0 newly allowed and 3 no longer allowed.
Unknown: 1 decision, whose answer depends on data that was not stored (context, erased purposes).
";
        assert_eq!(kinds.words(&last), expected);
        let none = Kinds::default().words(&SimulatePolicyResponse { evaluated: 9, not_asked: 2, ..Default::default() });
        assert!(
            none.starts_with("9 decisions evaluated again: 0 would") && none.ends_with("No policy changes them.\n")
        );
    }

    #[test]
    fn what_is_too_much_to_tell_apart_is_counted() {
        let mut kinds = Kinds::default();
        let many = u32::try_from(KINDS).unwrap() + 7;
        kinds.note((0..many).map(|nth| difference(&nth.to_string(), nth)).collect());
        let said = kinds.words(&SimulatePolicyResponse::default());
        assert!(said.contains(&format!("and {} more of other kinds\n", KINDS + 7 - ROWS)), "{said}");
        let json: Value = serde_json::from_str(&kinds.json(&SimulatePolicyResponse::default()).unwrap()).unwrap();
        assert_eq!((json["kinds"].as_array().unwrap().len(), &json["further"]), (KINDS, &"7".into()));
    }
}
