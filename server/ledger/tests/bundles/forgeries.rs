//! Bundles that must be refused: each agrees with itself as well as a forger without the log's key can make it, or with
//! it, where the log's own key lies.

use countersign_ledger::{
    evidence::{Bundle, ChainSelection, Selection, SponsorSelection, policy_hash},
    leaf::{Decimal, Digest, Leaf},
    merkle::leaf_hash,
    note::VerifierKey,
};

use super::{FROM, Log, TO, bundle, log, pair, time};

/// Changes of the text, without the hash at its end, and the start of the refusal.
pub(crate) const EDITS: [(&str, &str, &str); 11] = [
    ("evidence.v1", "evidence.v2", "format"),
    (r#""origin":"c"#, r#""origin":"d"#, "checkpoint"),
    (r#""log_key":"countersign.example/log+"#, r#""log_key":"countersign.example/log-"#, "log_key"),
    ("permit", "forbid", "policies[0]"),
    ("refund twice", "refund never", "events[5].disclosed[0] (log index 6)"),
    (r#"\"effect\":\"ALLOW\""#, r#"\"effect\":\"DENY_\""#, "events[5].leaf (log index 6)"),
    (r#"\"tool_id\":\"billing\""#, r#"\"tool_id\":\"bilking\""#, "events[5].proof (log index 6)"),
    (r#""log_index":"6""#, r#""log_index":"5""#, "events[5].log_index (log index 5)"),
    (r#""log_index":"6""#, r#""log_index":"8""#, "events[5].proof (log index 8)"),
    (r#","events":"#, r#", "events":"#, "file"),
    (r#","events":"#, r#","event":"#, "event"),
];

/// A bundle whose own hash fits, and a part of the refusal.
pub(crate) struct Forgery {
    pub(crate) name: String,
    pub(crate) bundle: Bundle,
    pub(crate) wanted: &'static str,
}

fn forgery(name: impl Into<String>, bundle: Bundle, wanted: &'static str) -> Forgery {
    Forgery { name: name.into(), bundle, wanted }
}

/// All of them.
pub(crate) fn forgeries() -> Vec<Forgery> {
    [other_roots(), edited(), left_out(), selections(), manifests(), references()].into_iter().flatten().collect()
}

/// The bundle of the log with one leaf changed, and everything that follows from it.
fn of_changed(index: usize, edit: impl FnOnce(&mut Leaf<'static>)) -> Bundle {
    let mut other = log();
    other.change(index, edit);
    bundle(&other)
}

fn with(edit: impl FnOnce(&mut Bundle)) -> Bundle {
    let mut whole = bundle(&log());
    edit(&mut whole);
    whole
}

fn other_roots() -> Vec<Forgery> {
    let whole = bundle(&log());
    let forged = of_changed(6, |leaf| leaf.tool_id = Some("wires".into()));
    let events = Bundle { events: forged.events.clone(), ..whole.clone() };
    let note = whole.checkpoint.split_once("\n\n").unwrap().1;
    let unsigned = forged.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n\n" + note;
    let rewritten = of_changed(2, |leaf| leaf.operator_id = Some("mallory".into()));
    // A key of the same name that signed nothing.
    let lying = VerifierKey::of(&whole.origin, &pair(9)).unwrap().to_string();
    vec![
        forgery(
            "events of another root",
            events,
            "events[0].proof (log index 0): the leaf is not in the log of the checkpoint: the proof leads to another root",
        ),
        forgery("a root that no key signed", Bundle { checkpoint: unsigned, ..forged }, "does not hold for this text"),
        forgery(
            "a history that the log's own key rewrote",
            Bundle { earlier: whole.earlier.clone(), ..rewritten },
            "earlier.proof: the log of the checkpoint does not continue",
        ),
        forgery(
            "another key of the same name",
            Bundle { log_key: lying, ..whole },
            "checkpoint: the checkpoint is not a note of the expected key: no known key signed this note",
        ),
    ]
}

fn edited() -> Vec<Forgery> {
    let swapped = with(|b| {
        let (first, rest) = b.events.split_at_mut(1);
        std::mem::swap(&mut first[0].leaf, &mut rest[0].leaf);
    });
    let document = with(|b| {
        b.policies[0].document = "rules: []".into();
        b.policies[0].hash = policy_hash("rules: []", "");
    });
    let point = with(|b| b.signing_keys = b.signing_keys.take().map(|keys| keys.replacen("\"x\":\"", "\"x\":\"A", 1)));
    let salt = with(|b| b.events[5].disclosed[0].salt = "00".repeat(16));
    let spelling = with(|b| b.events[5].disclosed[0].salt = "0A".repeat(16));
    vec![
        forgery("leaves swapped", swapped, "events[0].proof (log index 0): "),
        forgery("events swapped", with(|b| b.events.swap(1, 2)), "events[2].log_index (log index 1): it is not above"),
        forgery(
            "another salt",
            salt,
            "events[5].disclosed[0] (log index 6): purpose is not the text that the leaf commits to",
        ),
        forgery("a salt in capitals", spelling, "purpose_salt must be 32 lower-case hexadecimal digits"),
        forgery(
            "a text twice",
            with(|b| b.events[5].disclosed = vec![b.events[5].disclosed[0].clone(); 2]),
            "or twice",
        ),
        forgery("another document", document, "policies[0]: no leaf names this document"),
        forgery(
            "no documents",
            with(|b| b.policies.clear()),
            "events[5].leaf (log index 6): the policy document that it names is not in the bundle",
        ),
        forgery(
            "no point of the curve",
            point,
            "signing_keys: it is not a JWK set of P-256 keys, each with its thumbprint",
        ),
        forgery("no key set", with(|b| b.signing_keys = Some("{}".into())), "signing_keys: "),
    ]
}

fn left_out() -> Vec<Forgery> {
    let cases = [
        (7, "count 1 tool_call events of sponsor alice on tool billing from index 5 to 10, and the bundle has 0"),
        (6, "the event that decision_ref names is not in the bundle"),
        (4, "the event that custody_ref names is not in the bundle"),
        (0, "the event that custody_ref names is not in the bundle"),
        (11, "no manifest of the bundle counts what is in the log from index 5 on"),
        (5, "no manifest shows that index 5 was not received before it"),
    ];
    let without = |index: u64| with(|b| b.events.retain(|event| event.log_index.0 != index));
    cases.map(|(index, wanted)| forgery(format!("without event {index}"), without(index), wanted)).into()
}

fn selections() -> Vec<Forgery> {
    let sponsor = |edit: &dyn Fn(&mut SponsorSelection)| {
        with(|b| {
            if let Selection::Sponsor(wanted) = &mut b.selection {
                edit(wanted);
            }
        })
    };
    let chain = |id: &str, count| {
        with(|b| b.selection = Selection::Chain(ChainSelection { id: id.into(), count: Decimal(count) }))
    };
    vec![
        forgery("another count", sponsor(&|s| s.count = Decimal(0)), "it says 0 decisions, and the bundle has 1"),
        forgery("a later end", sponsor(&|s| s.last_index = Decimal(11)), "from index 11 on"),
        forgery("a later start", sponsor(&|s| s.first_index = Decimal(7)), "no manifest of the bundle counts"),
        forgery("until later", sponsor(&|s| s.to = time(12)), "the last manifest counts until less than a minute"),
        forgery("from earlier", sponsor(&|s| s.from = time(1)), "was not received before it"),
        forgery("until before it begins", sponsor(&|s| s.to = FROM()), "in the wrong order"),
        forgery("another sponsor", sponsor(&|s| s.sponsor_id = "bob".into()), "of sponsor bob"),
        forgery(
            "another count of a chain",
            chain("dec_other", 3),
            "selection.chain.count: it says 3 events, and the bundle has 8",
        ),
        forgery(
            "a chain of nothing here",
            chain("dec_other", 8),
            "selection.chain.id: no event of the bundle has this id",
        ),
    ]
}

fn manifests() -> Vec<Forgery> {
    let parts = |leaf: &mut Leaf<'static>| {
        leaf.figures.iter_mut().filter(|figure| figure.name == "parts").for_each(|figure| figure.value = Decimal(2));
    };
    let name = |what: &str| format!("a manifest with {what}");
    vec![
        forgery(
            name("another count"),
            of_changed(11, |leaf| leaf.counts[0].count = Decimal(7)),
            "events[7].leaf (log index 11): the counts of the manifest of 5 to 10 do not add up to its range",
        ),
        forgery(
            name("another figure"),
            of_changed(11, |leaf| leaf.figures[0].value = Decimal(7)),
            "do not add up to its figure",
        ),
        forgery(name("a part that is missing"), of_changed(11, parts), "part 2 is missing"),
        // It was appended much later, and what was received in between is in the next one.
        forgery(
            name("a range that ended early"),
            of_changed(11, |leaf| leaf.timestamp = TO()),
            "the last manifest counts until less than a minute after it",
        ),
        forgery(
            name("a figure that is missing"),
            of_changed(11, |leaf| leaf.figures.retain(|figure| figure.name != "last_index")),
            "events[7].leaf (log index 11): a manifest must state last_index",
        ),
    ]
}

fn references() -> Vec<Forgery> {
    type Edit = fn(&mut Leaf<'static>, &Log);
    let edits: [(usize, Edit, &str); 4] = [
        (7, |leaf, log| leaf.decision_ref = Some(log.hash(3)), "is not the decision with its policy_decision_id"),
        (6, |leaf, log| leaf.custody_ref = Some(log.hash(3)), "is not a grant of its instance"),
        (4, |leaf, log| leaf.custody_ref = Some(log.hash(1)), "is not a grant of its parent"),
        (3, |leaf, _| leaf.custody_ref = Some(Digest(leaf_hash(b"nothing"))), "is not in the bundle"),
    ];
    let forged = |(index, edit, wanted): (usize, Edit, &'static str)| {
        let before = log();
        forgery(format!("event {index} that names another"), of_changed(index, |leaf| edit(leaf, &before)), wanted)
    };
    edits.map(forged).into()
}
