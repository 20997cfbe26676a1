//! What a newcomer is told in the first hour, and what a mistake is called.

use countersign_client::v1;
use countersign_integration::{Http, Launch};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{World, open_folder, room};

/// What a refusal says.
fn said(answer: &countersign_integration::Answer) -> String {
    assert!(answer.text().ends_with("}\n"), "JSON ends with a line: {}", answer.text());
    let json = answer.json();
    let message = json["message"].as_str().or(json["error"]["message"].as_str());
    message.unwrap_or_else(|| panic!("{json}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dev_server_says_what_to_do_next_and_a_taken_port_who_holds_it() {
    let _room = room().await;
    let folder = open_folder();
    let data = folder.path().join("data");
    let mut server = Launch::dev().data_dir(&data).start().await.unwrap();
    let (log, address) = (server.log(), server.address());
    for words in [
        format!("curl -sS http://{address}/issue"),
        format!("countersign demo --address {address} --data-dir "),
        "rita.key".to_owned(),
        "docs/operating.md".to_owned(),
    ] {
        assert!(log.contains(&words), "{words}: {log}");
    }
    assert_eq!(log.matches(" WARN ").count(), 1, "one warning: {log}");
    // The line that the screen shows does what it says.
    let (_, line) = log.split_once("-d '").unwrap();
    let body = line.split_once('\'').unwrap().0.to_owned();
    let issued = server.http(None).post("/issue", body).await.unwrap();
    assert!(issued.status.is_success() && issued.text().ends_with("}\n"), "{}", issued.text());

    let second = Launch::dev().data_dir(&folder.path().join("other"));
    let refused = second.variable("COUNTERSIGN_LISTEN", &address.to_string()).start().await.unwrap_err().to_string();
    let holder = format!("(process {})", server.pid());
    assert!(
        refused.contains("the port is taken by ")
            && refused.contains(&holder)
            && refused.contains("--listen")
            && refused.contains("127.0.0.1:0"),
        "{refused}"
    );

    server.ask_to_stop().unwrap();
    assert!(server.ended().await.unwrap().success());
    let log = server.log();
    assert_eq!(log.matches(" WARN ").count(), 1, "nor when it stops: {log}");
    // What Postgres says when its clients go is for who debugs.
    let shown: Vec<_> = log.lines().filter(|line| !line.contains(" DEBUG ")).collect();
    assert!(!shown.iter().any(|line| line.contains(" ERROR ") || line.contains("FATAL")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_called_what_it_is() {
    let world = World::start().await;
    let server = &world.server;
    for (header, words) in [
        ("Bearer null", "the word null in place of a token"),
        ("Bearer undefined", "the word undefined in place of a token"),
        ("Bearer", "no token follows"),
        ("Bearer $TOKEN", "the name of a variable"),
        ("Bearer abc", "neither an API key (csk_...) nor a credential"),
        ("csk_abc", "without the word Bearer"),
    ] {
        for path in ["/issue", "/countersign.v1.OperatorService/WhoAmI"] {
            let headers = [("content-type", "application/json"), ("authorization", header)];
            let answer = server.http(None).send(Method::POST, path, &headers, "{}".into()).await.unwrap();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{header}");
            let said = said(&answer);
            assert!(said.contains(words), "{header}: {said}");
        }
    }
    // Who is no neighbour of the server needs a credential, in dev too.
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "192.0.2.1")];
    let answer = server.http(None).send(Method::POST, "/issue", &headers, "{}".into()).await.unwrap();
    assert!(said(&answer).contains("no credential came with the call"), "{}", answer.text());

    let rita = Http::new(server.address(), Some(&server.operator_key("rita").unwrap()));
    let issue = async |body: Value| said(&rita.post("/issue", body.to_string()).await.unwrap());
    let unknown = issue(json!({ "tool": "biling", "sponsor_id": "alice" })).await;
    assert!(unknown.contains("biling is no tool that the active policy knows; it knows billing, "), "{unknown}");
    assert!(unknown.contains("did you mean \"billing\"?"), "{unknown}");
    let unknown = issue(json!({ "tool": "biling", "sponsor_id": "alice", "role": "support" })).await;
    assert!(unknown.contains("did you mean \"billing\"?"), "{unknown}");
    let unknown = issue(json!({ "tool": "billing", "sponsor_id": "alice", "role": "supports" })).await;
    assert!(unknown.contains("not for supports; did you mean \"support\"?"), "{unknown}");

    let request = v1::CreateOperatorRequest {
        operator_id: "zed".to_owned(),
        display_name: "Zed".to_owned(),
        roles: vec!["aprover".to_owned()],
        ..Default::default()
    };
    let admin = crate::operators::admin(server).await;
    let refused = admin.operators().create_operator(request).await.unwrap_err();
    assert!(refused.message().contains("did you mean \"approver\"?"), "{refused:?}");
}
