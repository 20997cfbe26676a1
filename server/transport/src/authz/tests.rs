use std::collections::BTreeSet;

use axum::response::Response;
use countersign_core::operator::OperatorRole;
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::middleware::{
    Pipeline, outcome,
    testing::{BOUNDS, request, stack},
};

/// A row that only tests add to the table: an owner may call its method too.
pub(crate) const ADDED: &[Row] =
    &[Row::roles("/countersign.v1.SponsorService/ApproveSponsorOrOwner", &[OperatorRole::Approver]).or_the_sponsor()];

/// Every method of everything that is served: its path, and whether its answer is a stream.
fn contract() -> BTreeSet<(String, bool)> {
    let sets = [
        countersign_proto::FILE_DESCRIPTOR_SET,
        countersign_proto::third_party::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = BTreeSet::new();
    for set in sets {
        for service in DescriptorPool::decode(set).unwrap().services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                methods.insert((path, method.is_server_streaming()));
            }
        }
    }
    methods
}

#[test]
fn every_method_has_exactly_one_row_and_every_row_a_method() {
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method.to_owned(), row.kind == CallKind::Stream)).collect();
    assert_eq!(rows.len(), TABLE.len(), "a method has two rows");
    assert_eq!(rows, contract());
}

#[test]
fn every_stop_says_where_the_log_holds_it() {
    let pool = DescriptorPool::decode(countersign_proto::FILE_DESCRIPTOR_SET).unwrap();
    for row in TABLE.iter().filter(|row| row.stops) {
        let (service, method) = row.method.trim_start_matches('/').split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let reply = service.methods().find(|known| known.name() == method).unwrap().output();
        assert!(reply.get_field_by_name("log_index").is_some(), "{}", row.method);
    }
}

#[test]
fn what_changes_nothing_is_no_administration() {
    let work = TABLE.iter().filter(|row| row.work == Work::Other && row.kind == CallKind::Request);
    let names: Vec<_> = work.map(|row| row.method.rsplit('/').next().unwrap()).collect();
    let expected = [
        "IntrospectCredential",
        "Decide",
        "BatchDecide",
        "ValidatePolicy",
        "RecordToolCall",
        "BatchRecordToolCalls",
        "GetCheckpoint",
        "GetInclusionProof",
        "GetConsistencyProof",
        "WhoAmI",
        "GetReadiness",
        "Check",
        "CheckRequest",
        "CheckResponse",
        "Check",
    ];
    assert_eq!(names, expected);
    assert!(TABLE.iter().filter(|row| row.stops).all(|row| row.work == Work::Administers));
}

#[test]
fn what_is_open_or_for_everyone_can_be_counted_on_one_hand() {
    let with = |access: Access| -> Vec<_> {
        TABLE.iter().filter(|row| row.access == access).map(|row| row.method.rsplit('/').next().unwrap()).collect()
    };
    assert_eq!(with(Access::Open), ["Check", "Watch", "ServerReflectionInfo", "ServerReflectionInfo"]);
    assert_eq!(with(Access::Authenticated), ["WhoAmI", "GetReadiness"]);
}

#[test]
fn instances_may_call_what_credentials_say_and_nothing_else() {
    let with = |wanted: Instance| -> Vec<_> {
        let granted = |row: &&Row| matches!(row.access, Access::Granted { instance, .. } if instance == wanted);
        TABLE.iter().filter(granted).map(|row| row.method.rsplit('/').next().unwrap()).collect()
    };
    assert_eq!(with(Instance::Recorded), ["Decide", "BatchDecide"]);
    let live = [
        "DelegateCredential",
        "IntrospectCredential",
        "RevokeCredential",
        "WatchRevocations",
        "MintJwtSvid",
        "MintX509Svid",
        "WaitApproval",
        "WatchRollouts",
    ];
    assert_eq!(with(Instance::Reporting), ["RecordToolCall", "BatchRecordToolCalls"]);
    assert_eq!(with(Instance::Live), live);
}

#[test]
fn a_sponsor_without_a_role_stops_and_answers_what_is_theirs() {
    let rows = TABLE.iter().filter(|row| row.sponsor);
    let names: Vec<_> = rows.clone().map(|row| row.method.rsplit('/').next().unwrap()).collect();
    let stops = ["SuspendSponsor", "RevokeSponsor", "RevokeInstance", "EndInstance"];
    let answers = ["GetApproval", "ListApprovals", "Approve", "Reject"];
    assert_eq!(names, [stops, answers].concat());
    for row in rows {
        let Access::Granted { roles, .. } = row.access else { panic!("{} takes no role", row.method) };
        assert_eq!(row.basis(Roles::NONE), AccessBasis::OwnerOnly(roles), "{}", row.method);
        assert_eq!(row.basis(roles), AccessBasis::Role, "{}", row.method);
    }
}

/// The whole stack over a service that says yes to everything.
fn agreeable() -> Pipeline {
    stack(BOUNDS).wrap(service_fn(|_| async { Ok(Status::ok("").into_http::<axum::body::Body>()) }))
}

async fn call(pipeline: &Pipeline, method: &str, bearer: Option<&str>) -> Status {
    let response: Response = pipeline.clone().oneshot(request(method, bearer)).await.unwrap();
    outcome(&response).expect("a status in the headers")
}

#[tokio::test]
async fn every_role_gets_the_tables_answer_on_every_method() {
    let pipeline = agreeable();
    for row in TABLE {
        for bearer in [None, Some("wrong-key")] {
            let expected = if row.access == Access::Open { Code::Ok } else { Code::Unauthenticated };
            assert_eq!(call(&pipeline, row.method, bearer).await.code(), expected, "{} as {bearer:?}", row.method);
        }
        for role in OperatorRole::ALL.map(Some).into_iter().chain([None]) {
            let may = match row.access {
                Access::Open | Access::Authenticated => true,
                Access::Granted { roles, .. } => row.sponsor || role.is_some_and(|role| roles.has(role)),
            };
            let expected = if may { Code::Ok } else { Code::PermissionDenied };
            let bearer = role.map_or("nobody", OperatorRole::as_str);
            let status = call(&pipeline, row.method, Some(bearer)).await;
            assert_eq!(status.code(), expected, "{} as {bearer}: {status:?}", row.method);
        }
    }
}

#[test]
fn an_instance_gets_exactly_the_tables_answer_live_or_dead() {
    let live = || Ok(());
    let dead = || Err(Error::Unauthenticated { message: "the credential is revoked".to_owned() });
    for row in TABLE {
        let (of_live, of_dead) = (row.permit(Requester::Instance(&live)), row.permit(Requester::Instance(&dead)));
        let instance = match row.access {
            Access::Open => Instance::Recorded,
            Access::Authenticated => Instance::Live,
            Access::Granted { instance, .. } => instance,
        };
        let as_expected = match instance {
            Instance::Never => {
                matches!((of_live, of_dead), (Err(Error::RoleRequired { .. }), Err(Error::RoleRequired { .. })))
            }
            Instance::Live => matches!((of_live, of_dead), (Ok(()), Err(Error::Unauthenticated { .. }))),
            Instance::Recorded | Instance::Reporting => matches!((of_live, of_dead), (Ok(()), Ok(()))),
        };
        assert!(as_expected, "{}", row.method);
    }
}

#[tokio::test]
async fn a_refusal_names_the_roles_that_may() {
    let pipeline = agreeable();
    for (method, caller, roles) in [
        ("/countersign.v1.SponsorService/RegisterSponsor", "gate", "registrar"),
        ("/countersign.v1.SponsorService/DepartSponsor", "admin", "registrar,approver"),
        ("/countersign.v1.CredentialService/IssueCredential", "auditor", "issuer"),
    ] {
        let status = call(&pipeline, method, Some(caller)).await;
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["roles"].as_str()), ("ROLE_REQUIRED", roles), "{method}");
    }
}

#[tokio::test]
async fn a_method_without_a_row_is_refused_whoever_calls() {
    let pipeline = agreeable();
    for method in ["/countersign.v1.SponsorService/DeleteEverything", "/countersign.v2.SponsorService/GetSponsor", "/"]
    {
        for bearer in [None, Some("admin"), Some("gate")] {
            assert_eq!(call(&pipeline, method, bearer).await.code(), Code::Unimplemented, "{method} as {bearer:?}");
        }
    }
}

#[test]
fn methods_that_stop_or_read_are_marked_by_their_names() {
    let stops =
        ["Revoke", "Suspend", "Depart", "Reject", "End", "Engage", "Pause", "Rollback", "Mark", "Disable", "Delete"];
    for row in TABLE {
        let name = row.method.rsplit('/').next().unwrap();
        assert_eq!(row.stops, stops.iter().any(|stop| name.starts_with(stop)), "{name}");
        assert!(!row.reads() || ["Get", "List", "Explain"].iter().any(|read| name.starts_with(read)), "{name}");
        assert!(!row.reads() || row.kind == CallKind::Request, "{name}");
        let listed = name.starts_with("List") && row.access != Access::Open;
        assert!(!listed || row.reads(), "{name}");
    }
}
