//! The SPIFFE bundle: what others verify the SVIDs of this trust domain with, and how often they should look again
//! (refresh hint).

use serde_json::{Value, json};

use crate::{App, Error, authority::snapshot::Snapshot};

/// How often a consumer should look again, seconds: much less than the hours for which an authority is published before it
/// signs, and little beside an SVID's life, for the case that a key is taken out because it is compromised.
const REFRESH_HINT: u32 = 300;

impl App {
    /// The bundle (SPIFFE Trust Domain and Bundle, section 4); NOT_READY without a trust domain.
    pub fn spiffe_bundle(&self) -> Result<Value, Error> {
        self.trust_domain()?;
        Ok(bundle(&self.snapshot()))
    }
}

fn bundle(snapshot: &Snapshot) -> Value {
    let mut keys = snapshot.authorities.to_jwks();
    keys.extend(jwt_keys(&snapshot.keys.verifying.to_jwks()));
    json!({
        "keys": keys,
        // Keys come and go in changes of what may be allowed, and no two of those share an epoch.
        "spiffe_sequence": snapshot.epoch,
        "spiffe_refresh_hint": REFRESH_HINT,
    })
}

/// The keys that JWT-SVIDs are signed with, with the members that JWT-SVID (section 6.1) names.
fn jwt_keys(published: &Value) -> Vec<Value> {
    let keys = published["keys"].as_array().into_iter().flatten();
    keys.map(|key| {
        json!({
            "use": "jwt-svid", "kid": key["kid"], "kty": key["kty"], "crv": key["crv"], "x": key["x"], "y": key["y"],
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use countersign_core::credential::{KeyStanding, SigningKey};

    use super::*;
    use crate::testing::snapshot;

    #[test]
    fn the_bundle_holds_every_key_that_can_verify_and_no_compromised_one() {
        let mut snapshot = snapshot(None);
        let mut kids = Vec::new();
        for standing in [KeyStanding::Next, KeyStanding::Active, KeyStanding::Retired, KeyStanding::Compromised] {
            let key = SigningKey::generate().unwrap();
            if standing != KeyStanding::Compromised {
                kids.push(key.kid().to_owned());
            }
            snapshot.keys.verifying.insert(key.verifying_key().clone(), standing);
        }
        kids.sort();
        let bundle = bundle(&snapshot);
        let keys = bundle["keys"].as_array().unwrap();
        assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), kids);
        for key in keys {
            let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            members.sort_unstable();
            assert_eq!(members, ["crv", "kid", "kty", "use", "x", "y"], "what SPIFFE does not define is left out");
            assert_eq!(key["use"], "jwt-svid");
        }
        assert_eq!((&bundle["spiffe_sequence"], &bundle["spiffe_refresh_hint"]), (&json!(1), &json!(300)));
    }
}
