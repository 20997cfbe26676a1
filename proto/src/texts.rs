//! Finds U+0000 (NUL) in any text of a message, and returns the path of its field. `build.rs` writes [`Texts`] for
//! every message of the contract. In the messages of gateways, whose context is read later, nothing is searched.

use std::collections::BTreeMap;

include!(concat!(env!("OUT_DIR"), "/texts.rs"));

/// What may hold texts.
pub trait Texts {
    /// Where there is a text with U+0000 in it, as the path of its field; none: nowhere. Databases and programs in C take that
    /// character for the end of a text, and so read another one than was sent.
    fn nul(&self) -> Option<String>;
}

/// The path of what is at `rest` in the field `name`.
pub(crate) fn under(name: &str, rest: String) -> String {
    match rest.as_bytes().first() {
        None => name.to_owned(),
        Some(b'[') => format!("{name}{rest}"),
        Some(_) => format!("{name}.{rest}"),
    }
}

impl Texts for String {
    fn nul(&self) -> Option<String> {
        self.contains('\0').then(String::new)
    }
}

impl<T: Texts> Texts for Option<T> {
    fn nul(&self) -> Option<String> {
        self.as_ref()?.nul()
    }
}

impl<T: Texts> Texts for Box<T> {
    fn nul(&self) -> Option<String> {
        (**self).nul()
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn nul(&self) -> Option<String> {
        self.iter().enumerate().find_map(|(nth, item)| Some(under(&format!("[{nth}]"), item.nul()?)))
    }
}

/// A key that holds one is not named, since it would be repeated.
impl<T: Texts> Texts for BTreeMap<String, T> {
    fn nul(&self) -> Option<String> {
        self.iter().find_map(
            |(key, value)| {
                if key.contains('\0') { Some(String::new()) } else { Some(under(key, value.nul()?)) }
            },
        )
    }
}

impl Texts for prost_types::Struct {
    fn nul(&self) -> Option<String> {
        self.fields.nul()
    }
}

impl Texts for prost_types::Value {
    fn nul(&self) -> Option<String> {
        use prost_types::value::Kind;
        match self.kind.as_ref()? {
            Kind::StringValue(text) => text.nul(),
            Kind::StructValue(object) => object.nul(),
            Kind::ListValue(list) => list.values.nul(),
            Kind::NullValue(_) | Kind::NumberValue(_) | Kind::BoolValue(_) => None,
        }
    }
}

impl Texts for prost_types::FieldMask {
    fn nul(&self) -> Option<String> {
        self.paths.nul()
    }
}

impl Texts for prost_types::Timestamp {
    fn nul(&self) -> Option<String> {
        None
    }
}

impl Texts for prost_types::Duration {
    fn nul(&self) -> Option<String> {
        None
    }
}

/// What gateways send becomes a context, whose own reader looks at every text: nothing there is an error.
#[cfg(feature = "third_party")]
mod of_gateways {
    use super::Texts;
    use crate::third_party::{
        agentgateway::dev::ext_mcp::{McpRequest, McpResponse},
        envoy::service::auth::v3::CheckRequest,
    };

    impl Texts for CheckRequest {
        fn nul(&self) -> Option<String> {
            None
        }
    }

    impl Texts for McpRequest {
        fn nul(&self) -> Option<String> {
            None
        }
    }

    impl Texts for McpResponse {
        fn nul(&self) -> Option<String> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_text_is_found_wherever_it_is() {
        let text =
            |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.to_owned())) };
        let list = prost_types::ListValue { values: vec![text("a"), text("\0")] };
        let list = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
        let context = prost_types::Struct { fields: [("k".to_owned(), list)].into() };
        let decide = v1::DecideRequest { context: Some(context), ..Default::default() };
        assert_eq!(decide.nul().as_deref(), Some("context.k[1]"));
        let batch =
            v1::BatchDecideRequest { requests: vec![v1::DecideRequest::default(), decide], ..Default::default() };
        assert_eq!(batch.nul().as_deref(), Some("requests[1].context.k[1]"));
        let policy = v1::CreatePolicyRequest { cedar: "permit\0".to_owned(), ..Default::default() };
        assert_eq!(policy.nul().as_deref(), Some("cedar"));
        let labels = [("a".to_owned(), "\0".to_owned())].into();
        assert_eq!(v1::RegisterSponsorRequest { labels, ..Default::default() }.nul().as_deref(), Some("labels.a"));
        let scope = v1::revoke_credentials_request::Scope::ToolId("\0".to_owned());
        let revoke = v1::RevokeCredentialsRequest { scope: Some(scope), ..Default::default() };
        assert_eq!(revoke.nul().as_deref(), Some("tool_id"));
        assert_eq!(v1::DecideRequest::default().nul(), None);
    }
}
