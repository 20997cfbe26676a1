//! Which requests are traced: those that their callers trace, and a share of the others; of both only so many a second,
//! because a caller who is not authenticated yet can ask for it too.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::config::Sampling;

/// The one span that belongs to no request. It exists only if it follows from requests that are traced.
const BATCH: &str = "recorder.batch";

/// Decides for requests; what is below a span goes with it.
#[derive(Debug, Clone)]
pub(super) struct RequestSampler {
    sampling: Sampling,
    limits: Arc<Limits>,
}

/// Two limits, so that callers cannot use up the share of the others.
#[derive(Debug)]
struct Limits {
    /// For requests that their callers trace.
    asked: DefaultDirectRateLimiter,
    /// For all others.
    chosen: DefaultDirectRateLimiter,
}

impl RequestSampler {
    pub(super) fn new(sampling: Sampling, requests_per_second: NonZeroU32) -> Self {
        let limit = || RateLimiter::direct(Quota::per_second(requests_per_second));
        Self { sampling, limits: Arc::new(Limits { asked: limit(), chosen: limit() }) }
    }

    /// Whether a request is traced whose caller does not say.
    fn chosen(&self, trace_id: TraceId) -> bool {
        let Sampling { ratio, .. } = self.sampling;
        // The same traces at every server that has this ratio.
        let result = Sampler::TraceIdRatioBased(ratio).should_sample(None, trace_id, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample && within(&self.limits.chosen, "server")
    }
}

/// Whether there is room for one more in this second.
fn within(limit: &DefaultDirectRateLimiter, by: &'static str) -> bool {
    let within = limit.check().is_ok();
    if !within {
        metrics::counter!("countersign_traces_over_rate_total", "asked_by" => by).increment(1);
    }
    within
}

impl ShouldSample for RequestSampler {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent_context.map(|context| context.span().span_context().clone());
        let parent = parent.filter(opentelemetry::trace::SpanContext::is_valid);
        let sampled = match &parent {
            Some(parent) if !parent.is_remote() => parent.is_sampled(),
            Some(parent) if self.sampling.parent_based => parent.is_sampled() && within(&self.limits.asked, "caller"),
            _ if *span_kind == SpanKind::Server => self.chosen(trace_id),
            _ => name == BATCH,
        };
        let decision = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        let trace_state = parent.map_or(TraceState::NONE, |parent| parent.trace_state().clone());
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    use super::*;

    fn sampler(parent_based: bool, ratio: f64, a_second: u32) -> RequestSampler {
        RequestSampler::new(Sampling { parent_based, ratio }, NonZeroU32::new(a_second).unwrap())
    }

    fn sampled(sampler: &RequestSampler, kind: &SpanKind, name: &str, parent: Option<(bool, bool)>) -> bool {
        let trace_id = TraceId::from(7);
        let context = parent.map(|(remote, sampled)| {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            Context::new().with_remote_span_context(SpanContext::new(
                trace_id,
                SpanId::from(8),
                flags,
                remote,
                TraceState::NONE,
            ))
        });
        let result = sampler.should_sample(context.as_ref(), trace_id, name, kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_request_goes_with_its_caller() {
        let by_caller = sampler(true, 1.0, 100);
        assert!(sampled(&by_caller, &SpanKind::Server, "request", Some((true, true))));
        assert!(!sampled(&by_caller, &SpanKind::Server, "request", Some((true, false))));
        assert!(sampled(&by_caller, &SpanKind::Server, "request", None));
        let none = sampler(true, 0.0, 100);
        assert!(sampled(&none, &SpanKind::Server, "request", Some((true, true))));
        assert!(!sampled(&none, &SpanKind::Server, "request", None));
        let alone = sampler(false, 0.0, 100);
        assert!(!sampled(&alone, &SpanKind::Server, "request", Some((true, true))));
    }

    #[test]
    fn what_is_below_a_span_goes_with_it() {
        let sampler = sampler(true, 0.0, 1);
        for _ in 0..5 {
            assert!(sampled(&sampler, &SpanKind::Internal, "change", Some((false, true))));
            assert!(!sampled(&sampler, &SpanKind::Internal, "change", Some((false, false))));
            assert!(sampled(&sampler, &SpanKind::Internal, BATCH, None));
            assert!(!sampled(&sampler, &SpanKind::Internal, "change", None), "of no request");
        }
    }

    #[test]
    fn callers_cannot_ask_for_more_than_the_limit_nor_use_up_the_others() {
        let sampler = sampler(true, 1.0, 3);
        let asked = (0..50).filter(|_| sampled(&sampler, &SpanKind::Server, "request", Some((true, true)))).count();
        assert_eq!(asked, 3);
        assert!(sampled(&sampler, &SpanKind::Server, "request", None));
        let chosen = (0..50).filter(|_| sampled(&sampler, &SpanKind::Server, "request", None)).count();
        assert_eq!(chosen, 2);
    }
}
