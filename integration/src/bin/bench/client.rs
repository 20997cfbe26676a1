//! The callers: each is an instance with a separate credential and connection, because agents are separate processes.

use std::time::Duration;

use countersign_proto::v1::{
    BatchDecideRequest, BatchRecordToolCallsRequest, DecideRequest, DecideResponse, Effect, IssueCredentialRequest,
    RecordToolCallRequest, ToolCallOutcome, credential_service_client::CredentialServiceClient,
    custody_service_client::CustodyServiceClient, decision_service_client::DecisionServiceClient,
};
use futures::future::try_join_all;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{Result, load::Call};

/// Limit of the calls in one BatchDecide or BatchRecordToolCalls.
pub(crate) const BATCH: usize = 100;
const SPONSOR: &str = "alice";
const ROLE: &str = "support";
const TOOL: &str = "billing";
const ACTION: &str = "refund";
const PURPOSE: &str = "refund a customer of the shop who was charged twice";

type Bearer = MetadataValue<Ascii>;

/// A connection.
pub(crate) async fn connect(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true).connect_timeout(Duration::from_secs(5));
    Ok(endpoint.connect().await?)
}

fn issue() -> IssueCredentialRequest {
    IssueCredentialRequest {
        sponsor_id: SPONSOR.to_owned(),
        agent: "support-assistant".to_owned(),
        role: ROLE.to_owned(),
        tools: vec![TOOL.to_owned()],
        purpose: PURPOSE.to_owned(),
        ..Default::default()
    }
}

fn question() -> DecideRequest {
    DecideRequest {
        tool_id: TOOL.to_owned(),
        action: ACTION.to_owned(),
        request_hash: vec![0xA5; 32],
        ..Default::default()
    }
}

fn with_bearer<T>(message: T, bearer: &Bearer) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer.clone());
    request
}

/// An instance: its credential, and a connection.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    bearer: Bearer,
    channel: Channel,
}

impl Instance {
    /// `count` instances, whose credentials `issuer` issues and whose connections go to `urls` in turn.
    pub(crate) async fn start(issuer: &str, urls: &[&str], count: usize) -> Result<Vec<Self>> {
        let issuer = connect(issuer).await?;
        try_join_all(urls.iter().cycle().take(count).map(|url| {
            let mut issuer = CredentialServiceClient::new(issuer.clone());
            async move {
                let token = issuer.issue_credential(issue()).await?.into_inner().token;
                Ok(Self { bearer: format!("Bearer {token}").parse()?, channel: connect(url).await? })
            }
        }))
        .await
    }

    /// One decision, to see its form.
    pub(crate) async fn decide(&self) -> Result<DecideResponse> {
        let answer = self.decisions().decide(with_bearer(question(), &self.bearer)).await?;
        allowed(answer.into_inner())
    }

    /// The outcome of one decision, to see its form.
    pub(crate) async fn report(&self, decision: &DecideResponse) -> Result<()> {
        let report = outcome(&decision.policy_decision_id);
        CustodyServiceClient::new(self.channel.clone()).record_tool_call(with_bearer(report, &self.bearer)).await?;
        Ok(())
    }

    /// The ids of at least `count` allowed decisions that have no outcome yet.
    async fn allowed_calls(&self, count: usize) -> Result<Vec<String>> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let batch = BatchDecideRequest { requests: vec![question(); BATCH], ..Default::default() };
            let answers = self.decisions().batch_decide(with_bearer(batch, &self.bearer)).await?.into_inner().responses;
            for answer in answers {
                ids.push(allowed(answer)?.policy_decision_id);
            }
        }
        Ok(ids)
    }

    fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    /// A caller that calls Decide repeatedly.
    pub(crate) fn decider(&self) -> Decider {
        Decider { client: self.decisions(), bearer: self.bearer.clone(), question: question() }
    }
}

fn allowed(answer: DecideResponse) -> Result<DecideResponse> {
    if answer.effect() == Effect::Allow { Ok(answer) } else { Err(format!("Decide did not allow: {answer:?}").into()) }
}

fn outcome(policy_decision_id: &str) -> RecordToolCallRequest {
    RecordToolCallRequest {
        policy_decision_id: policy_decision_id.to_owned(),
        outcome: ToolCallOutcome::Success.into(),
        response_hash: vec![0x5A; 32],
        duration: Some(prost_types::Duration { seconds: 0, nanos: 12_345_000 }),
        ..Default::default()
    }
}

/// A caller of Decide.
#[derive(Debug, Clone)]
pub(crate) struct Decider {
    client: DecisionServiceClient<Channel>,
    bearer: Bearer,
    question: DecideRequest,
}

impl Call for Decider {
    async fn call(&mut self) -> Result<Option<u32>> {
        let answer = self.client.decide(with_bearer(self.question.clone(), &self.bearer)).await?;
        allowed(answer.into_inner())?;
        Ok(Some(1))
    }
}

/// A caller of Decide with a single-use credential for each call.
#[derive(Debug)]
pub(crate) struct SingleUse {
    client: DecisionServiceClient<Channel>,
    bearers: Vec<Bearer>,
}

impl SingleUse {
    /// `count` callers, each with `credentials` credentials.
    pub(crate) async fn start(url: &str, count: usize, credentials: usize) -> Result<Vec<Self>> {
        try_join_all((0..count).map(|_| async {
            let channel = connect(url).await?;
            let mut issuer = CredentialServiceClient::new(channel.clone());
            let mut bearers = Vec::with_capacity(credentials);
            for _ in 0..credentials {
                let request = IssueCredentialRequest { single_use: true, ..issue() };
                let token = issuer.issue_credential(request).await?.into_inner().token;
                bearers.push(format!("Bearer {token}").parse()?);
            }
            Ok(Self { client: DecisionServiceClient::new(channel), bearers })
        }))
        .await
    }
}

impl Call for SingleUse {
    async fn call(&mut self) -> Result<Option<u32>> {
        let Some(bearer) = self.bearers.pop() else { return Ok(None) };
        allowed(self.client.decide(with_bearer(question(), &bearer)).await?.into_inner())?;
        Ok(Some(1))
    }
}

/// A caller of IssueCredential: an operator, for which `--dev` needs no key.
#[derive(Debug)]
pub(crate) struct Issuer {
    client: CredentialServiceClient<Channel>,
}

impl Issuer {
    /// `count` issuers.
    pub(crate) async fn start(url: &str, count: usize) -> Result<Vec<Self>> {
        let client = async || Ok(Self { client: CredentialServiceClient::new(connect(url).await?) });
        try_join_all((0..count).map(|_| client())).await
    }
}

impl Call for Issuer {
    async fn call(&mut self) -> Result<Option<u32>> {
        self.client.issue_credential(issue()).await?;
        Ok(Some(1))
    }
}

/// A caller of RecordToolCall, or of its batch form, with decisions to report on.
#[derive(Debug)]
pub(crate) struct Reporter {
    client: CustodyServiceClient<Channel>,
    bearer: Bearer,
    decisions: Vec<String>,
    /// Outcomes per call; one is RecordToolCall, more are BatchRecordToolCalls.
    batch: usize,
}

impl Reporter {
    /// `count` reporters, each with `decisions` decisions to report on, `batch` per call.
    pub(crate) async fn start(url: &str, count: usize, decisions: usize, batch: usize) -> Result<Vec<Self>> {
        let instances = Instance::start(url, &[url], count).await?;
        try_join_all(instances.into_iter().map(|instance| async move {
            let decisions = instance.allowed_calls(decisions).await?;
            let client = CustodyServiceClient::new(instance.channel);
            Ok(Self { client, bearer: instance.bearer, decisions, batch })
        }))
        .await
    }
}

impl Call for Reporter {
    async fn call(&mut self) -> Result<Option<u32>> {
        if self.decisions.len() < self.batch {
            return Ok(None);
        }
        let reported = self.decisions.split_off(self.decisions.len() - self.batch);
        let mut requests: Vec<_> = reported.iter().map(|id| outcome(id)).collect();
        let count = u32::try_from(requests.len())?;
        if let [request] = requests.as_mut_slice() {
            self.client.record_tool_call(with_bearer(std::mem::take(request), &self.bearer)).await?;
        } else {
            let batch = BatchRecordToolCallsRequest { requests, ..Default::default() };
            self.client.batch_record_tool_calls(with_bearer(batch, &self.bearer)).await?;
        }
        Ok(Some(count))
    }
}
