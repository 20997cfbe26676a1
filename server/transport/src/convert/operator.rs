//! Operators.

use countersign_app::Caller;
use countersign_proto::v1;

use super::texts;

pub(crate) fn who(caller: &Caller) -> v1::WhoAmIResponse {
    match caller {
        Caller::Operator(operator) => v1::WhoAmIResponse {
            operator_id: operator.operator_id.to_string(),
            roles: texts(operator.roles.iter()),
            anonymous: operator.anonymous,
            ..Default::default()
        },
        Caller::Instance(instance) => v1::WhoAmIResponse {
            agent_instance_id: instance.agent_instance_id.to_string(),
            sponsor_id: instance.sponsor_id.to_string(),
            ..Default::default()
        },
    }
}
