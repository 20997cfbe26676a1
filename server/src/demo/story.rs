//! The demo's story: a support agent, the billing agent that it starts, and the persons behind both.

use std::net::SocketAddr;

use countersign_client::Connection;
use countersign_proto::v1::{
    DelegateCredentialRequest, GetCustodyChainRequest, IssueCredentialRequest, get_custody_chain_request::Subject,
};

use super::{
    ask::{Agent, Call, Expected, Unexpected},
    screen::{self, Screen, short},
    tool, tree,
};

const QUERY: Call = Call { tool: "search", action: "query", amount_cents: None };
/// A refund that the dev policy allows.
pub(super) const REFUND: Call = Call { tool: "billing", action: "refund", amount_cents: Some(1_250) };
/// A charge above the dev policy's limit of 500.00.
const CHARGE: Call = Call { tool: "billing", action: "charge", amount_cents: Some(75_000) };

/// The persons, and the server.
#[derive(Debug)]
pub(super) struct Story {
    /// Registers sponsors, issues credentials, reads the log.
    pub(super) rita: Connection,
    /// Approves and revokes sponsors.
    pub(super) oscar: Connection,
    pub(super) address: SocketAddr,
    /// Whether the server is the demo's own: then alice, whom every dev server has, may be revoked permanently.
    pub(super) fresh: bool,
    pub(super) screen: Screen,
}

impl Story {
    /// Tells it, and stops if an answer is not the expected one.
    pub(super) async fn tell(&mut self) -> Result<(), Unexpected> {
        let newcomer = self.four_eyes().await?;
        let sponsor = if self.fresh { "alice" } else { &newcomer };
        let (triage, issuer) = self.identity(sponsor).await?;
        let billing = self.delegation(&triage).await?;
        let refund = self.refund(&billing, &issuer).await?;
        self.charge(&billing).await?;
        self.revocation(sponsor, &billing).await?;
        self.custody(refund).await?;
        self.farewell()
    }

    /// A run gets a credential. Also returns the issuer.
    async fn identity(&mut self, sponsor: &str) -> Result<(Agent, String), Unexpected> {
        self.screen.step("identity");
        let request = IssueCredentialRequest {
            sponsor_id: sponsor.to_owned(),
            agent: "support-assistant".to_owned(),
            role: "support".to_owned(),
            tools: vec!["billing".to_owned(), "search".to_owned()],
            purpose: "triage ticket 4711".to_owned(),
            ..IssueCredentialRequest::default()
        };
        let purpose = request.purpose.clone();
        let issued = self.rita.credentials().issue_credential(request).await?.into_inner();
        let triage = self.agent(&issued.token, issued.agent_instance_id)?;
        let id = short(&triage.instance_id);
        self.screen.say(&format!(
            "{sponsor} is the sponsor of a support-assistant, {id}, with the purpose \
                                  \"{purpose}\"."
        ))?;
        self.screen.say("With its own short-lived credential it asks whether it may query search:")?;
        let query = triage.asks(&self.screen, QUERY, Expected::AllowedBy("allow-support-search")).await?;
        triage.succeeded(&query, "three earlier tickets").await?;
        Ok((triage, tool::issuer(&issued.token)?))
    }

    /// The run starts another one as its child.
    async fn delegation(&mut self, parent: &Agent) -> Result<Agent, Unexpected> {
        self.screen.step("delegation");
        let request = DelegateCredentialRequest {
            agent: "billing-agent".to_owned(),
            tools: vec!["billing".to_owned()],
            purpose: "triage ticket 4711, refund".to_owned(),
            ..DelegateCredentialRequest::default()
        };
        let child = parent.connection.credentials().delegate_credential(request).await?.into_inner();
        if child.parent_agent_id != parent.instance_id {
            return Err(Unexpected::Answer("the child's parent is not the instance that started it".to_owned()));
        }
        let id = short(&child.agent_instance_id);
        self.screen.say(&format!("It starts a billing-agent, {id}, with fewer rights than its own: billing only."))?;
        self.agent(&child.token, child.agent_instance_id)
    }

    /// An allowed call, with a receipt for the tool. Returns the decision's id.
    async fn refund(&mut self, billing: &Agent, issuer: &str) -> Result<String, Unexpected> {
        self.screen.step("refund");
        self.screen.say("The billing-agent asks whether it may refund 12.50:")?;
        let refund = billing.asks(&self.screen, REFUND, Expected::AllowedBy("allow-support-billing")).await?;
        tool::accepts(&refund.receipt, &billing.connection.keys().await?, issuer, REFUND)?;
        self.screen.say(
            "The tool verifies the signed receipt with the public keys alone: it is valid. The refund is \
                         made.",
        )?;
        billing.succeeded(&refund, "refunded").await?;
        Ok(refund.policy_decision_id)
    }

    /// A call that the policy forbids.
    async fn charge(&mut self, billing: &Agent) -> Result<(), Unexpected> {
        self.screen.step("charge");
        self.screen.say("It asks whether it may charge 750.00:")?;
        billing.asks(&self.screen, CHARGE, Expected::DeniedBy("no-large-charges")).await?;
        Ok(())
    }

    /// From one decision: who ran, who is accountable, what was allowed, and the outcome.
    async fn custody(&mut self, policy_decision_id: String) -> Result<(), Unexpected> {
        self.screen.step("custody");
        let asked = format!(
            "{}, the refund, with everything that led to it in the log (# is the log index):",
            short(&policy_decision_id)
        );
        let request = GetCustodyChainRequest { subject: Some(Subject::PolicyDecisionId(policy_decision_id)) };
        let answer = self.rita.custody().get_custody_chain(request).await?.into_inner();
        let chain = answer.chain.ok_or_else(|| Unexpected::Answer("the chain is missing".to_owned()))?;
        if (chain.instances.len(), chain.decisions.len()) != (2, 4) {
            let (runs, decisions) = (chain.instances.len(), chain.decisions.len());
            return Err(Unexpected::Answer(format!(
                "2 instances and 4 decisions are {runs} and {decisions} in the chain"
            )));
        }
        self.screen.say(&asked)?;
        screen::print(&format!("\n{}\n", tree::render(&chain, self.screen.colours)))?;
        Ok(())
    }

    fn farewell(&self) -> Result<(), Unexpected> {
        let address = if self.fresh { "localhost:8080".to_owned() } else { self.address.to_string() };
        let where_from = if self.fresh {
            "`make run` starts a server that keeps running. To get a credential from it:"
        } else {
            "A credential:"
        };
        Ok(screen::print(&format!(
            "{where_from}\n  curl -X POST http://{address}/issue -H 'Content-Type: application/json' \\\n    \
             -d '{{\"tool\":\"billing\",\"sponsor_id\":\"alice\",\"ttl\":300}}'"
        ))?)
    }

    fn agent(&self, token: &str, instance_id: String) -> Result<Agent, Unexpected> {
        Ok(Agent { connection: self.rita.with_token(token)?, instance_id })
    }
}
