//! An admin whose keys are all gone, and what whoever runs the machine does about it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Output},
};

use countersign_client::v1;
use countersign_integration::{Cluster, Database, KEY_ENCRYPTION_KEY, binary};

use crate::{
    configuration::plain,
    support::{log, room},
};

/// Runs `countersign operator recover` beside a server, from a folder that holds the configuration.
fn recover(folder: &Path, database: &Database, key_encryption_key: &str, args: &[&str]) -> Output {
    Command::new(binary().unwrap())
        .args(["operator", "recover", "--token-service-config", "token-service-config.yml", "--data-dir", "data"])
        .args(["--reason", "both admins have left"])
        .args(args)
        .env_clear()
        .env("DATABASE_URL", &database.serving_url)
        .env("COUNTERSIGN_KEY_ENCRYPTION_KEY", key_encryption_key)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_admin_comes_back_beside_a_running_server_and_the_log_says_how() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, folder) = plain();
    let folder = folder.path();
    let output = recover(folder, &database, KEY_ENCRYPTION_KEY, &[]);
    assert!(!output.status.success(), "on a database that no server has prepared");

    let server = launch.database(&database).start().await.unwrap();
    let lost = server.connect(Some(&server.admin_key().unwrap())).await.unwrap();
    let request = v1::CreateOperatorRequest {
        operator_id: "ivan".to_owned(),
        display_name: "Ivan".to_owned(),
        roles: vec!["issuer".to_owned()],
        ..Default::default()
    };
    lost.operators().create_operator(request).await.unwrap();
    let mut connection = database.connect().await.unwrap();
    sqlx::query("UPDATE api_key SET revoke_time = now()").execute(&mut connection).await.unwrap();

    let output = recover(folder, &database, KEY_ENCRYPTION_KEY, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = folder.join("data/recovered-admin.key").canonicalize().unwrap();
    assert_eq!(text(&output.stdout), format!("{}\n", file.display()), "the path and nothing else");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(!text(&output.stderr).contains(&key));

    let admin = server.connect(Some(&key)).await.unwrap();
    let said = admin.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((said.operator_id.as_str(), said.roles.len()), ("admin", 7));
    let request = v1::ListApiKeysRequest { operator_id: "admin".to_owned(), ..Default::default() };
    let made = admin.operators().list_api_keys(request).await.unwrap().into_inner().api_keys.remove(0);
    let life = made.expire_time.unwrap().seconds - made.create_time.unwrap().seconds;
    assert_eq!(life, 24 * 3600, "long enough to make a proper one");
    let event = log(&database).await.pop().unwrap();
    assert_eq!((event.kind(), event.text("reason")), ("operator_key_created", "RECOVERY"));
    assert_eq!(event.leaf["subject"]["id"], made.key_id.as_str());
    assert!(!event.text("reason_commitment").is_empty() && event.leaf["operator_id"].is_null());

    // Nothing is overwritten, no role is widened, and a wrong key-encryption key makes no key that nobody knows.
    let size = log(&database).await.len();
    let wrong_key = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
    for (key, args, says) in [
        (KEY_ENCRYPTION_KEY, &[][..], "recovered-admin.key"),
        (KEY_ENCRYPTION_KEY, &["--key-file", "new.key", "--operator", "ivan"], "without the role admin"),
        (wrong_key, &["--key-file", "new.key"], "key-encryption key"),
    ] {
        let output = recover(folder, &database, key, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !folder.join("new.key").exists());
    }
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), key);
    assert_eq!(log(&database).await.len(), size);

    // Somebody new: with every role, and on record as added so.
    let output = recover(folder, &database, KEY_ENCRYPTION_KEY, &["--operator", "heidi", "--key-file", "heidi.key"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let heidi = server.connect(Some(fs::read_to_string(folder.join("heidi.key")).unwrap().trim())).await.unwrap();
    let said = heidi.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((said.operator_id.as_str(), said.roles.len()), ("heidi", 7));
    let events = log(&database).await;
    let kinds: Vec<_> = events[size..].iter().map(|event| (event.kind(), event.text("reason"))).collect();
    let made = ["operator_created", "operator_changed", "operator_key_created"];
    assert_eq!(kinds, made.map(|kind| (kind, "RECOVERY")));
    assert!(said.person_confirmed, "with nobody left to confirm it, it would be good for nothing");
}
