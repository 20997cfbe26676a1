//! The demo's scenes with persons: who may sponsor agents, and how that ends.

use countersign_proto::v1::{ApproveSponsorRequest, RegisterSponsorRequest, RevokeSponsorRequest};
use tonic::Code;

use super::{
    ask::{Agent, Expected, Unexpected},
    screen::Colour,
    story::{REFUND, Story},
};

impl Story {
    /// A new sponsor is registered, and approved by a second person.
    pub(super) async fn four_eyes(&mut self) -> Result<String, Unexpected> {
        self.screen.step("four eyes");
        let (newcomer, etag) = self.register().await?;
        self.screen.say(&format!("rita registers {newcomer} as a sponsor, and tries to approve her too:"))?;
        let approval = |reason: &str| ApproveSponsorRequest {
            sponsor_id: newcomer.clone(),
            reason: reason.to_owned(),
            etag: etag.clone(),
            ..ApproveSponsorRequest::default()
        };
        let own = self.rita.sponsors().approve_sponsor(approval("I know her")).await;
        match own.map_err(Unexpected::from) {
            Err(Unexpected::Refused { reason, message }) if ["FOUR_EYES", "ROLE_REQUIRED"].contains(&&*reason) => {
                self.screen.answer("REFUSED", Colour::Red, &message, "")?;
            }
            Err(other) => return Err(other),
            Ok(_) => return Err(Unexpected::Answer("rita could approve whom she had registered".to_owned())),
        }
        self.oscar.sponsors().approve_sponsor(approval("leads the support team")).await?;
        self.screen.say(&format!("oscar, a second person, approves: {newcomer} is ACTIVE."))?;
        Ok(newcomer)
    }

    /// Registers dana or, if that id is taken, dana-2 and so on. Returns the id and the state.
    async fn register(&self) -> Result<(String, String), Unexpected> {
        for number in 1..100 {
            let sponsor_id = if number == 1 { "dana".to_owned() } else { format!("dana-{number}") };
            let request = RegisterSponsorRequest {
                sponsor_id: sponsor_id.clone(),
                display_name: "Dana Example".to_owned(),
                email: format!("{sponsor_id}@example.com"),
                roles: vec!["support".to_owned()],
                ..RegisterSponsorRequest::default()
            };
            match self.rita.sponsors().register_sponsor(request).await {
                Err(status) if status.code() == Code::AlreadyExists => {}
                registered => {
                    let etag = registered?.into_inner().sponsor.unwrap_or_default().etag;
                    return Ok((sponsor_id, etag));
                }
            }
        }
        Err(Unexpected::Answer("dana and all names up to dana-99 are already registered".to_owned()))
    }

    /// The sponsor is revoked, and all its runs stop at once.
    pub(super) async fn revocation(&mut self, sponsor: &str, billing: &Agent) -> Result<(), Unexpected> {
        self.screen.step("revocation");
        let request = RevokeSponsorRequest {
            sponsor_id: sponsor.to_owned(),
            reason: "left the company".to_owned(),
            ..RevokeSponsorRequest::default()
        };
        let revoked = self.oscar.sponsors().revoke_sponsor(request).await?.into_inner();
        let count = revoked.revoked_instance_count;
        self.screen
            .say(&format!("oscar revokes {sponsor}, which stops {count} agents. The same refund, asked for again:"))?;
        billing.asks(&self.screen, REFUND, Expected::SponsorNotActive).await?;
        Ok(())
    }
}
