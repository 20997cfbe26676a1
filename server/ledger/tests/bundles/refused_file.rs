//! `clients/conformance/evidence-refused.json`: what must be refused, as edits of the bundle that holds, and each refusal.

use countersign_ledger::evidence::{Bundle, EvidenceError, Expected, verify};
use serde_json::{Map, Value, json};

use super::{
    bundle,
    forgeries::{EDITS, Forgery, forgeries},
    log,
};

const ABOUT: &str = "Edits of evidence.json, and how each is refused without an expected key. text: the first occurrence of \
                     one text is replaced by the other. remove, then set: members by JSON pointer. sealed: sha256 is made \
                     anew. What a parser says ends before ', at byte' or ', at line'.";

/// The content of the file.
pub(crate) fn text() -> String {
    let good = bundle(&log());
    let bytes = String::from_utf8(good.write().unwrap()).unwrap();
    let mut cases: Vec<Value> = Vec::new();
    for (from, to, _) in EDITS {
        let error = verify(bytes.replacen(from, to, 1).as_bytes(), Expected::default()).unwrap_err();
        cases.push(json!({"name": format!("{from} becomes {to}"), "refused": refusal(&error), "sealed": false, "text": [from, to]}));
    }
    for Forgery { name, bundle, .. } in forgeries() {
        let error = verify(&bundle.write().unwrap(), Expected::default()).unwrap_err();
        let mut case = edit(&good, &bundle);
        case["name"] = name.into();
        case["refused"] = refusal(&error);
        case["sealed"] = true.into();
        cases.push(case);
    }
    serde_json::to_string_pretty(&json!({"about": ABOUT, "cases": cases})).unwrap() + "\n"
}

fn edit(good: &Bundle, bundle: &Bundle) -> Value {
    if good.events == bundle.events && good.selection != bundle.selection {
        // As a text, which keeps the order of its members.
        let text = [good, bundle].map(|bundle| serde_json::to_string(&bundle.selection).unwrap());
        return json!({"text": text});
    }
    let (mut remove, mut set) = (Vec::new(), Map::new());
    differences("", &value(good), &value(bundle), &mut remove, &mut set);
    json!({"remove": remove, "set": set})
}

fn value(bundle: &Bundle) -> Value {
    serde_json::to_value(bundle).unwrap()
}

fn refusal(error: &EvidenceError) -> Value {
    let what = error.what.split(", at byte").flat_map(|what| what.split(", at line")).next();
    let index = error.log_index.map(|index| index.to_string());
    json!({"damaged": error.damaged, "log_index": index, "member": error.member, "what": what})
}

/// What makes `to` of `from`.
fn differences(at: &str, from: &Value, to: &Value, remove: &mut Vec<String>, set: &mut Map<String, Value>) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) if to.keys().all(|key| from.contains_key(key)) => {
            for (key, before) in from {
                let at = format!("{at}/{key}");
                match to.get(key) {
                    Some(after) => differences(&at, before, after, remove, set),
                    None => remove.push(at),
                }
            }
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            for (nth, (before, after)) in from.iter().zip(to).enumerate() {
                differences(&format!("{at}/{nth}"), before, after, remove, set);
            }
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() + 1 => {
            let nth = from.iter().zip(to).take_while(|(before, after)| before == after).count();
            remove.push(format!("{at}/{nth}"));
            for (before, after) in from[nth + 1..].iter().zip(&to[nth..]) {
                assert_eq!(before, after, "one entry is left out");
            }
        }
        _ if from == to => {}
        _ => {
            // An object would lose the order of its members; those of a disclosed text are in the order of their names.
            assert!(!to.is_object(), "{at}");
            set.insert(at.to_owned(), to.clone());
        }
    }
}
