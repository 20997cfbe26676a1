//! The recorder: makes decisions, grants and outcomes durable before their callers hear of them, many in one
//! transaction, up to a limit. A full queue (`limits.recorder_queue`) refuses (overload, load shedding), and what cannot be recorded is never
//! answered.
//!
//! While one batch commits, the next one gathers. There is no timer, so a lone caller does not wait.

mod batch;
mod batch_spans;
mod cached_from;
mod ceilings;
mod delta;
mod evaluate_again;
pub(crate) mod indicators;
mod job;
mod kept_replies;
mod preload;
mod prepared_decision;
mod record_approval;
mod record_decision;
mod record_grant;
mod record_outcome;
mod record_svid;
mod repeated_request;
mod submission;
mod validate_grant;
mod writer;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use countersign_store::idempotency::Keyed;
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use job::{
    DecisionJob, Entry, Fresh, GrantJob, Granted, Holder, Job, JwtDocument, MintedJwt, MintedX509, OutcomeJob, SvidJob,
    X509Document,
};
pub(crate) use prepared_decision::Preparation;
pub(crate) use record_decision::Foreseen;
pub(crate) use record_grant::not_active;
pub(crate) use record_outcome::{answers, fingerprint};
pub(crate) use submission::Work;
pub(crate) use validate_grant::{limits, of_role};

use batch_spans::BatchSpans;
use submission::Submission;

use crate::{
    Error,
    authority::Authority,
    engine::{request, stops::Pauses},
    recorder::indicators::Indicators,
};

/// Most submissions in one transaction.
const MAX_BATCH: usize = 512;
/// Most jobs in one transaction; a single submission may hold more by itself.
const MAX_JOBS: usize = 1024;

/// So many submissions are worth a commit at once.
const GATHERED_ENOUGH: usize = 32;

/// Where jobs are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Box<dyn Work>>,
}

impl Recorder {
    /// A recorder whose queue takes `capacity` submissions, and its other end.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<Box<dyn Work>>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue }, receiver)
    }

    /// Records `jobs`, all or none, and says what became of them when it is durable. `keyed` is the request id of all together.
    pub(crate) async fn submit<J: Job>(
        &self,
        jobs: Vec<Entry<J>>,
        keyed: Option<Keyed>,
    ) -> Result<Vec<J::Reply>, Error> {
        let (submission, replies) = Submission::new(jobs, keyed, request::current());
        match self.queue.try_send(submission) {
            Ok(()) => replies.await.unwrap_or(Err(Error::StoreUnavailable)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("countersign_recorder_shed_total").increment(1);
                Err(Error::Overloaded)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Error::StoreUnavailable),
        }
    }

    /// Records one job.
    pub(crate) async fn submit_one<J: Job>(&self, job: J, keyed: Option<Keyed>) -> Result<J::Reply, Error> {
        let mut replies = self.submit(vec![Entry { job, keyed: None }], keyed).await?;
        replies.pop().ok_or_else(|| Error::internal("a job has no answer", "recorder"))
    }
}

/// Runs until `stop`; then takes nothing new, and returns when all that was handed in is recorded.
pub(crate) async fn run(
    authority: Arc<Authority>,
    indicators: Arc<Indicators>,
    mut queue: mpsc::Receiver<Box<dyn Work>>,
    stop: CancellationToken,
) {
    let mut gathered = Vec::with_capacity(MAX_BATCH);
    let mut pauses = Pauses::default();
    let mut writer = writer::Writer::new(authority.clone(), indicators);
    loop {
        // What the last batch left is written before anything is waited for.
        while gathered.is_empty() {
            let received = tokio::select! {
                biased;
                () = stop.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                received = queue.recv_many(&mut gathered, MAX_BATCH) => received,
            };
            if received == 0 {
                return;
            }
        }
        pauses.give_way(&authority.engine.stops).await;
        gather(&mut queue, &mut gathered).await;
        let most = most(&gathered);
        // A panic while writing must not stop the recorder: its transaction is gone, and no caller was answered.
        metrics::gauge!("countersign_recorder_queue").set(u32::try_from(queue.len()).unwrap_or(u32::MAX));
        let begun = Instant::now();
        let spans = BatchSpans::of(&gathered[..most]);
        let writing = AssertUnwindSafe(writer.write(&mut gathered[..most], spans.trace())).catch_unwind();
        let written = spans.around(writing).await;
        metrics::histogram!("countersign_recorder_commit_duration_seconds").record(begun.elapsed());
        let written = written
            .unwrap_or_else(|_| Err(spans.log(|| Error::internal("the recorder panicked", "its batch is dropped"))));
        let done = *written.as_ref().unwrap_or(&most);
        spans.end(&gathered[..done], written.is_err());
        metrics::histogram!("countersign_recorder_batch_size")
            .record(f64::from(u32::try_from(done).unwrap_or(u32::MAX)));
        // What the batch had no time for begins the next one, in its order.
        for work in gathered.drain(..done) {
            work.answer(written.as_ref().map(drop).map_err(shared));
        }
    }
}

/// Callers that were just answered come back within a turn or two of the executor: worth a fifth more throughput, as long as
/// few have gathered. Beyond that, waiting would only make callers, server and database take turns.
async fn gather(queue: &mut mpsc::Receiver<Box<dyn Work>>, gathered: &mut Vec<Box<dyn Work>>) {
    for _ in 0..2 {
        if gathered.len() >= GATHERED_ENOUGH {
            break;
        }
        tokio::task::yield_now().await;
        while gathered.len() < MAX_BATCH
            && let Ok(submission) = queue.try_recv()
        {
            gathered.push(submission);
        }
    }
}

/// How many of these one batch takes: at least one.
fn most(works: &[Box<dyn Work>]) -> usize {
    let mut jobs = 0;
    let fitting = works.iter().take_while(|work| {
        jobs += work.jobs();
        jobs <= MAX_JOBS
    });
    fitting.count().max(1)
}

/// The error of a batch, as each of its callers is told.
fn shared(error: &Error) -> Error {
    match error {
        Error::StoreUnavailable | Error::QueryTooSlow => Error::StoreUnavailable,
        Error::NotReady(why) => Error::NotReady(why.clone()),
        Error::Conflict(why) => Error::Conflict(why.clone()),
        _ => Error::Internal,
    }
}
