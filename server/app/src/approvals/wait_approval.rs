//! WaitApproval (long poll): returns when a person has answered, on whichever server, or PENDING when the wait is over.
//! A run can wait only for approvals of its own chain. Waiting callers hold no database connection: one query asks for
//! all of them.

use countersign_core::{
    approval::{Approval, ApprovalState, Call, Private},
    ids::ApprovalId,
};
use countersign_store::approval;
use tokio::time::{Duration, Instant, timeout_at};

use crate::{App, Caller, Error};

impl App {
    /// The approval, once it no longer waits for an answer, or after `wait`, when it is still PENDING. An instance can
    /// wait for approvals of its own chain.
    pub async fn wait_approval(&self, caller: &Caller, id: ApprovalId, wait: Duration) -> Result<Approval, Error> {
        let end = Instant::now() + wait;
        loop {
            let mut answered = self.inner.approval_waits.enter(id);
            let found = self.read_approval(id).await?;
            let visible = found.filter(|found| match caller {
                Caller::Operator(operator) => {
                    operator.meets(&found.call.sponsor_id, std::slice::from_ref(&found.call.tool_id))
                }
                Caller::Instance(own) => found.root_instance_id == own.root_instance_id(),
            });
            let approval = visible.ok_or_else(|| Error::not_found("approval", id))?;
            if approval.state != ApprovalState::Pending || Instant::now() >= end {
                // The caller asked, or is an enforcement point; it does not answer the approval.
                return Ok(Approval {
                    arguments: None,
                    call: Call { context: Private::default(), ..approval.call },
                    ..approval
                });
            }
            // After waking or after the time, the row has the state.
            drop(timeout_at(end, answered.changed()).await);
        }
    }

    /// Wakes the callers whose approval was answered.
    pub(crate) async fn wake_approval_waits(&self) -> Result<(), Error> {
        let waits = &self.inner.approval_waits;
        let ids: Vec<_> = waits.waited_for().into_iter().map(|id| id.0).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let now = self.inner.engine.clock.now();
        let answered = approval::answered(&mut *self.inner.engine.store.connection().await?, &ids, now).await?;
        for id in answered {
            waits.wake(id);
        }
        Ok(())
    }
}
