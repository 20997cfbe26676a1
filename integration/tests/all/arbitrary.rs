//! Anything at all in every field of every method: an answer that means something, never a fault of the server.

use std::{cell::Cell, time::Duration};

use countersign_proto::FILE_DESCRIPTOR_SET;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use tokio::time::timeout;
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    dynamic::{Caller, contract},
    support::{World, info},
};

/// Calls in all.
const CASES: u32 = 1_500;
/// In what time every call is answered, however busy the machine is.
const IN_TIME: Duration = Duration::from_secs(10);
/// How long a stream is listened to, which may have nothing to say.
const A_MOMENT: Duration = Duration::from_millis(500);
/// Deepest message that is filled.
const DEPTH: usize = 4;

/// What goes into fields, taken in turn.
#[derive(Debug, Clone)]
struct Material {
    texts: Vec<String>,
    numbers: Vec<i64>,
    /// How many items a list gets, and whether an optional field gets any.
    counts: Vec<usize>,
    taken: usize,
}

impl Material {
    fn next(&mut self) -> usize {
        self.taken += 1;
        self.taken
    }

    fn text(&mut self) -> String {
        let nth = self.next();
        self.texts[nth % self.texts.len()].clone()
    }

    fn number(&mut self) -> i64 {
        let nth = self.next();
        self.numbers[nth % self.numbers.len()]
    }

    fn count(&mut self) -> usize {
        let nth = self.next();
        self.counts[nth % self.counts.len()]
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let count = self.count();
            if field.is_map() {
                let entry = field.kind().as_message().unwrap().clone();
                let value = entry.map_entry_value_field();
                let entries = (0..count).map(|_| (MapKey::String(self.text()), self.value(&value, depth)));
                message.set_field(&field, Value::Map(entries.collect()));
            } else if field.cardinality() == Cardinality::Repeated {
                let items = (0..count).map(|_| self.value(&field, depth)).collect();
                message.set_field(&field, Value::List(items));
            } else if count > 0 {
                let value = self.value(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::Message(descriptor) if depth < DEPTH => Value::Message(self.message(&descriptor, depth + 1)),
            Kind::Message(descriptor) => Value::Message(DynamicMessage::new(descriptor)),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.text().into_bytes().into()),
            Kind::Bool => Value::Bool(self.count() > 0),
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.number() as i32),
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            Kind::Enum(_) => Value::EnumNumber(self.number() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number()),
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            Kind::Double => Value::F64(self.number() as f64 / 3.0),
            kind => panic!("{} is of a kind that the contract did not have: {kind:?}", field.full_name()),
        }
    }
}

/// Texts: anything; and what is nearly right, which gets further.
fn text() -> impl Strategy<Value = String> {
    let near = [
        "",
        "alice",
        "bob",
        "support",
        "billing",
        "refund",
        "pv_1",
        "observe",
        "dec_",
        "inst_",
        "0",
        "\0",
        "a\0b",
        "dec_0190a5d0-ac96-774b-bcce-b302099a8057",
        "inst_0190a5d0-ac96-774b-bcce-b302099a8057",
        "'; DROP TABLE sponsor; --",
        "roll_0190a5d0-ac96-774b-bcce-b302099a8057",
        "evt_0190a5d0-ac96-774b-bcce-b302099a8057",
        "\u{202e}\u{feff}",
        "%",
        "dec_ffffffff-ffff-ffff-ffff-ffffffffffff",
        "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
        "rules: [",
        "rules:\n  - id: x\n",
        "*",
        "AAAAAAAAAAAx",
        "permit(principal, action, resource);",
        "a@b.c",
        "2026-01-01T00:00:00Z",
        "\u{1F980}",
        "pv_9223372036854775807",
    ];
    prop_oneof![
        4 => proptest::sample::select(near.to_vec()).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => "[a-z0-9._@-]{1,64}",
        1 => "\\PC{0,600}",
    ]
}

fn material() -> impl Strategy<Value = Material> {
    let number = prop_oneof![
        Just(0_i64),
        Just(1),
        Just(-1),
        Just(300),
        Just(1_764_000_000),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(i64::from(i32::MAX)),
        Just(i64::from(i32::MIN)),
        Just(1 << 32),
        any::<i64>(),
        0..1000_i64,
    ];
    let texts = prop::collection::vec(text(), 1..12);
    let numbers = prop::collection::vec(number, 1..8);
    let counts = prop::collection::vec(prop_oneof![1 => Just(0_usize), 4 => Just(1), 1 => 2..6_usize], 1..12);
    (texts, numbers, counts).prop_map(|(texts, numbers, counts)| Material { texts, numbers, counts, taken: 0 })
}

#[test]
fn no_field_of_any_method_makes_the_server_fail() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let caller = runtime.block_on(async {
        let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
        Caller::new(channel, None)
    });
    let methods = contract(&DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap());
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let strategy = (0..methods.len(), material());
    let done = Cell::new(0_u32);
    let outcome = TestRunner::new(config).run(&strategy, |(nth, mut material)| {
        let method = &methods[nth];
        let request = material.message(&method.input(), 0);
        let shown = format!("{} {request:?}", method.full_name());
        let patience = if method.is_server_streaming() { A_MOMENT } else { IN_TIME };
        let answer = runtime.block_on(async { timeout(patience, caller.call(method, request)).await });
        match answer {
            // A stream that has nothing to say.
            Err(_) => prop_assert!(method.is_server_streaming(), "no answer in time: {shown}"),
            Ok(Err(status)) => meaningful(&status).map_err(|why| TestCaseError::fail(format!("{why}: {shown}")))?,
            Ok(Ok(_)) => done.set(done.get() + 1),
        }
        Ok(())
    });
    assert!(!world.server.log().contains("panicked"), "the server panicked");
    outcome.unwrap();
    // Enough of it is well formed to get behind the doors.
    assert!(done.get() > CASES / 20, "only {} of {CASES} calls were carried out", done.get());
    runtime.block_on(async {
        world.server.ready().await.unwrap();
        // Somebody whom none of the calls can have meant: alice may have been suspended by one.
        world.sponsor("stranger-to-all").await;
        assert_eq!(
            world.run_of("stranger-to-all").await.decide("search", "query").await.unwrap().rule_ids,
            ["allow-support-search"]
        );
    });
}

fn meaningful(status: &Status) -> Result<(), String> {
    if [Code::Internal, Code::Unknown, Code::Unavailable, Code::DataLoss, Code::Cancelled].contains(&status.code()) {
        return Err(format!("{status:?}"));
    }
    if info(status).reason.is_empty() { Err(format!("no reason: {status:?}")) } else { Ok(()) }
}
