//! Jobs that are recorded together or not at all, in order, and who waits for what becomes of them; and for how long a
//! batch takes in more of them.

use std::time::{Duration, Instant};

use countersign_store::{idempotency::Keyed, instance::Holding};
use tokio::sync::oneshot;

use super::{
    batch::BatchBuilder,
    job::{Entry, Job},
    kept_replies,
    preload::Wanted,
};
use crate::{Error, engine::request::Request};

/// After so long no more is added to a batch: what it holds is still to be written while it holds the log head.
const LONGEST_STAGING: Duration = Duration::from_millis(20);

/// What becomes of the jobs of a submission.
pub(super) type Replies<J> = Result<Vec<<J as Job>::Reply>, Error>;

/// Jobs of one kind.
pub(super) struct Submission<J: Job> {
    jobs: Vec<Entry<J>>,
    /// The request id of all of them together.
    keyed: Option<Keyed>,
    /// The request that it is for.
    request: Request,
    caller: oneshot::Sender<Replies<J>>,
    /// What the caller is told once the batch stands.
    replies: Option<Replies<J>>,
}

impl<J: Job> Submission<J> {
    /// A submission for `request`, and where its replies arrive.
    pub(super) fn new(
        jobs: Vec<Entry<J>>,
        keyed: Option<Keyed>,
        request: Request,
    ) -> (Box<Self>, oneshot::Receiver<Replies<J>>) {
        let (caller, replies) = oneshot::channel();
        (Box::new(Self { jobs, keyed, request, caller, replies: None }), replies)
    }

    fn record_all(&self, batch: &mut BatchBuilder<'_>) -> Replies<J> {
        let Self { jobs, keyed, request, .. } = self;
        if let Some(kept) = batch.kept(keyed.as_ref(), |text| kept_replies::read_all(J::KEPT_AS, text)) {
            // The same request: as many jobs, in the same order.
            return jobs.iter().zip(kept?).map(|(entry, kept)| entry.job.again(batch, kept)).collect();
        }
        batch.all_or_none(|batch| {
            let replies =
                jobs.iter().map(|entry| record(entry, batch, request.arrived)).collect::<Result<Vec<_>, _>>()?;
            batch.keep(keyed.as_ref(), || kept_replies::write_all(J::KEPT_AS, &replies))?;
            Ok(replies)
        })
    }
}

fn record<J: Job>(entry: &Entry<J>, batch: &mut BatchBuilder<'_>, arrived: Instant) -> Result<J::Reply, Error> {
    let Entry { job, keyed } = entry;
    if let Some(kept) = batch.kept(keyed.as_ref(), |text| kept_replies::read(J::KEPT_AS, text)) {
        return job.again(batch, kept?);
    }
    let reply = job.record(batch, arrived)?;
    batch.keep(keyed.as_ref(), || kept_replies::write(J::KEPT_AS, &reply))?;
    Ok(reply)
}

/// A submission of any kind.
pub(crate) trait Work: Send + Sync {
    /// How many jobs it holds.
    fn jobs(&self) -> usize;
    /// The request that it is for.
    fn request(&self) -> &Request;
    /// Adds what its jobs need of the database, evaluated at `epoch`.
    fn wants(&self, wanted: &mut Wanted, epoch: i64);
    /// What its jobs add live instances to, once for each instance.
    fn adds_to(&self) -> Vec<Holding>;
    /// Adds all its jobs to the batch, or none. Again where a batch did not stand.
    fn stage(&mut self, batch: &mut BatchBuilder<'_>);
    /// Tells the caller what became of it: what was staged, if the batch was `written`.
    fn answer(self: Box<Self>, written: Result<(), Error>);
}

impl<J: Job> Work for Submission<J> {
    fn jobs(&self) -> usize {
        self.jobs.len()
    }

    fn request(&self) -> &Request {
        &self.request
    }

    fn wants(&self, wanted: &mut Wanted, epoch: i64) {
        wanted.keys.extend(self.keyed.iter().map(|keyed| keyed.key.clone()));
        for Entry { job, keyed } in &self.jobs {
            wanted.keys.extend(keyed.iter().map(|keyed| keyed.key.clone()));
            job.wants(wanted, epoch);
        }
    }

    fn adds_to(&self) -> Vec<Holding> {
        self.jobs.iter().flat_map(|entry| entry.job.adds_to()).collect()
    }

    fn stage(&mut self, batch: &mut BatchBuilder<'_>) {
        let replies = self.request.log.in_scope(|| self.record_all(batch));
        self.replies = Some(replies);
    }

    fn answer(self: Box<Self>, written: Result<(), Error>) {
        let staged = self.replies.unwrap_or(Err(Error::StoreUnavailable));
        if let (Ok(()), Ok([reply]), false) = (&written, staged.as_deref(), self.request.trace.is_disabled()) {
            self.request.trace.record("countersign.log_index", J::log_index(reply));
        }
        // A caller that went away has its answer in the log.
        drop(self.caller.send(written.and(staged)));
    }
}

/// What the jobs of these need of the database, evaluated at `epoch`.
pub(super) fn wanted(works: &[Box<dyn Work>], epoch: i64) -> Wanted {
    let mut wanted = Wanted::default();
    for work in works {
        work.wants(&mut wanted, epoch);
    }
    wanted
}

/// Stages the first of these, at least one, and as many as there is time for. Says how many.
pub(super) fn stage(works: &mut [Box<dyn Work>], batch: &mut BatchBuilder<'_>) -> usize {
    let begun = Instant::now();
    let mut staged = 0;
    for work in works {
        if staged > 0 && begun.elapsed() > LONGEST_STAGING {
            break;
        }
        work.stage(batch);
        staged += 1;
    }
    staged
}
