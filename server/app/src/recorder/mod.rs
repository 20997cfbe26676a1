//! The recorder: makes decisions, grants and outcomes durable before anybody hears of them, many in one transaction.
//!
//! While one batch commits, the next one gathers. There is no timer, so a lone caller waits for nobody. A full queue sheds
//! load, and what cannot be recorded is never answered.

mod approval;
mod batch;
mod cached;
mod ceilings;
mod grant;
pub(crate) mod indicators;
mod job;
mod outcome;
mod preload;
mod prepared;
mod replay;
mod svid;
mod validate;
mod writer;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use grant::not_active;
pub(crate) use job::{Document, Fresh, GrantJob, Granted, Holder, Job, JobResult, Keyed, Minted, OutcomeJob, SvidJob};
pub(crate) use outcome::{answers, fingerprint};
pub(crate) use prepared::Prepared;
pub(crate) use validate::{limits, of_role};

use crate::{
    Error,
    authority::Authority,
    engine::{arrival::arrived, stops::Pauses},
    recorder::indicators::Indicators,
};

/// Most submissions in one transaction.
const MAX_BATCH: usize = 512;
/// Most jobs in one transaction; a single submission may hold more by itself.
const MAX_JOBS: usize = 1024;

/// So many submissions are worth a commit at once.
const GATHERED_ENOUGH: usize = 32;

/// Jobs that are recorded together or not at all, in order.
pub(crate) struct Queued {
    work: job::Submission,
    reply: oneshot::Sender<Result<Vec<JobResult>, Error>>,
}

/// Where jobs are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Queued>,
}

impl Recorder {
    /// A recorder whose queue takes `capacity` submissions, and its other end.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue }, receiver)
    }

    /// Records `jobs`, and says what became of them when it is durable.
    pub(crate) async fn submit(
        &self,
        jobs: Vec<(Job, Option<Keyed>)>,
        keyed: Option<Keyed>,
    ) -> Result<Vec<JobResult>, Error> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Queued { work: job::Submission { jobs, keyed, arrived: arrived() }, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(Error::StoreUnavailable)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("countersign_recorder_shed_total").increment(1);
                Err(Error::Overloaded)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Error::StoreUnavailable),
        }
    }

    /// Records one job.
    pub(crate) async fn submit_one(&self, job: Job, keyed: Option<Keyed>) -> Result<JobResult, Error> {
        let mut done = self.submit(vec![(job, None)], keyed).await?;
        done.pop().ok_or_else(|| Error::internal("a job has no answer", "recorder"))
    }
}

/// Runs until `stop`; then takes nothing new, and returns when all that was handed in is recorded.
pub(crate) async fn run(
    authority: Arc<Authority>,
    indicators: Arc<Indicators>,
    mut queue: mpsc::Receiver<Queued>,
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
        let (mut works, mut replies): (Vec<_>, Vec<_>) =
            gathered.drain(..).map(|submission| (submission.work, submission.reply)).unzip();
        let most = most(&works);
        // A panic while writing must not stop the recorder: its transaction is gone, and nobody was answered.
        let written = AssertUnwindSafe(writer.write(&works[..most])).catch_unwind().await;
        let written = written.unwrap_or_else(|_| Err(Error::internal("the recorder panicked", "its batch is dropped")));
        let done = written.as_ref().map_or(most, Vec::len);
        metrics::histogram!("countersign_recorder_batch_size")
            .record(f64::from(u32::try_from(done).unwrap_or(u32::MAX)));
        // What the batch had no time for begins the next one, in its order.
        let left = works.split_off(done).into_iter().zip(replies.split_off(done));
        gathered.extend(left.map(|(work, reply)| Queued { work, reply }));
        answer(replies, written);
    }
}

/// Callers that were just answered come back within a turn or two of the executor: worth a fifth more throughput, as long as
/// few have gathered. Beyond that, waiting would only make callers, server and database take turns.
async fn gather(queue: &mut mpsc::Receiver<Queued>, gathered: &mut Vec<Queued>) {
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
fn most(works: &[job::Submission]) -> usize {
    let mut jobs = 0;
    let validate = works.iter().take_while(|work| {
        jobs += work.jobs.len();
        jobs <= MAX_JOBS
    });
    validate.count().max(1)
}

fn answer(
    replies: Vec<oneshot::Sender<Result<Vec<JobResult>, Error>>>,
    written: Result<Vec<Result<Vec<JobResult>, Error>>, Error>,
) {
    match written {
        // A caller that went away has its answer in the log.
        Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(answer))),
        Err(error) => {
            let shared = || match error {
                Error::StoreUnavailable | Error::QueryTooSlow => Error::StoreUnavailable,
                Error::NotReady(ref why) => Error::NotReady(why.clone()),
                Error::Conflict(ref why) => Error::Conflict(why.clone()),
                _ => Error::Internal,
            };
            for reply in replies {
                drop(reply.send(Err(shared())));
            }
        }
    }
}
