//! Rows about revocation: how long a watching client still accepts what RevokeSponsor has ended.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::{
    Connection,
    v1::{ApproveSponsorRequest, IssueCredentialRequest, RegisterSponsorRequest, RevokeSponsorRequest},
    verify::Verifier,
};
use countersign_integration::Server;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::{Bench, Kind, Row, Side, by_round, failed};
use crate::{
    Result,
    figures::{Run, histogram},
    report::{Finding, Part},
};

/// Live instances of the sponsor, on each side.
const SIZES: [i32; 2] = [10, 10_000];
/// Revocations per run: each ends a sponsor with all its instances, which are created before.
const SAMPLES: u32 = 10;
const SAMPLES_QUICK: u32 = 3;
/// How often the client is checked, which is the resolution of the time.
const ASKED: Duration = Duration::from_micros(500);

/// Measures the rows, all from the same runs.
pub(super) async fn measure(bench: &Bench<'_>, rows: &[&'static Row]) -> Vec<(&'static Row, Finding)> {
    debug_assert!(rows.iter().all(|row| row.kind == Kind::Revocation), "only rows of revocation");
    if rows.is_empty() {
        return Vec::new();
    }
    eprintln!("measuring revocation");
    let parts = match parts(bench).await {
        Ok(parts) => parts,
        Err(error) => return rows.iter().map(|row| (*row, failed(&error))).collect(),
    };
    let finding = |row: &Row| match row.key {
        "revocation" => Finding::Measured {
            rounds: by_round(&parts, |runs| runs[1].p50_us() / runs[0].p50_us()),
            parts: parts.clone(),
            note: "at another server, which looks for changes four times a second".to_owned(),
        },
        _ => Finding::Measured {
            rounds: by_round(&parts, |runs| runs[1].p99_us() / 1e3),
            parts: Vec::new(),
            note: String::new(),
        },
    };
    rows.iter().map(|row| (*row, finding(row))).collect()
}

async fn parts(bench: &Bench<'_>) -> Result<Vec<Part>> {
    let stage = Stage::start(bench).await?;
    let (stage, samples) = (&stage, if bench.options.quick { SAMPLES_QUICK } else { SAMPLES });
    let side =
        |size| Side::new(format!("{size} live instances"), move |_| async move { stage.run(size, samples).await });
    bench.interleave(SIZES.map(side).into()).await
}

/// Two servers; the client watches the one that does not revoke.
struct Stage {
    registrar: Connection,
    approver: Connection,
    verifier: Verifier,
    database: String,
    sponsors: AtomicU32,
    _servers: [Server; 2],
}

impl Stage {
    async fn start(bench: &Bench<'_>) -> Result<Self> {
        let (first, database) = bench.serve("revocation").await?;
        let second = bench.launch(&database).start().await?;
        let (registrar, approver) = (first.operator("rita").await?, first.operator("oscar").await?);
        let watching = second.connect(Some(&first.operator_key("rita")?)).await?;
        let token = issue(&registrar, "alice").await?;
        let (issuer, audience) = parties(&token)?;
        let verifier = Verifier::follow(watching, &issuer, &audience);
        verifier.ready().await;
        let (sponsors, servers) = (AtomicU32::new(0), [first, second]);
        Ok(Self { registrar, approver, verifier, database: database.url, sponsors, _servers: servers })
    }

    async fn run(&self, size: i32, samples: u32) -> Result<Run> {
        let mut times = histogram();
        let mut database = countersign_integration::connect(&self.database).await?;
        for _ in 0..samples {
            let time = self.sample(&mut database, size).await?;
            times.record(u64::try_from(time.as_nanos())?.max(1))?;
        }
        database.close().await?;
        Ok(Run::of_times(f64::NAN, &times))
    }

    /// The time from the reply to the refusal, for a new sponsor.
    async fn sample(&self, database: &mut PgConnection, size: i32) -> Result<Duration> {
        let sponsor = format!("person-{}", self.sponsors.fetch_add(1, Ordering::Relaxed));
        let token = self.sponsored(database, &sponsor, size).await?;
        self.verifier.verify(&token)?;
        let (sponsor_id, reason) = (sponsor.clone(), "measured".to_owned());
        let request = RevokeSponsorRequest { sponsor_id, reason, ..Default::default() };
        let reply = self.approver.sponsors().revoke_sponsor(request).await?.into_inner();
        let start = Instant::now();
        if reply.revoked_instance_count != i64::from(size) {
            return Err(format!("{} instances were live, not {size}", reply.revoked_instance_count).into());
        }
        while self.verifier.verify(&token).is_ok() {
            sleep(ASKED).await;
        }
        let time = start.elapsed();
        settled(database, &sponsor).await?;
        Ok(time)
    }

    /// A sponsor with `size` live instances; returns the credential of one. The others are copies of its row.
    async fn sponsored(&self, database: &mut PgConnection, sponsor: &str, size: i32) -> Result<String> {
        let register = RegisterSponsorRequest {
            sponsor_id: sponsor.to_owned(),
            display_name: "Somebody Known".to_owned(),
            email: format!("{sponsor}@example.com"),
            roles: vec!["support".to_owned()],
            ..Default::default()
        };
        self.registrar.sponsors().register_sponsor(register).await?;
        let (sponsor_id, reason) = (sponsor.to_owned(), "measured".to_owned());
        let etag = "1".to_owned();
        let approve = ApproveSponsorRequest { sponsor_id, reason, etag, ..Default::default() };
        self.approver.sponsors().approve_sponsor(approve).await?;
        let token = issue(&self.registrar, sponsor).await?;
        sqlx::query(
            "INSERT INTO instance SELECT copy.*
             FROM instance AS one,
                  LATERAL (SELECT gen_random_uuid() AS id FROM generate_series(2, $2)) AS fresh,
                  LATERAL jsonb_populate_record(one, jsonb_build_object('instance_id', id, 'root_instance_id', id)) AS copy
             WHERE one.sponsor_id = $1",
        )
        .bind(sponsor)
        .bind(size)
        .execute(database)
        .await?;
        Ok(token)
    }
}

/// Returns when the events of the stopped instances are written, so that the next revocation is measured alone.
async fn settled(database: &mut PgConnection, sponsor: &str) -> Result<()> {
    let live = "SELECT EXISTS (SELECT FROM instance WHERE sponsor_id = $1 AND state = 'LIVE')";
    while sqlx::query_scalar::<_, bool>(live).bind(sponsor).fetch_one(&mut *database).await? {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn issue(registrar: &Connection, sponsor: &str) -> Result<String> {
    let request = IssueCredentialRequest {
        sponsor_id: sponsor.to_owned(),
        agent: "support-assistant".to_owned(),
        role: "support".to_owned(),
        tools: vec!["billing".to_owned()],
        purpose: "measured".to_owned(),
        ..Default::default()
    };
    Ok(registrar.credentials().issue_credential(request).await?.into_inner().token)
}

/// Issuer and audience in a credential.
fn parties(token: &str) -> Result<(String, String)> {
    let claims = token.split('.').nth(1).ok_or("a token without claims")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let text = |claim: &str| claims[claim].as_str().map(str::to_owned).ok_or("a claim is no text");
    Ok((text("iss")?, text("aud")?))
}
