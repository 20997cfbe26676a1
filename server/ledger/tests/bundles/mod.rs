//! A small log, and the bundle of what alice answered for in a part of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

pub(crate) mod forgeries;
pub(crate) mod refused_file;

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_core::decision::{Effect, Enforcement, Outcome};
use countersign_ledger::{
    checkpoint::Checkpoint,
    commitment::Opening,
    evidence::{
        Bundle, DisclosedText, Earlier, Event, Format, PolicyDocument, Selection, SponsorSelection, policy_hash,
    },
    leaf::{Count, Decimal, Digest, Emitter, Grant, Kind, Leaf, SponsorState, Terms, Timestamp},
    manifest::Manifest,
    merkle::{Hash, consistency_proof, inclusion_proof, leaf_hash, root},
    note::VerifierKey,
};

pub(crate) const ORIGIN: &str = "countersign.example/log";
pub(crate) const ALICE: &str = "alice";
const DOCUMENT: &str = "rules:\n- id: allow-billing\n  effect: permit \u{2014} \"support\"\n";
const KEY_ID: &str = "kcOHFcWeq7-gwscOi2llQoA90NMTVLqwZhQMpjf332s";
/// What the bundle leaves out: what is not alice's, and not needed to prove what is.
const LEFT_OUT: [usize; 4] = [2, 8, 9, 10];

pub(crate) fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn key() -> VerifierKey {
    VerifierKey::of(ORIGIN, &pair(1)).unwrap()
}

/// Ten minutes between an event and the next.
pub(crate) fn time(index: i64) -> Timestamp {
    Timestamp::from_micros(1_767_323_045_000_000 + index * 600_000_000).unwrap()
}

#[expect(non_snake_case, reason = "a constant, if instants could be made in one")]
pub(crate) fn FROM() -> Timestamp {
    time(6)
}

#[expect(non_snake_case, reason = "a constant, if instants could be made in one")]
pub(crate) fn TO() -> Timestamp {
    time(10)
}

fn id<T: From<String>>(prefix: &str, nth: usize) -> T {
    format!("{prefix}01890a5d-ac96-774b-bcce-{nth:012x}").into()
}

pub(crate) struct Log {
    pub(crate) leaves: Vec<Leaf<'static>>,
}

impl Log {
    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| leaf_hash(&leaf.encode().unwrap())).collect()
    }

    pub(crate) fn hash(&self, index: usize) -> Digest {
        Digest(leaf_hash(&self.leaves[index].encode().unwrap()))
    }

    /// Changes a leaf, and every reference to it.
    pub(crate) fn change(&mut self, index: usize, edit: impl FnOnce(&mut Leaf<'static>)) {
        let before = self.hash(index);
        edit(&mut self.leaves[index]);
        let mut changed = vec![(before, self.hash(index))];
        for at in index + 1..self.leaves.len() {
            let old = self.hash(at);
            let leaf = &mut self.leaves[at];
            for reference in [&mut leaf.custody_ref, &mut leaf.decision_ref] {
                if let Some((_, new)) = changed.iter().find(|(old, _)| Some(*old) == *reference) {
                    *reference = Some(*new);
                }
            }
            changed.push((old, self.hash(at)));
        }
    }

    fn push(&mut self, kind: Kind, fill: impl FnOnce(&Self, Leaf<'static>) -> Leaf<'static>) {
        let nth = self.leaves.len();
        let at = time(i64::try_from(nth).unwrap());
        let leaf = fill(self, Leaf::new(kind, id::<String>("evt_", nth), at));
        self.leaves.push(leaf);
    }

    fn manifest(&mut self, first: usize, open_decisions: u64, emitters: Vec<Emitter<'static>>) {
        let mut counts: Vec<Count<'static>> = Vec::new();
        for leaf in &self.leaves[first..] {
            let same = |count: &&mut Count<'_>| {
                count.kind == leaf.kind && count.sponsor_id == leaf.sponsor_id && count.tool_id == leaf.tool_id
            };
            match counts.iter_mut().find(same) {
                Some(count) => count.count.0 += 1,
                None => counts.push(Count {
                    count: Decimal(1),
                    kind: leaf.kind,
                    sponsor_id: leaf.sponsor_id.clone(),
                    tool_id: leaf.tool_id.clone(),
                }),
            }
        }
        let nth = self.leaves.len();
        let (first_index, last_index) = (first as u64, nth as u64 - 1);
        let manifest = Manifest { first_index, last_index, open_decisions, counts, emitters };
        let leaves = manifest.leaves(time(i64::try_from(nth).unwrap()), || id("evt_", nth));
        self.leaves.extend(leaves);
    }
}

fn purpose() -> Opening {
    Opening { salt: [1; 16], text: "refund twice charged \u{2014} \"urgent\"\n".into() }
}

fn identity() -> Opening {
    Opening { salt: [2; 16], text: "Alice\nalice@example.com".into() }
}

fn grant(depth: u32) -> Grant<'static> {
    Grant {
        agent: "triage".into(),
        depth,
        expire_time: time(20),
        key_id: Some(KEY_ID.into()),
        role: "support".into(),
        tools: vec!["billing".into()],
        ttl_seconds: 900,
        ..Grant::default()
    }
}

fn decision(log: &Log, leaf: Leaf<'static>, sponsor: &'static str, instance: usize) -> Leaf<'static> {
    let nth = log.leaves.len();
    Leaf {
        action: Some("refund".into()),
        agent_instance_id: Some(id("inst_", instance)),
        custody_ref: Some(log.hash(instance)),
        effect: Some(Effect::Allow),
        enforcement: Some(Enforcement::Enforced),
        policy_decision_id: Some(id("dec_", nth)),
        policy_hash: Some(policy_hash(DOCUMENT, "")),
        policy_version: Some("pv_1".into()),
        purpose_commitment: Some(Digest(purpose().commitment())),
        reason: Some("ALLOWED_BY_RULE".into()),
        sponsor_id: Some(sponsor.into()),
        sponsor_state: Some(SponsorState::Live),
        tool_id: Some("billing".into()),
        ..leaf
    }
}

/// Twelve events: alice's registration, her approval, a policy, a root and a child, a manifest; a decision and its
/// outcome, two decisions of others, a kill switch, a manifest.
pub(crate) fn log() -> Log {
    let mut log = Log { leaves: Vec::new() };
    let terms = Terms { max_depth: 3, max_ttl_seconds: 900, roles: vec!["support".into()], ..Terms::default() };
    let sponsor = |leaf: Leaf<'static>| Leaf {
        operator_id: Some("rita".into()),
        sponsor_id: Some(ALICE.into()),
        state_after: Some("PENDING".into()),
        terms: Some(terms.clone()),
        ..leaf
    };
    log.push(Kind::SponsorRegistered, |_, leaf| Leaf {
        identity_commitment: Some(Digest(identity().commitment())),
        ..sponsor(leaf)
    });
    log.push(Kind::SponsorApproved, |log, leaf| Leaf {
        custody_ref: Some(log.hash(0)),
        operator_id: Some("olga".into()),
        state_after: Some("ACTIVE".into()),
        state_before: Some("PENDING".into()),
        ..sponsor(leaf)
    });
    log.push(Kind::PolicyCreated, |_, leaf| Leaf {
        operator_id: Some("petra".into()),
        policy_hash: Some(policy_hash(DOCUMENT, "")),
        policy_version: Some("pv_1".into()),
        ..leaf
    });
    for (kind, instance, parent) in [(Kind::CredentialIssued, 3, None), (Kind::Delegated, 4, Some(3))] {
        log.push(kind, |log, leaf| Leaf {
            agent_instance_id: Some(id("inst_", instance)),
            credential_id: Some(id("cred_", instance)),
            custody_ref: Some(log.hash(parent.unwrap_or(1))),
            grant: Some(grant(u32::from(parent.is_some()))),
            parent_agent_id: parent.map(|parent| id("inst_", parent)),
            root_instance_id: Some(id("inst_", 3)),
            sponsor_id: Some(ALICE.into()),
            ..leaf
        });
    }
    log.manifest(0, 0, Vec::new());
    log.push(Kind::Decision, |log, leaf| decision(log, leaf, ALICE, 4));
    log.push(Kind::ToolCall, |log, leaf| Leaf {
        agent_instance_id: Some(id("inst_", 4)),
        custody_ref: Some(log.hash(4)),
        decision_ref: Some(log.hash(6)),
        emitter_id: Some("gateway-1".into()),
        emitter_seq: Some(Decimal(7)),
        outcome: Some(Outcome::Success),
        policy_decision_id: Some(id("dec_", 6)),
        sponsor_id: Some(ALICE.into()),
        tool_id: Some("billing".into()),
        ..leaf
    });
    for _ in 0..2 {
        log.push(Kind::Decision, |log, leaf| decision(log, leaf, "bob", 4));
    }
    log.push(Kind::LegalHoldPlaced, |_, leaf| Leaf {
        subject: Some(countersign_ledger::leaf::Subject { id: None, kind: "all".into() }),
        ..leaf
    });
    let emitter =
        Emitter { emitter_id: "gateway-1".into(), first_seq: Decimal(4), last_seq: Decimal(7), missing: Decimal(3) };
    log.manifest(5, 1, vec![emitter]);
    log
}

fn signed(leaves: &[Hash]) -> String {
    let checkpoint =
        Checkpoint { origin: ORIGIN.into(), size: leaves.len() as u64, root: root(leaves), extensions: Vec::new() };
    checkpoint.sign(ORIGIN, &pair(1)).unwrap().note.to_string()
}

fn digests(proof: Vec<Hash>) -> Vec<Digest> {
    proof.into_iter().map(Digest).collect()
}

pub(crate) fn bundle(log: &Log) -> Bundle {
    let hashes = log.hashes();
    let text = |name: &str, opening: &Opening| DisclosedText {
        name: name.into(),
        salt: format!("{:032x}", u128::from_be_bytes(opening.salt)),
        text: opening.text.clone(),
    };
    let event = |index: usize| Event {
        log_index: Decimal(index as u64),
        leaf: String::from_utf8(log.leaves[index].encode().unwrap()).unwrap(),
        disclosed: match index {
            0 => vec![text("identity", &identity())],
            6 => vec![text("purpose", &purpose())],
            _ => Vec::new(),
        },
        proof: digests(inclusion_proof(&hashes, index).unwrap()),
    };
    let keys = format!(
        r#"{{"keys":[{{"alg":"ES256","crv":"P-256","kid":"{KEY_ID}","kty":"EC","use":"sig","x":"8igB_zzYrRiCayEKP_xS-dher4nAJzw3PxpvbhAqa7s","y":"Vao7aZ4ajKqOPVum-rdL9atJKc3pWYYHZN6hSPPPF30"}}]}}"#
    );
    Bundle {
        format: Format::V1,
        origin: ORIGIN.into(),
        log_key: key().to_string(),
        checkpoint: signed(&hashes),
        earlier: Some(Earlier {
            checkpoint: signed(&hashes[..4]),
            proof: digests(consistency_proof(&hashes, 4).unwrap()),
        }),
        selection: Selection::Sponsor(SponsorSelection {
            sponsor_id: ALICE.into(),
            from: FROM(),
            to: TO(),
            first_index: Decimal(5),
            last_index: Decimal(10),
            count: Decimal(1),
        }),
        events: (0..log.leaves.len()).filter(|index| !LEFT_OUT.contains(index)).map(event).collect(),
        policies: vec![PolicyDocument {
            hash: policy_hash(DOCUMENT, ""),
            document: DOCUMENT.into(),
            cedar: String::new(),
        }],
        signing_keys: Some(keys),
    }
}
