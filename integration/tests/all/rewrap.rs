//! The key-encryption key is replaced while two servers run, by the steps of docs/keys.md.

use std::{
    path::Path,
    process::{Command, Output},
};

use countersign_client::v1;
use countersign_integration::{Cluster, Database, KEY_ENCRYPTION_KEY, Launch, Server, binary};

use crate::{
    configuration::plain,
    support::{log, room},
};

const OLD: &str = KEY_ENCRYPTION_KEY;
const NEW: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

fn rewrap(folder: &Path, database: &Database, primary: &str, previous: &str) -> Output {
    Command::new(binary().unwrap())
        .args(["key", "rewrap", "--token-service-config", "token-service-config.yml", "--data-dir", "data"])
        .env_clear()
        .env("DATABASE_URL", &database.serving_url)
        .env("COUNTERSIGN_KEY_ENCRYPTION_KEY", primary)
        .env("COUNTERSIGN_PREVIOUS_KEY_ENCRYPTION_KEY", previous)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn with(launch: Launch, database: &Database, primary: &str, previous: &str) -> Launch {
    let launch = launch.database(database).variable("COUNTERSIGN_KEY_ENCRYPTION_KEY", primary);
    launch.variable("COUNTERSIGN_PREVIOUS_KEY_ENCRYPTION_KEY", previous)
}

/// The admin's key works here, and a signing key can be made and used.
async fn works(server: &Server, admin: &str) {
    let admin = server.connect(Some(admin)).await.unwrap();
    let said = admin.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(said.operator_id, "admin");
    let request = v1::RotateSigningKeyRequest { reason: "drill".to_owned(), ..Default::default() };
    admin.signing_keys().rotate_signing_key(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_encryption_key_is_replaced_step_by_step_and_no_other_key_changes() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, folder) = plain();
    let first = with(launch, &database, OLD, "").start().await.unwrap();
    let admin = first.admin_key().unwrap();
    works(&first, &admin).await;

    // Both know both, in either order, and each makes keys that the other can use.
    let (launch, _other) = plain();
    let second = with(launch, &database, NEW, OLD).start().await.unwrap();
    drop(first);
    let (launch, _third) = plain();
    let first = with(launch, &database, OLD, NEW).start().await.unwrap();
    works(&second, &admin).await;
    works(&first, &admin).await;
    drop(first);

    let size = log(&database).await.len();
    let output = rewrap(folder.path(), &database, NEW, "");
    assert_eq!(output.status.code(), Some(1), "without the old key nothing can be opened");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nothing was changed") && said.contains("another key-encryption key"), "{said}");
    assert_eq!(log(&database).await.len(), size);

    let output = rewrap(folder.path(), &database, NEW, OLD);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("secrets were encrypted with the new key") && !said.starts_with("0 "), "{said}");
    let event = log(&database).await.pop().unwrap();
    assert_eq!((event.kind(), event.leaf["subject"]["type"].as_str()), ("keys_rewrapped", Some("key_encryption_key")));
    works(&second, &admin).await;

    let size = log(&database).await.len();
    let again = rewrap(folder.path(), &database, NEW, OLD);
    assert!(String::from_utf8(again.stdout).unwrap().starts_with("0 secrets were encrypted"));
    assert_eq!(log(&database).await.len(), size, "and nothing to record");

    let (launch, _folder) = plain();
    works(&with(launch, &database, NEW, "").start().await.unwrap(), &admin).await;
    let (launch, _folder) = plain();
    let refused = with(launch, &database, OLD, "").start().await.unwrap_err().to_string();
    assert!(refused.contains("encrypted under another key-encryption key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_of_an_installation_from_before_stay_good_and_outlive_its_key_encryption_key() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, folder) = plain();
    let server = with(launch, &database, OLD, "").start().await.unwrap();
    let admin = server.admin_key().unwrap();
    drop(server);

    // As it was: the hash's key was derived from the key-encryption key, and nowhere stored.
    let (_, secret) = admin.rsplit_once('_').map(|_| admin.split_at(admin.find('_').unwrap() + 34)).unwrap();
    let derived = derived_api_hash(OLD);
    let hash =
        aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &derived), secret.as_bytes());
    let mut connection = database.connect().await.unwrap();
    sqlx::query("DELETE FROM sealed_secret").execute(&mut connection).await.unwrap();
    sqlx::query("UPDATE api_key SET secret_hash = $1").bind(hash.as_ref()).execute(&mut connection).await.unwrap();

    let (launch, _folder) = plain();
    works(&with(launch, &database, NEW, OLD).start().await.unwrap(), &admin).await;
    assert!(rewrap(folder.path(), &database, NEW, OLD).status.success());
    let (launch, _folder) = plain();
    works(&with(launch, &database, NEW, "").start().await.unwrap(), &admin).await;
}

fn derived_api_hash(key: &str) -> [u8; 32] {
    use aws_lc_rs::hkdf;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut derived = [0; 32];
    let purpose: [&[u8]; 1] = [b"countersign api secrets"];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&STANDARD.decode(key).unwrap());
    prk.expand(&purpose, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut derived)).unwrap();
    derived
}
