//! Tools and actions that Cedar text spells in another case (upper, lower) than the rest of the document.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::Policy;

use super::{
    draft::{Draft, Findings, Origin},
    entity::Kind,
};
use crate::document::{NameOf, differs};

/// A tool or an action, whatever the case of its name.
#[derive(PartialEq, Eq, Hash)]
struct AnyCase {
    kind: Kind,
    lower_case: String,
}

/// How a name was first written, and in which rule.
struct FirstSpelling<'d> {
    name: Arc<str>,
    rule: &'d str,
}

/// Reports them. A tool or an action under `rules` was checked when it was read.
pub(crate) fn check(drafts: &[Draft], findings: &mut Findings<'_>) {
    let mut first = HashMap::new();
    for draft in drafts {
        let scope = &draft.scope;
        let scoped = scope.tool.iter().map(|tool| (Kind::Tool, tool.clone()));
        let scoped = scoped.chain(scope.actions.iter().flatten().map(|action| (Kind::Action, action.clone())));
        for (kind, name) in scoped {
            let other = other(&mut first, kind, &name, &draft.id);
            if let (Some(message), Origin::Cedar { .. }) = (other, &draft.origin) {
                let offset = mention(draft, &name, findings);
                findings.report(draft, offset, message);
            }
        }
        for uid in draft.check.iter().flat_map(Policy::entity_literals) {
            let name: Arc<str> = uid.id().unescaped().into();
            let Some(kind @ (Kind::Tool | Kind::Action)) = Kind::of(&uid) else { continue };
            let in_scope = scope.tool.as_ref() == Some(&name) || scope.actions.iter().flatten().any(|one| *one == name);
            if let (Some(message), false) = (other(&mut first, kind, &name, &draft.id), in_scope) {
                let offset = mention(draft, &name, findings);
                findings.report(draft, offset, message);
            }
        }
    }
}

fn other<'d>(
    first: &mut HashMap<AnyCase, FirstSpelling<'d>>,
    kind: Kind,
    name: &Arc<str>,
    rule: &'d Arc<str>,
) -> Option<String> {
    let any_case = AnyCase { kind, lower_case: name.to_ascii_lowercase() };
    let first = first.entry(any_case).or_insert_with(|| FirstSpelling { name: name.clone(), rule });
    let named = if kind == Kind::Tool { NameOf::Tool } else { NameOf::Action };
    (first.name != *name).then(|| differs(named, name, &first.name, &format!("in rule {:?}", first.rule)))
}

/// Where in its `check` a draft first contains this name in quotes.
fn mention(draft: &Draft, name: &str, findings: &Findings<'_>) -> Option<usize> {
    let text = draft.check.as_ref().filter(|_| !findings.is_full())?.to_string();
    text.find(&format!("{name:?}"))
}
