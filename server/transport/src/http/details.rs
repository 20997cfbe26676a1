//! The `google.rpc` details of a status, for front ends that write JSON.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// The descriptor of `google.rpc`. It is compiled in, and a test checks it.
static GOOGLE_RPC: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .expect("tonic-types describes its own messages");
    pool
});

/// The details of one status.
pub(crate) struct Details {
    list: Vec<Any>,
    /// The same as typed values.
    pub(crate) known: ErrorDetails,
}

impl Details {
    pub(crate) fn of(status: &Status) -> Self {
        let list = tonic_types::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
        Self { list, known: status.get_error_details() }
    }

    /// When the caller may try again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.known.retry_info().and_then(|info| info.retry_delay)
    }

    /// The list for Connect: the bytes for programs, and `debug` for persons.
    pub(crate) fn connect(&self) -> Value {
        let detail = |any: &Any| {
            let name = any.type_url.rsplit('/').next().unwrap_or_default();
            let mut detail = json!({ "type": name, "value": STANDARD_NO_PAD.encode(&any.value) });
            if let Some(readable) = readable(name, &any.value) {
                detail["debug"] = readable;
            }
            detail
        };
        self.list.iter().map(detail).collect()
    }
}

fn readable(name: &str, bytes: &[u8]) -> Option<Value> {
    let message = DynamicMessage::decode(GOOGLE_RPC.get_message_by_name(name)?, bytes).ok()?;
    serde_json::to_value(&message).ok()
}
