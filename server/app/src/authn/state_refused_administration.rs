//! Takes note of a refused administration (metric, and a log line for the first), and writes the counts of
//! `refused_administration.rs` into the custody log.

use countersign_ledger::leaf::{Decimal, Figure, Kind, Leaf, Subject};

use super::refused_administration::{Refused, RefusedAdministration, Run, Stated, Who};
use crate::{
    App, Caller, Error,
    engine::transaction::{Change, ChangeTx},
};

impl Stated {
    fn leaf(&self, tx: &ChangeTx) -> Leaf<'static> {
        let base = match &self.who {
            Who::Operator(Some(operator)) => tx.leaf(Kind::AdministrationRefused, operator),
            Who::Operator(None) | Who::Chain(_) => tx.own_leaf(Kind::AdministrationRefused),
        };
        let root = match &self.who {
            Who::Chain(root) => *root,
            Who::Operator(_) => None,
        };
        // Only for a chain that is counted separately; other counts belong to several runs.
        let run = self.run.as_ref().filter(|_| root.is_some());
        Leaf {
            agent_instance_id: run.map(|run| run.agent_instance_id.to_string().into()),
            figures: vec![Figure { name: "calls".into(), value: Decimal(self.calls) }],
            reason: Some(self.refused.reason.to_string().into()),
            root_instance_id: root.map(|root| root.to_string().into()),
            sponsor_id: run.map(|run| run.sponsor_id.to_string().into()),
            subject: Some(Subject { id: self.refused.method.map(Into::into), kind: "method".into() }),
            ..base
        }
    }
}

/// Writes refusals.
struct State(Vec<Stated>);

impl Change for State {
    const METHOD: &'static str = "StateRefusedAdministration";
    type Answer = ();

    async fn apply(&self, tx: &mut ChangeTx) -> Result<(), Error> {
        for stated in &self.0 {
            let leaf = stated.leaf(tx);
            tx.append(leaf, "")?;
        }
        Ok(())
    }
}

impl App {
    /// Counts a refusal of a method that changes something, for the custody log, and logs a line if it is the first
    /// since the last event about the same.
    pub fn note_refused_administration(&self, refused: &RefusedAdministration<'_>) {
        let RefusedAdministration { caller, peer, method, reason } = *refused;
        metrics::counter!("countersign_administration_refused_total", "reason" => reason.to_owned()).increment(1);
        let run = match caller {
            Caller::Operator(_) => None,
            Caller::Instance(run) => {
                Some(Run { agent_instance_id: run.agent_instance_id, sponsor_id: run.sponsor_id.clone() })
            }
        };
        let of = Refused { method: Some(method), reason: reason.into() };
        if self.inner.authn.refused_administrations.add(Who::of(caller), of, 1, run) {
            let (caller, peer) = (caller.id(), peer.map(|peer| peer.to_string()));
            tracing::warn!(caller, peer, method, reason, "administration refused; the custody log counts repetitions");
        }
    }

    /// Records refusals: those that are due, or `all`.
    pub(crate) async fn state_refused_administration(&self, all: bool) -> Result<(), Error> {
        let refused = &self.inner.authn.refused_administrations;
        let state = State(refused.take(all));
        if state.0.is_empty() {
            return Ok(());
        }
        let stated = self.change("server", None, &state).await;
        if stated.is_err() {
            refused.take_back(state.0);
        }
        stated
    }
}
