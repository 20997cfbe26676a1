//! Conversion of approvals, and how long WaitApproval waits if the request does not say (`DEFAULT_WAIT`).

use std::{mem, time::Duration};

use countersign_app::{AnswerApproval, ApprovalFilter, Error};
use countersign_core::{
    approval::Approval,
    ids::ApprovalId,
    text::{MAX_TEXT, shown},
};
use countersign_proto::v1;

use super::{enums::WireEnum, idempotency::Idem, page::Paging, read, text, time::timestamp};
use crate::authz::LONGEST_WAIT;

/// How long WaitApproval waits if the request does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

pub(crate) fn get(request: &v1::GetApprovalRequest) -> Result<ApprovalId, Error> {
    read(|v| v.required("approval_id", &request.approval_id))
}

pub(crate) fn list(mut request: v1::ListApprovalsRequest) -> Result<(ApprovalFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListApprovals", size, &token, &request);
        let state = v.optional_enum("state", request.state);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let tool_id = v.optional("tool_id", &request.tool_id);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter = ApprovalFilter {
            state: state?,
            sponsor_id: sponsor_id?,
            of_person: None,
            agent_instance_id: agent_instance_id?,
            tool_id: tool_id?,
            start_time: start_time?,
            end_time: end_time?,
        };
        Ok((filter, paging?))
    })
}

pub(crate) fn approve(mut request: v1::ApproveRequest) -> Result<(AnswerApproval, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("Approve", request_id, &request);
        let approval_id = v.required("approval_id", &request.approval_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((AnswerApproval { approval_id: approval_id?, yes: true, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn reject(mut request: v1::RejectRequest) -> Result<(AnswerApproval, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("Reject", request_id, &request);
        let approval_id = v.required("approval_id", &request.approval_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((AnswerApproval { approval_id: approval_id?, yes: false, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn wait(request: &v1::WaitApprovalRequest) -> Result<(ApprovalId, Duration), Error> {
    read(|v| {
        let approval_id = v.required("approval_id", &request.approval_id);
        let longest = u32::try_from(LONGEST_WAIT.as_millis()).unwrap_or(u32::MAX);
        let millis = v.milliseconds("wait", request.wait, longest);
        let wait = millis?.map_or(DEFAULT_WAIT, |millis| Duration::from_millis(millis.into()));
        Ok((approval_id?, wait))
    })
}

pub(crate) fn approval(approval: Approval) -> v1::Approval {
    let (etag, state) = (approval.etag(), approval.state.to_wire());
    let (call, answer) = (approval.call, approval.answer);
    v1::Approval {
        approval_id: approval.approval_id.to_string(),
        policy_decision_id: approval.policy_decision_id.to_string(),
        state,
        sponsor_id: call.sponsor_id.to_string(),
        agent_instance_id: call.agent_instance_id.to_string(),
        tool_id: call.tool_id.to_string(),
        action: call.action.to_string(),
        request_hash: call.request_hash.map(Vec::from).unwrap_or_default(),
        create_time: Some(timestamp(approval.create_time)),
        expire_time: Some(timestamp(approval.expire_time)),
        answered_by: text(answer.as_ref().map(|answer| &answer.by)),
        answer_time: answer.as_ref().map(|answer| timestamp(answer.time)),
        reason: answer.map(|answer| shown(&answer.reason).into_owned()).unwrap_or_default(),
        purpose: shown(&call.purpose).into_owned(),
        etag,
        root_instance_id: approval.root_instance_id.to_string(),
        context: call.context.shown(),
        arguments: approval.arguments.map(|arguments| arguments.shown()).unwrap_or_default(),
    }
}
