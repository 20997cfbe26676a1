//! RecordToolCall and BatchRecordToolCalls: hand reports of how allowed calls ended (outcomes) to the recorder, a batch
//! all or none. Refuses a time in the future. Who may report, and that each outcome counts once, is in
//! `recorder/record_outcome.rs`.

use countersign_core::{clock::uuid_v7, credential::LEEWAY, ids::EventId};
use time::Duration;

use crate::{
    App, Caller, Error, Idempotency, RecordToolCall, ToolCallRecorded,
    recorder::{Entry, OutcomeJob},
};

const METHOD: &str = "RecordToolCall";

impl App {
    /// Records the outcome of an allowed call. The same outcome again is answered alike; another is refused.
    pub async fn record_tool_call(&self, caller: &Caller, report: RecordToolCall) -> Result<ToolCallRecorded, Error> {
        let Entry { job, keyed } = self.outcome_job(caller, report)?;
        self.inner.recorder.submit_one(job, keyed).await
    }

    /// Records up to 100 outcomes in one transaction, all or none.
    pub async fn record_tool_calls(
        &self,
        caller: &Caller,
        reports: Vec<RecordToolCall>,
        idempotency: Option<Idempotency>,
    ) -> Result<Vec<ToolCallRecorded>, Error> {
        self.inner.authn.rates.more(caller, reports.len().saturating_sub(1))?;
        let jobs = reports.into_iter().map(|report| self.outcome_job(caller, report)).collect::<Result<_, _>>()?;
        let keyed = idempotency.map(|idempotency| idempotency.key(&caller.id(), "BatchRecordToolCalls"));
        self.inner.recorder.submit(jobs, keyed).await
    }

    fn outcome_job(&self, caller: &Caller, mut report: RecordToolCall) -> Result<Entry<OutcomeJob>, Error> {
        let now = self.inner.engine.clock.now();
        if report.timestamp.is_some_and(|at| at > now + Duration::seconds(LEEWAY)) {
            return Err(Error::invalid("timestamp", "lies in the future by this server's clock"));
        }
        let keyed = report.idempotency.take().map(|idempotency| idempotency.key(&caller.id(), METHOD));
        let (instance, operator) = match caller {
            Caller::Instance(own) => (Some(own.agent_instance_id), None),
            Caller::Operator(operator) => (None, Some(operator.clone())),
        };
        let event_id = EventId(uuid_v7(now, &*self.inner.engine.entropy));
        Ok(Entry { job: OutcomeJob { event_id, now, instance, operator, report }, keyed })
    }
}
