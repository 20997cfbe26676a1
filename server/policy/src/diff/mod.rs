//! The differences between two policies (diff), in words: one sentence each, part by part.

mod item;
mod sections;

use std::collections::HashMap;

use crate::compiled::CompiledPolicy;
use item::Item;

/// The differences of `new` from `old`, one sentence each: roles, tools, context, types, entities, rules, raw Cedar and
/// the rollout, in this order. Empty if both mean the same, however they are written (comments, order, explicit
/// defaults).
///
/// Within a part, removed and changed items come in the old order, then added ones in the new order. Texts of the
/// documents are quoted and cut, so that no sentence is as long as a document.
#[must_use]
pub fn diff(old: &CompiledPolicy, new: &CompiledPolicy) -> Vec<String> {
    let mut sentences = Vec::new();
    for section in sections::ALL {
        sentences.extend(section.turned(old, new));
        compare(&(section.items)(old), &(section.items)(new), &mut sentences);
    }
    sentences
}

fn compare(old: &[Item], new: &[Item], sentences: &mut Vec<String>) {
    let by_name = |items| -> HashMap<String, usize> {
        let names = <[Item]>::iter(items).enumerate().map(|(nth, item)| (item.name.clone(), nth));
        names.collect()
    };
    let (in_old, in_new) = (by_name(old), by_name(new));
    for was in old {
        match in_new.get(&was.name) {
            Some(nth) => was.changes(&new[*nth], sentences),
            None => sentences.push(was.whole("is gone")),
        }
    }
    sentences.extend(new.iter().filter(|item| !in_old.contains_key(&item.name)).map(|item| item.whole("is added")));
}
