//! A client that knows no generated code: it asks the server what there is, and calls it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    dynamic::{Caller, contract},
    support::World,
};

/// Asks one question of reflection.
async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
}

/// The services that the server lists, and everything they are made of.
async fn discover(channel: &Channel) -> (BTreeSet<String>, DescriptorPool) {
    let MessageResponse::ListServicesResponse(listed) = ask(channel, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services")
    };
    let services: BTreeSet<String> = listed.service.into_iter().map(|service| service.name).collect();
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut wanted: Vec<_> = services.iter().cloned().map(MessageRequest::FileContainingSymbol).collect();
    while let Some(question) = wanted.pop() {
        let MessageResponse::FileDescriptorResponse(answer) = ask(channel, question.clone()).await else {
            panic!("no file for {question:?}")
        };
        for bytes in answer.file_descriptor_proto {
            let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            let missing = file.dependency.iter().filter(|name| !files.contains_key(*name));
            wanted.extend(missing.cloned().map(MessageRequest::FileByFilename));
            files.insert(file.name().to_owned(), file);
        }
        wanted.retain(|question| !matches!(question, MessageRequest::FileByFilename(name) if files.contains_key(name)));
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files.into_values()).unwrap();
    (services, pool)
}

async fn call(caller: &Caller, pool: &DescriptorPool, method: &str, request: Value) -> Value {
    let (service, name) = method.split_once('/').unwrap();
    let service = pool.get_service_by_name(&format!("countersign.v1.{service}")).unwrap();
    let method = service.methods().find(|method| method.name() == name).unwrap();
    let request = DynamicMessage::deserialize(method.input(), request).unwrap();
    serde_json::to_value(caller.call(&method, request).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_nothing_finds_and_calls_everything() {
    let world = World::start().await;
    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let (services, pool) = discover(&channel).await;
    for name in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "countersign.v1.CustodyService",
        "envoy.service.auth.v3.Authorization",
        "agentgateway.dev.ext_mcp.ExtMcp",
    ] {
        assert!(services.contains(name), "{name} is not among {services:?}");
    }
    assert_eq!(services.iter().filter(|name| name.starts_with("countersign.v1.")).count(), 12);
    assert!(contract(&pool).len() > 60);

    let rita = Caller::new(channel.clone(), Some(&world.server.operator_key("rita").unwrap()));
    let ready = call(&rita, &pool, "StatusService/GetReadiness", json!({})).await;
    assert_eq!(ready["ready"], true);
    let bob = json!({"sponsorId": "bob", "displayName": "Bob", "email": "bob@example.com", "roles": ["support"]});
    let registered = call(&rita, &pool, "SponsorService/RegisterSponsor", bob).await;
    assert_eq!(registered["sponsor"]["state"], "SPONSOR_STATE_PENDING");
    let run = world.run_of("alice").await;
    let agent = Caller::new(channel, Some(&run.token));
    let decision =
        call(&agent, &pool, "DecisionService/Decide", json!({"toolId": "billing", "action": "refund"})).await;
    assert_eq!(decision["effect"], "EFFECT_ALLOW");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_grpcurl_lists_describes_and_calls() {
    let grpcurl = match grpcurl().await {
        Ok(path) => path,
        Err(why) => {
            eprintln!("SKIPPED: grpcurl cannot be had here: {why}");
            return;
        }
    };
    let world = World::start().await;
    let address = world.server.address().to_string();
    let authorization = format!("authorization: Bearer {}", world.server.operator_key("rita").unwrap());
    let run = async |args: &[&str]| {
        let output = Command::new(&grpcurl).arg("-plaintext").args(args).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (ok, services, error) = run(&[&address, "list"]).await;
    assert!(ok && services.contains("countersign.v1.DecisionService"), "{services}{error}");
    let (ok, described, error) = run(&[&address, "describe", "countersign.v1.SponsorService.ApproveSponsor"]).await;
    assert!(ok && described.contains("ApproveSponsorRequest"), "{described}{error}");
    let (ok, said, error) = run(&["-H", &authorization, &address, "countersign.v1.OperatorService/WhoAmI"]).await;
    assert!(ok && said.contains("rita"), "{said}{error}");
    let bob = r#"{"sponsor_id":"bob","display_name":"Bob","email":"bob@example.com","roles":["support"]}"#;
    let method = "countersign.v1.SponsorService/RegisterSponsor";
    let (ok, said, error) = run(&["-H", &authorization, "-d", bob, &address, method]).await;
    assert!(ok && said.contains("SPONSOR_STATE_PENDING"), "{said}{error}");
    let (ok, _, error) = run(&["-H", &authorization, "-d", bob, &address, method]).await;
    assert!(!ok && error.contains("AlreadyExists") && error.contains("ALREADY_EXISTS"), "{error}");
}

/// grpcurl on the PATH or in target/tools/bin, where it is built the first time.
async fn grpcurl() -> Result<PathBuf, String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.push(tools.clone());
    if let Some(found) = folders.iter().map(|folder| folder.join("grpcurl")).find(|path| path.is_file()) {
        return Ok(found);
    }
    let module = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";
    let mut go = Command::new("go");
    go.args(["install", module]).env("GOBIN", &tools).env("GOFLAGS", "-mod=mod").stdin(Stdio::null());
    let output = go.output().await.map_err(|error| format!("go: {error}"))?;
    if output.status.success() {
        Ok(tools.join("grpcurl"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}
