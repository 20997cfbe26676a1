//! Conversion of instances.

use std::mem;

use countersign_app::{AcceptInstance, Error, InstanceFilter, InstanceFilterState, InstanceRecord, TransitionInstance};
use countersign_core::{
    ids::InstanceId,
    instance::{Instance, InstanceState, StopInstance},
    text::MAX_TEXT,
};
use countersign_proto::v1;

use super::{enums::WireEnum, idempotency::Idem, narrow, page::Paging, read, text, texts, time::timestamp};

pub(crate) fn get(request: &v1::GetInstanceRequest) -> Result<InstanceId, Error> {
    read(|v| v.required("agent_instance_id", &request.agent_instance_id))
}

pub(crate) fn revoke(mut request: v1::RevokeInstanceRequest) -> Result<(TransitionInstance, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RevokeInstance", request_id, &request);
        let agent_instance_id = v.required("agent_instance_id", &request.agent_instance_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let revoke = TransitionInstance {
            agent_instance_id: agent_instance_id?,
            transition: StopInstance::Revoke,
            reason: reason?,
            etag: etag?,
        };
        Ok((revoke, idem?))
    })
}

pub(crate) fn end(mut request: v1::EndInstanceRequest) -> Result<(TransitionInstance, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("EndInstance", request_id, &request);
        let agent_instance_id = v.required("agent_instance_id", &request.agent_instance_id);
        let reason = v.optional_text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let end = TransitionInstance {
            agent_instance_id: agent_instance_id?,
            transition: StopInstance::End,
            reason: reason?.unwrap_or_default(),
            etag: etag?,
        };
        Ok((end, idem?))
    })
}

pub(crate) fn accept(mut request: v1::AcceptInstanceRequest) -> Result<(AcceptInstance, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("AcceptInstance", request_id, &request);
        let agent_instance_id = v.required("agent_instance_id", &request.agent_instance_id);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let accept = AcceptInstance {
            agent_instance_id: agent_instance_id?,
            sponsor_id: sponsor_id?,
            reason: reason?,
            etag: etag?,
        };
        Ok((accept, idem?))
    })
}

pub(crate) fn list(mut request: v1::ListInstancesRequest) -> Result<(InstanceFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListInstances", size, &token, &request);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let root_instance_id = v.optional("root_instance_id", &request.root_instance_id);
        let parent_agent_id = v.optional("parent_agent_id", &request.parent_agent_id);
        let state = v.optional_enum("state", request.state);
        let agent = v.optional("agent", &request.agent);
        let role = v.optional("role", &request.role);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter = InstanceFilter {
            sponsor_id: sponsor_id?,
            root_instance_id: root_instance_id?,
            parent_agent_id: parent_agent_id?,
            standing: state?.map(InstanceFilterState::into),
            agent: agent?,
            role: role?,
            start_time: start_time?,
            end_time: end_time?,
        };
        Ok((filter, paging?))
    })
}

/// An instance right after a change of it, when its credential cannot have expired.
pub(crate) fn changed(changed: Instance) -> v1::Instance {
    let state = match changed.state {
        InstanceState::Live => InstanceFilterState::Live,
        InstanceState::Ended => InstanceFilterState::Ended,
        InstanceState::Revoked => InstanceFilterState::Revoked,
        InstanceState::Orphaned => InstanceFilterState::Orphaned,
    };
    instance(InstanceRecord { instance: changed, state })
}

pub(crate) fn instance(InstanceRecord { instance, state }: InstanceRecord) -> v1::Instance {
    v1::Instance {
        etag: instance.etag(),
        agent_instance_id: instance.agent_instance_id.to_string(),
        parent_agent_id: text(instance.parent_agent_id),
        root_instance_id: instance.root_instance_id.to_string(),
        chain: texts(instance.chain),
        sponsor_id: instance.sponsor_id.to_string(),
        agent: instance.agent.to_string(),
        role: instance.role.to_string(),
        inherited_roles: texts(instance.inherited_roles),
        tools: texts(instance.tools),
        purpose: instance.purpose,
        depth: narrow(instance.depth),
        state: state.to_wire(),
        labels: instance.labels,
        create_time: Some(timestamp(instance.create_time)),
        expire_time: Some(timestamp(instance.expire_time)),
        end_time: instance.end_time.map(timestamp),
    }
}
