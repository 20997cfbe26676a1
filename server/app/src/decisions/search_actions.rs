//! Which actions would be allowed (action search), of those that policies name, at most so many evaluated for a page. A
//! search decides nothing: the caller must ask before it acts, and that is recorded.

use std::{collections::BTreeSet, sync::Arc};

use countersign_core::{decision::Effect, names::ActionName};
use countersign_policy::CompiledPolicy;

use super::{
    decide::{NamedSubjects, Resolved},
    evaluation::{
        evaluate::evaluate,
        request::{DecisionRequest, Subject},
    },
};
use crate::{
    App, Caller, Decide, Error,
    authority::snapshot::{DecisionSource, Snapshot},
    error::no_policy,
};

/// A search for the actions that would be allowed for one caller on one tool.
#[derive(Debug, Clone)]
pub struct SearchActions {
    /// The call; its action is replaced by each action that policies name.
    pub call: Decide,
    /// Search only actions after this one.
    pub after: Option<ActionName>,
    /// Limit of the actions to find.
    pub limit: usize,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionPage {
    /// The actions that would be allowed, sorted.
    pub actions: Vec<ActionName>,
    /// The last action that was evaluated.
    pub reached: Option<ActionName>,
    /// Whether there are no more actions to evaluate.
    pub done: bool,
}

impl SearchActions {
    /// Limit of the actions that are evaluated for one page, which takes a few milliseconds.
    pub const MOST: usize = 500;
}

impl App {
    /// Finds the actions that policies name and would allow. A caller that may not ask Decide may not search; an
    /// unknown caller finds nothing. Records nothing.
    pub async fn search_actions(&self, caller: &Caller, command: SearchActions) -> Result<ActionPage, Error> {
        self.inner.engine.clock.trust()?;
        let Resolved { question, .. } = self.ask(caller, command.call, &mut NamedSubjects::default()).await?;
        let question = Arc::into_inner(question).ok_or(Error::Internal)?;
        // With the current state, and not at all without the database.
        self.inner.authority.look_for_snapshot().await?;
        let snapshot = self.snapshot();
        if snapshot.active.is_none() && snapshot.rollout.is_none() {
            return Err(no_policy());
        }
        search(question, &snapshot, command.after.as_ref(), command.limit)
    }
}

fn search(
    mut question: DecisionRequest,
    snapshot: &Snapshot,
    after: Option<&ActionName>,
    limit: usize,
) -> Result<ActionPage, Error> {
    let named = named(&question, snapshot);
    let mut left = named.iter().filter(|name| after.is_none_or(|after| **name > after.as_str()));
    let mut page = ActionPage { actions: Vec::new(), reached: after.cloned(), done: false };
    for _ in 0..SearchActions::MOST {
        if page.actions.len() >= limit {
            return Ok(page);
        }
        let Some(name) = left.next() else {
            page.done = true;
            return Ok(page);
        };
        question.action = name.parse().map_err(|error| Error::internal("a policy names what is no action", error))?;
        page.reached = Some(question.action.clone());
        let verdict = evaluate(&question, snapshot).map_err(|_| no_policy())?;
        if verdict.outcome.effect == Effect::Allow {
            page.actions.push(question.action.clone());
        }
    }
    Ok(page)
}

/// The actions that a policy in use names.
fn named<'s>(question: &DecisionRequest, snapshot: &'s Snapshot) -> BTreeSet<&'s str> {
    let of = |policy: &'s CompiledPolicy| match &question.subject {
        Subject::Run(credential) => {
            credential.roles().flat_map(|role| policy.actions(role.as_str(), question.tool_id.as_str())).collect()
        }
        Subject::Entity(call) => policy.entity_actions(&call.subject.kind, &call.resource.kind),
        Subject::Unattributed(_) => Vec::new(),
    };
    let rollout = snapshot.rollout.as_ref();
    let baselines = rollout.map(|open| &open.baseline).into_iter().chain(&snapshot.active);
    let policies = baselines.filter_map(|answerer| match answerer {
        DecisionSource::Policy(policy) => Some(policy),
        DecisionSource::Observe | DecisionSource::Deny => None,
    });
    policies.chain(rollout.map(|open| &open.candidate)).flat_map(|policy| of(&policy.compiled)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{credential, policy, question, snapshot};

    const POLICY: &str = "rules:
  - {id: some, role: support, tool: billing, allowed_actions: [charge, refund, close, audit]}
  - {id: ask, role: support, tool: billing, allowed_actions: [erase], require_approval: true}
  - {id: never, effect: deny, allowed_actions: [close]}
  - {id: large, effect: deny, allowed_actions: [audit], when: context.rows > 5}
  - {id: others, role: admin, tool: billing, allowed_actions: [burn]}
  - {id: elsewhere, role: support, tool: search, allowed_actions: [find]}";

    fn asked(tool: &str) -> DecisionRequest {
        question(Subject::Run(credential(&[], &["billing"], false)), tool, "any")
    }

    fn found(page: &ActionPage) -> Vec<&str> {
        page.actions.iter().map(ActionName::as_str).collect()
    }

    #[test]
    fn what_a_decision_would_allow_is_found_and_nothing_else() {
        let standing = snapshot(Some(DecisionSource::Policy(policy(1, POLICY))));
        // `audit` reads a missing attribute, which is an error and not an allowance.
        let page = search(asked("billing"), &standing, None, 100).unwrap();
        assert_eq!((found(&page), page.done), (vec!["charge", "refund"], true));
        let page = search(asked("search"), &standing, None, 100).unwrap();
        assert_eq!((found(&page), page.done), (vec![], true), "the credential does not name the tool");
        let nobody =
            question(Subject::Unattributed(countersign_core::decision::Reason::CredentialInvalid), "billing", "any");
        assert_eq!(found(&search(nobody, &standing, None, 100).unwrap()), [""; 0]);
    }

    #[test]
    fn pages_hold_everything_once_in_order() {
        let names: Vec<String> = (0..1_200).map(|nth| format!("a{nth:04}")).collect();
        let document = format!(
            "rules:\n- {{id: r, role: support, tool: billing, allowed_actions: [{}]}}\n- {{id: even, effect: deny, \
             allowed_actions: [{}]}}\n",
            names.join(", "),
            names.iter().step_by(2).map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        let standing = snapshot(Some(DecisionSource::Policy(policy(1, &document))));
        for limit in [1, 7, 250, 10_000] {
            let (mut all, mut after, mut pages) = (Vec::new(), None::<ActionName>, 0);
            loop {
                let page = search(asked("billing"), &standing, after.as_ref(), limit).unwrap();
                assert!(page.actions.len() <= limit);
                all.extend(page.actions.iter().map(ToString::to_string));
                pages += 1;
                if page.done {
                    break;
                }
                after = page.reached;
            }
            let expected: Vec<_> = names.iter().skip(1).step_by(2).cloned().collect();
            assert_eq!(all, expected, "{limit} a page");
            assert!(pages >= 600 / limit.min(250), "{pages} pages of {limit}");
        }
        let none = search(asked("billing"), &standing, None, 0).unwrap();
        assert_eq!(none, ActionPage { actions: vec![], reached: None, done: false });
    }
}
