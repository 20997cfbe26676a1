//! Signed notes, checkpoints and tlog-proofs: the vectors of the specifications, and what each refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_ledger::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    merkle::{Hash, empty_root, inclusion_proof, leaf_hash, root},
    note::{KeyError, MAX_NOTE_BYTES, Note, NoteError, NoteSignature, VerifierKey},
    tlog_proof::{TlogProof, TlogProofError},
};

/// The example of C2SP signed-note.
const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
/// Key and note of the tests of golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ORIGIN: &str = "countersign.example/log";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key() -> VerifierKey {
    VerifierKey::of(ORIGIN, &pair(1)).unwrap()
}

fn leaves(size: u8) -> Vec<Hash> {
    (0..size).map(|nth| leaf_hash(&[nth])).collect()
}

fn checkpoint(size: u8) -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size: size.into(), root: root(&leaves(size)), extensions: Vec::new() }
}

#[test]
fn published_notes_verify() {
    for (key, note) in [(KEY, NOTE), (PETER, PETERS)] {
        let key = VerifierKey::parse(key).unwrap();
        let read = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(read.verify(&[key]), Ok(()));
        assert_eq!(read.to_string(), note);
    }
    assert_eq!(VerifierKey::parse(KEY).unwrap().to_string(), KEY);
    let strangers = VerifierKey::parse(PETER).unwrap();
    assert_eq!(Note::parse(NOTE.as_bytes()).unwrap().verify(&[strangers]), Err(NoteError::Unsigned));
}

#[test]
fn no_bit_of_a_note_can_flip() {
    let key = VerifierKey::parse(KEY).unwrap();
    for at in 0..NOTE.len() {
        for bit in 0..8 {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let verdict = Note::parse(&bytes).and_then(|note| note.verify(std::slice::from_ref(&key)));
            assert!(verdict.is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let line = &NOTE[NOTE.find('\u{2014}').unwrap()..];
    let many = |count: usize| format!("text\n\n{}", line.repeat(count));
    assert!(Note::parse(many(16).as_bytes()).is_ok());
    let id = "Uw2QOg==";
    for (note, refusal) in [
        (String::new(), NoteError::Form),
        ("text\n".into(), NoteError::Form),
        ("text\n\n".into(), NoteError::Form),
        (NOTE.trim_end().into(), NoteError::Form),
        (format!("text\r\n\n{line}"), NoteError::Control(4)),
        (format!("text\t\n\n{line}"), NoteError::Control(4)),
        (many(17), NoteError::TooManySignatures),
        (many(700), NoteError::TooLarge(many(700).len())),
        (format!("text\n\n{line}text\n"), NoteError::SignatureLine(2)),
        (format!("text\n\n\u{2014}{}", &line[4..]), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014} a+b Uw2QOgA=\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014} a\u{a0}b Uw2QOgA=\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014}  Uw2QOgA=\n".to_owned(), NoteError::SignatureLine(1)),
        (format!("text\n\n\u{2014} a {id}\n"), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014} a Uw2QOgB=\n".into(), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014} a Uw2QOgA\n".into(), NoteError::SignatureLine(1)),
        ("text\n\n\u{2014} a  Uw2QOgA=\n".into(), NoteError::SignatureLine(1)),
        ("text\n\n- a Uw2QOgA=\n".into(), NoteError::SignatureLine(1)),
    ] {
        assert_eq!(Note::parse(note.as_bytes()), Err(refusal), "{note:?}");
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(NoteError::NotUtf8(2)));
    assert_eq!(Note::parse(&vec![b'\n'; MAX_NOTE_BYTES + 1]), Err(NoteError::TooLarge(MAX_NOTE_BYTES + 1)));
    let no_line_feed = Note::sign("text", ORIGIN, &pair(1));
    assert_eq!(no_line_feed, Err(NoteError::Form));
    assert_eq!(Note::sign("a\tb\n", ORIGIN, &pair(1)), Err(NoteError::Control(1)));
}

#[test]
fn what_is_no_key_is_refused() {
    let upper = KEY.replace("530d903a", "530D903A");
    let other = KEY.replace("530d903a", "530d903b");
    let cosigner = KEY.replace("+Aeky", "+BOky");
    for (text, refusal) in [
        ("", KeyError::Form),
        ("a+00000000", KeyError::Form),
        ("a+00000000+AQ", KeyError::Form),
        ("a+00000000+AQ==", KeyError::Type),
        (cosigner.as_str(), KeyError::Type),
        (&upper, KeyError::Id),
        (&other, KeyError::Id),
        (&KEY[11..], KeyError::Id),
        (&KEY[15..], KeyError::Name),
        (&KEY.replace("/foo", " foo"), KeyError::Name),
    ] {
        assert_eq!(VerifierKey::parse(text), Err(refusal), "{text}");
    }
}

#[test]
fn unknown_signatures_are_ignored_and_bad_ones_not() {
    let mut note = Note::sign("text\n", ORIGIN, &pair(1)).unwrap();
    let signature = note.signatures()[0].clone();
    // The name of a known key with another id, and its id with another name, are other keys.
    note.add(NoteSignature { id: signature.id ^ 1, ..signature.clone() }).unwrap();
    note.add(NoteSignature { name: "other".into(), ..signature.clone() }).unwrap();
    assert_eq!(note.verify(&[key()]), Ok(()));
    note.add(NoteSignature { signature: vec![0; 64], ..signature.clone() }).unwrap();
    let bad = NoteError::BadSignature { name: ORIGIN.into(), id: signature.id };
    assert_eq!(note.verify(&[key()]), Err(bad.clone()));
    let mut short = Note::sign("text\n", ORIGIN, &pair(1)).unwrap();
    short.add(NoteSignature { signature: vec![0], ..signature }).unwrap();
    assert_eq!(short.verify(&[key()]), Err(bad));
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let read = Checkpoint::parse(text).unwrap();
    assert_eq!((read.size, read.to_string().as_str()), (20_852_163, text));
    let extended = format!("{text}timestamp 7\n");
    assert_eq!(Checkpoint::parse(&extended).unwrap().extensions, ["timestamp 7"]);
    let with = |size: &str| text.replace("20852163", size);
    for size in ["00", "01", "-1", "+1", " 1", "1 ", "x", "9223372036854775808", "18446744073709551616"] {
        assert_eq!(Checkpoint::parse(&with(size)), Err(CheckpointError::Size), "{size}");
    }
    assert!(Checkpoint::parse(&with("9223372036854775807")).is_ok());
    assert_eq!(Checkpoint::parse(&with("0")), Err(CheckpointError::EmptyRoot));
    for lines in ["", "\n", "a\n1\n", "a\n1", &text[1..].replace("xample.com/behind-the-sofa", ""), text.trim_end()] {
        assert_eq!(Checkpoint::parse(lines), Err(CheckpointError::Lines), "{lines:?}");
    }
    assert_eq!(Checkpoint::parse(&format!("{text}\nmore\n")), Err(CheckpointError::Lines));
    for root in ["CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I", "AA=="]
    {
        let text = text.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", root);
        assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Root), "{root}");
    }
}

#[test]
fn a_checkpoint_opens_with_its_key_and_origin_only() {
    let signed = checkpoint(9).sign(ORIGIN, &pair(1)).unwrap();
    let bytes = signed.note.to_string().into_bytes();
    assert_eq!(SignedCheckpoint::open(&bytes, &key(), ORIGIN), Ok(signed));
    let other = VerifierKey::of(ORIGIN, &pair(2)).unwrap();
    assert_eq!(SignedCheckpoint::open(&bytes, &other, ORIGIN), Err(NoteError::Unsigned.into()));
    let elsewhere = SignedCheckpoint::open(&bytes, &key(), "other.example");
    assert_eq!(elsewhere, Err(CheckpointError::OtherLog { found: ORIGIN.into(), wanted: "other.example".into() }));
    let empty = Checkpoint { root: empty_root(), ..checkpoint(0) };
    assert!(empty.sign(ORIGIN, &pair(1)).is_ok());
    for origin in ["", "a\nb"] {
        assert!(Checkpoint { origin: origin.into(), ..checkpoint(1) }.sign(ORIGIN, &pair(1)).is_err());
    }
}

/// The example of C2SP tlog-cosignature.
#[test]
fn cosignatures_are_read_and_kept() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    let signed = SignedCheckpoint { checkpoint: Checkpoint::parse(note.text()).unwrap(), note };
    let cosignatures: Vec<_> = signed.cosignatures(&key()).collect();
    assert_eq!(cosignatures.len(), 1);
    assert_eq!((cosignatures[0].name.as_str(), cosignatures[0].time), ("witness.example.com/w1", 0x6418_50cb));
}

fn proof() -> TlogProof {
    let checkpoint = checkpoint(13).sign(ORIGIN, &pair(1)).unwrap().note;
    TlogProof { extra: None, index: 5, hashes: inclusion_proof(&leaves(13), 5).unwrap(), checkpoint }
}

#[test]
fn a_tlog_proof_proves_its_leaf_only() {
    let extra = TlogProof { extra: Some(b"more".to_vec()), ..proof() };
    for proof in [proof(), extra] {
        let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&[5], &key(), ORIGIN).unwrap().checkpoint.size, 13);
        assert!(matches!(read.verify(&[6], &key(), ORIGIN), Err(TlogProofError::Proof(_))));
        assert!(matches!(read.verify(&[5], &key(), "other"), Err(TlogProofError::Checkpoint(_))));
        let moved = TlogProof { index: 6, ..read };
        assert!(matches!(moved.verify(&[5], &key(), ORIGIN), Err(TlogProofError::Proof(_))));
    }
}

#[test]
fn no_bit_of_a_tlog_proof_can_flip() {
    let text = proof().to_string();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let verdict = TlogProof::parse(&bytes).and_then(|proof| proof.verify(&[5], &key(), ORIGIN));
            assert!(verdict.is_err(), "byte {at}, bit {bit}");
        }
        assert!(TlogProof::parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_is_no_tlog_proof_is_refused() {
    let text = proof().to_string();
    let with = |from: &str, to: &str| text.replacen(from, to, 1);
    let hash = text.lines().nth(2).unwrap().to_owned() + "\n";
    for (text, refusal) in [
        (with("@v1", "@v2"), TlogProofError::Header),
        (with("index 5", "index 05"), TlogProofError::Index),
        (with("index 5\n", ""), TlogProofError::Index),
        (with("index 5", "index 9223372036854775807"), TlogProofError::Index),
        (with("index 5", "extra \nindex 5"), TlogProofError::Extra),
        (with("index 5", "extra\nindex 5"), TlogProofError::Extra),
        (with("index 5", "extra QQ\nindex 5"), TlogProofError::Extra),
        (with("index 5", "extra QQ==\nextra QQ==\nindex 5"), TlogProofError::Index),
        (with("index 5\n", "index 5\nx\n"), TlogProofError::Hash(1)),
        (with(&hash, &hash.repeat(64)), TlogProofError::TooManyHashes),
        (with("\n\n", "\n"), TlogProofError::NoCheckpoint),
        ("x".repeat(200_000), TlogProofError::TooLarge(200_000)),
        (String::new(), TlogProofError::NoCheckpoint),
    ] {
        let read = TlogProof::parse(text.as_bytes());
        match (&read, &refusal) {
            // The empty line that is left belongs to the note.
            (Err(_), TlogProofError::NoCheckpoint) if !text.is_empty() => {}
            _ => assert_eq!(read, Err(refusal), "{text}"),
        }
    }
}
