//! A bundle that holds, with the texts of an agent that wants the page to run them.

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_core::decision::{Effect, Enforcement, Outcome};
use countersign_ledger::{
    checkpoint::Checkpoint,
    commitment::Opening,
    evidence::{Bundle, ChainSelection, DisclosedText, Event, Format, PolicyDocument, Selection, policy_hash},
    leaf::{Decimal, Digest, Grant, Kind, Leaf, SponsorState, Terms, Timestamp},
    merkle::{Hash, inclusion_proof, leaf_hash, root},
    note::VerifierKey,
};

const ORIGIN: &str = "countersign.example/hostile";
const DOCUMENT: &str = "# </script><script>alert('document')</script>\n<style>* { display: none }</style>";
const CEDAR: &str = "// <svg onload=alert('cedar')>";

/// A key of the other vectors' log that did not sign it.
pub(super) fn other_key(name: &str) -> String {
    VerifierKey::of(name, &pair()).unwrap().to_string()
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// What the agents said, the operator's reason and the sponsor's name among it.
pub(super) fn texts() -> Vec<String> {
    let long = "<img src=x onerror=alert('long')> ".repeat(500);
    [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(2)>\n<iframe src=\"javascript:alert(3)\"></iframe>",
        "refund \u{202e}000,01 \u{0}not\u{202e} <!-- --> ]]> &lt; {{script}} {{bundle}}",
        &long,
        "Mallory </title><base href=//evil>\nmallory@example.com",
    ]
    .map(str::to_owned)
    .into()
}

/// The name of a text, and what opens its commitment.
type Text = (&'static str, Opening);

struct Chain {
    leaves: Vec<Leaf<'static>>,
    texts: Vec<Option<Text>>,
}

fn id<T: From<String>>(prefix: &str, nth: usize) -> T {
    format!("{prefix}01890a5d-ac96-774b-bcce-{nth:012x}").into()
}

impl Chain {
    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| leaf_hash(&leaf.encode().unwrap())).collect()
    }

    fn hash(&self, nth: usize) -> Digest {
        Digest(self.hashes()[nth])
    }

    /// Appends an event of alice's, with a text that its leaf commits to.
    fn push(
        &mut self,
        kind: Kind,
        text: Option<(&'static str, String)>,
        fill: impl FnOnce(&Self, Leaf<'static>) -> Leaf<'static>,
    ) {
        let nth = self.leaves.len();
        let at = Timestamp::from_micros(1_767_323_045_000_000 + 60_000_000 * i64::try_from(nth).unwrap()).unwrap();
        let base = Leaf { sponsor_id: Some("alice".into()), ..Leaf::new(kind, id::<String>("evt_", nth), at) };
        let mut leaf = fill(self, base);
        let text = text.map(|(name, text)| (name, Opening { salt: [nth.try_into().unwrap(); 16], text }));
        if let Some((name, opening)) = &text {
            let commitment = Some(Digest(opening.commitment()));
            match *name {
                "purpose" => leaf.purpose_commitment = commitment,
                "reason_text" => leaf.reason_commitment = commitment,
                "identity" => leaf.identity_commitment = commitment,
                _ => leaf.context_commitment = commitment,
            }
        }
        self.leaves.push(leaf);
        self.texts.push(text);
    }
}

fn call(log: &Chain, leaf: Leaf<'static>) -> Leaf<'static> {
    Leaf {
        action: Some("refund".into()),
        agent_instance_id: Some(id("inst_", 1)),
        custody_ref: Some(log.hash(1)),
        tool_id: Some("billing".into()),
        ..leaf
    }
}

fn decision(log: &Chain, leaf: Leaf<'static>, nth: usize, effect: Effect, reason: &'static str) -> Leaf<'static> {
    Leaf {
        effect: Some(effect),
        enforcement: Some(Enforcement::Enforced),
        policy_decision_id: Some(id("dec_", nth)),
        policy_hash: Some(policy_hash(DOCUMENT, CEDAR)),
        policy_version: Some("<b>pv_1</b>".into()),
        reason: Some(reason.into()),
        rule_ids: vec!["<script>alert(4)</script>".into()],
        sponsor_state: Some(SponsorState::Live),
        ..call(log, leaf)
    }
}

fn chain() -> Chain {
    let mut log = Chain { leaves: Vec::new(), texts: Vec::new() };
    let [script, picture, turned, lengthy, identity] = texts().try_into().unwrap();
    log.push(Kind::SponsorRegistered, Some(("identity", identity)), |_, leaf| Leaf {
        operator_id: Some("rita".into()),
        state_after: Some("PENDING".into()),
        terms: Some(Terms { max_depth: 1, max_ttl_seconds: 900, roles: vec!["support".into()], ..Terms::default() }),
        ..leaf
    });
    log.push(Kind::CredentialIssued, Some(("purpose", lengthy)), |log, leaf| Leaf {
        agent_instance_id: Some(id("inst_", 1)),
        credential_id: Some(id("cred_", 1)),
        custody_ref: Some(log.hash(0)),
        grant: Some(Grant {
            agent: "triage".into(),
            expire_time: leaf.timestamp,
            model: Some("<i>model</i>".into()),
            role: "support".into(),
            ttl_seconds: 900,
            ..Grant::default()
        }),
        root_instance_id: Some(id("inst_", 1)),
        ..leaf
    });
    log.push(Kind::Decision, Some(("purpose", script)), |log, leaf| {
        decision(log, leaf, 2, Effect::RequireApproval, "APPROVAL_REQUIRED")
    });
    let about = |leaf| Leaf { approval_id: Some(id("appr_", 3)), policy_decision_id: Some(id("dec_", 2)), ..leaf };
    log.push(Kind::ApprovalRequested, Some(("context_text", picture)), |log, leaf| about(call(log, leaf)));
    log.push(Kind::ApprovalApproved, Some(("reason_text", turned)), |log, leaf| Leaf {
        decision_ref: Some(log.hash(2)),
        operator_id: Some("olga".into()),
        ..about(call(log, leaf))
    });
    log.push(Kind::Decision, None, |log, leaf| Leaf {
        approval_id: Some(id("appr_", 3)),
        approval_ref: Some(log.hash(4)),
        // Its text was erased.
        purpose_commitment: Some(Digest([9; 32])),
        ..decision(log, leaf, 5, Effect::Allow, "ALLOWED_BY_RULE")
    });
    log.push(Kind::ToolCall, None, |log, leaf| Leaf {
        decision_ref: Some(log.hash(5)),
        outcome: Some(Outcome::Success),
        policy_decision_id: Some(id("dec_", 5)),
        ..call(log, leaf)
    });
    log
}

/// The file, which holds.
pub(super) fn bundle() -> Vec<u8> {
    let log = chain();
    let hashes = log.hashes();
    let size = hashes.len() as u64;
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: root(&hashes), extensions: Vec::new() };
    let event = |(nth, (leaf, text)): (usize, (&Leaf<'_>, &Option<Text>))| Event {
        log_index: Decimal(nth as u64),
        leaf: String::from_utf8(leaf.encode().unwrap()).unwrap(),
        disclosed: text
            .iter()
            .map(|(name, opening)| DisclosedText {
                name: (*name).into(),
                salt: format!("{:032x}", u128::from_be_bytes(opening.salt)),
                text: opening.text.clone(),
            })
            .collect(),
        proof: inclusion_proof(&hashes, nth).unwrap().into_iter().map(Digest).collect(),
    };
    let bundle = Bundle {
        format: Format::V1,
        origin: ORIGIN.into(),
        log_key: other_key(ORIGIN),
        checkpoint: checkpoint.sign(ORIGIN, &pair()).unwrap().note.to_string(),
        earlier: None,
        selection: Selection::Chain(ChainSelection { id: id("dec_", 5), count: Decimal(size) }),
        events: log.leaves.iter().zip(&log.texts).enumerate().map(event).collect(),
        policies: vec![PolicyDocument {
            hash: policy_hash(DOCUMENT, CEDAR),
            document: DOCUMENT.into(),
            cedar: CEDAR.into(),
        }],
        signing_keys: None,
    };
    bundle.write().unwrap()
}
