//! Conversion of kill switches.

use std::mem;

use countersign_app::{EngageKillSwitch, Error, ReleaseKillSwitch};
use countersign_core::{
    kill_switch::{KillSwitch, KillSwitchScope, Target},
    text::MAX_TEXT,
};
use countersign_proto::v1;

use super::{enums::WireEnum, idempotency::Idem, page::Paging, read, time::timestamp};

pub(crate) fn engage(mut request: v1::EngageKillSwitchRequest) -> Result<(EngageKillSwitch, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("EngageKillSwitch", request_id, &request);
        let scope = v.enum_value("scope", request.scope);
        let target = scope.and_then(|scope: KillSwitchScope| {
            Target::new(scope, &request.id).map_err(|wrong| v.refuse("id", wrong.to_string()))
        });
        let reason = v.text("reason", request.reason, MAX_TEXT);
        Ok((EngageKillSwitch { target: target?, reason: reason? }, idem?))
    })
}

pub(crate) fn release(mut request: v1::ReleaseKillSwitchRequest) -> Result<(ReleaseKillSwitch, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ReleaseKillSwitch", request_id, &request);
        let kill_switch_id = v.required("kill_switch_id", &request.kill_switch_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        Ok((ReleaseKillSwitch { kill_switch_id: kill_switch_id?, reason: reason? }, idem?))
    })
}

pub(crate) fn list(mut request: v1::ListKillSwitchesRequest) -> Result<(Option<KillSwitchScope>, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListKillSwitches", size, &token, &request);
        let scope = v.optional_enum("scope", request.scope);
        Ok((scope?, paging?))
    })
}

pub(crate) fn kill_switch(switch: &KillSwitch) -> v1::KillSwitch {
    v1::KillSwitch {
        kill_switch_id: switch.kill_switch_id.to_string(),
        scope: switch.target.scope().to_wire(),
        id: switch.target.id().unwrap_or_default().to_owned(),
        reason: switch.reason.clone(),
        engaged_by: switch.engaged_by.to_string(),
        engage_time: Some(timestamp(switch.engage_time)),
    }
}
