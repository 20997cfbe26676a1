//! The same number at every door: refused everywhere, or the same number everywhere.

use countersign_client::v1;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::Value;
use tonic::Code;

use crate::{
    approvals::activate,
    authzen::{EVALUATION, gate},
    ext_mcp::{Gateway, allowed},
    support::{Run, World, decide},
};

/// A call is allowed where its `n` is 42.
const POLICY: &str = r"
rules:
  - {id: plain, role: support, tool: billing, allowed_actions: [refund], when: context has n && context.n == 42}
  - {id: mcp, role: support, tool: billing, allowed_actions: [wire], when: context.arguments has n && context.arguments.n == 42}
  - {id: max, role: support, tool: billing, allowed_actions: [refund], when: context has n && context.n == 9007199254740991}
  - {id: max-mcp, role: support, tool: billing, allowed_actions: [wire], when: context.arguments has n && context.arguments.n == 9007199254740991}
  - {id: beyond, role: support, tool: billing, allowed_actions: [refund], when: context has n && context.n > 9007199254740991}
";

/// What a door makes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Allowed,
    Denied,
    Refused,
}

impl Made {
    fn of(effect: Option<bool>) -> Self {
        effect.map_or(Self::Refused, |allowed| if allowed { Self::Allowed } else { Self::Denied })
    }
}

/// gRPC: a Struct holds doubles.
async fn grpc(run: &Run, token: &str) -> Made {
    let value = ProtoValue { kind: Some(Kind::NumberValue(token.parse().unwrap())) };
    let context = Some(Struct { fields: [("n".to_owned(), value)].into() });
    let request = v1::DecideRequest { context, ..decide("billing", "refund") };
    match run.connection.decisions().decide(request).await {
        Ok(answer) => Made::of(Some(answer.into_inner().effect() == v1::Effect::Allow)),
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{token}: {status}");
            Made::Refused
        }
    }
}

async fn json(world: &World, run: &Run, token: &str) -> Made {
    let body = format!(r#"{{"tool_id":"billing","action":"refund","context":{{"n":{token}}}}}"#);
    let http = world.server.http(Some(&run.token));
    let answer = http.post("/countersign.v1.DecisionService/Decide", body).await.unwrap();
    match answer.status.as_u16() {
        200 => Made::of(Some(answer.json()["effect"] == "EFFECT_ALLOW")),
        status => {
            assert_eq!((status, answer.json()["code"].as_str()), (400, Some("invalid_argument")), "{token}");
            Made::Refused
        }
    }
}

async fn authzen(world: &World, run: &Run, token: &str) -> Made {
    let subject = format!(r#"{{"type":"instance","id":"{}"}}"#, run.id);
    let body = format!(
        r#"{{"subject":{subject},"action":{{"name":"refund"}},"resource":{{"type":"tool","id":"billing"}},"context":{{"n":{token}}}}}"#
    );
    let answer = gate(world).post(EVALUATION, body).await.unwrap();
    match answer.status.as_u16() {
        200 => Made::of(answer.json()["decision"].as_bool()),
        status => {
            assert_eq!(status, 400, "{token}: {}", answer.text());
            Made::Refused
        }
    }
}

async fn ext_mcp(gateway: &mut Gateway, run: &Run, token: &str) -> Made {
    let params = format!(r#"{{"name":"wire","arguments":{{"n":{token}}}}}"#);
    let answer = gateway.check_text("tools/call", &params, &run.token).await.unwrap();
    let said: Result<(), Value> = allowed(answer);
    match said {
        Ok(()) => Made::Allowed,
        Err(said) if said["effect"] == "DENY" => Made::Denied,
        Err(said) => {
            assert_eq!(said["reason"], "INVALID_REQUEST", "{token}: {said}");
            Made::Refused
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_refused_everywhere_or_means_the_same_everywhere() {
    let world = World::start().await;
    activate(&world, POLICY).await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    for (tokens, expected) in [
        ("42 42.0 4.2e1 4200E-2 9007199254740991 9007199254740991.0 9007199254740991e0", Made::Allowed),
        ("0 -0 -0.0 41 43 -42 -9007199254740991 0e999 9007199254740990", Made::Denied),
        (
            "9007199254740992 -9007199254740992 9007199254740993 9223372036854775807 -9223372036854775808 \
             18446744073709551616 1e16 9.007199254740992e15 1e300 123456789012345678901234567890",
            Made::Refused,
        ),
    ] {
        for token in tokens.split_whitespace() {
            let made = [
                grpc(&run, token).await,
                json(&world, &run, token).await,
                authzen(&world, &run, token).await,
                ext_mcp(&mut gateway, &run, token).await,
            ];
            assert_eq!(made, [expected; 4], "{token}: gRPC, JSON, AuthZEN, ExtMCP");
        }
    }
    // As text only: what a double does not hold is refused before it becomes one. gRPC is sent the double.
    for token in ["42.00000000000000000001", "1e400", "1e-400", "0.1234567890123456789"] {
        let made = [
            json(&world, &run, token).await,
            authzen(&world, &run, token).await,
            ext_mcp(&mut gateway, &run, token).await,
        ];
        assert_eq!(made, [Made::Refused; 3], "{token}");
    }
}
