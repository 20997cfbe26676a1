//! The contract holds what was agreed, and says what each part of it means.

use std::collections::BTreeMap;

use countersign_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::Type,
};

/// Every service and its methods, in the agreed order. Names here never change.
const METHODS: [(&str, &str); 12] = [
    (
        "SponsorService",
        "RegisterSponsor ApproveSponsor RejectSponsor SuspendSponsor ReinstateSponsor RecertifySponsor DepartSponsor \
         RevokeSponsor GetSponsor ListSponsors UpdateSponsor",
    ),
    ("InstanceService", "GetInstance ListInstances RevokeInstance EndInstance AcceptInstance"),
    (
        "CredentialService",
        "IssueCredential DelegateCredential IntrospectCredential RevokeCredential RevokeCredentials WatchRevocations",
    ),
    ("DecisionService", "Decide BatchDecide GetDecision ListDecisions ExplainDecision"),
    ("ApprovalService", "GetApproval ListApprovals Approve Reject WaitApproval"),
    (
        "PolicyService",
        "ValidatePolicy CreatePolicy GetPolicy ListPolicies ActivatePolicy SimulatePolicy WatchPolicy EngageKillSwitch \
         ReleaseKillSwitch ListKillSwitches ProposeCacheExtension ConfirmCacheExtension EndCacheExtension ListCacheExtensions",
    ),
    (
        "RolloutService",
        "StartRollout GetRollout ListRollouts AdvanceRollout PauseRollout ResumeRollout RollbackRollout WatchRollouts",
    ),
    (
        "CustodyService",
        "RecordToolCall BatchRecordToolCalls ListEvents GetCustodyChain ListOpenDecisions GetCheckpoint \
         GetInclusionProof GetConsistencyProof GetTile GetEntries ExportEvidence",
    ),
    ("KeyService", "ListSigningKeys RotateSigningKey MarkKeyCompromised"),
    (
        "OperatorService",
        "CreateOperator ListOperators SetOperatorRoles DisableOperator EnableOperator DeleteOperator CreateApiKey ConfirmApiKey \
         ListApiKeys RevokeApiKey BindPerson ConfirmPerson ListPersonBindings WhoAmI",
    ),
    ("StatusService", "GetReadiness GetIndicators"),
    ("SvidService", "MintJwtSvid MintX509Svid"),
];

/// The main messages and the fields that outside callers rely on.
const FIELDS: [(&str, &str); 14] = [
    (
        "Sponsor",
        "sponsor_id display_name email roles max_ttl max_depth state review_due_at create_time approve_time \
         revoke_time etag labels",
    ),
    ("RegisterSponsorRequest", "sponsor_id display_name email roles max_ttl max_depth labels request_id"),
    ("ApproveSponsorRequest", "sponsor_id reason etag request_id"),
    ("RevokeSponsorRequest", "sponsor_id reason etag request_id"),
    ("RevokeSponsorResponse", "sponsor revoked_instance_count"),
    (
        "IssueCredentialRequest",
        "sponsor_id agent role tools purpose ttl single_use agent_instance_id labels request_id",
    ),
    ("IssueCredentialResponse", "token credential_id agent_instance_id expire_time ttl log_index"),
    ("DelegateCredentialRequest", "parent_token agent role tools purpose ttl single_use request_id"),
    ("DelegateCredentialResponse", "token credential_id agent_instance_id expire_time ttl log_index parent_agent_id"),
    ("DecideRequest", "token tool_id action purpose request_hash context approval_id want_receipt request_id"),
    (
        "DecideResponse",
        "policy_decision_id effect reason rule_ids policy_version rollout_id bucket enforcement cache_ttl log_index \
         receipt approval_id",
    ),
    ("RecordToolCallRequest", "policy_decision_id outcome response_hash duration request_id"),
    (
        "Rollout",
        "rollout_id baseline candidate percent sticky_key state steps increment_per_day gates min_soak scope \
         create_time advance_time rollback_reason",
    ),
    ("CustodyChain", "sponsor instances decisions events"),
];

/// Methods that change nothing of their own and so need no `request_id`.
fn only_reads(method: &str) -> bool {
    const READS: [&str; 9] =
        ["Get", "List", "Watch", "WaitApproval", "Validate", "Simulate", "Explain", "Export", "Introspect"];
    method == "WhoAmI" || READS.iter().any(|start| method.starts_with(start))
}

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the descriptor set decodes");
    let files: Vec<_> = set.file.into_iter().filter(|file| file.package() == "countersign.v1").collect();
    assert!(!files.is_empty(), "the package is in the descriptor set");
    files
}

fn messages() -> BTreeMap<String, DescriptorProto> {
    files().into_iter().flat_map(|file| file.message_type).map(|message| (message.name().to_owned(), message)).collect()
}

fn services() -> BTreeMap<String, ServiceDescriptorProto> {
    files().into_iter().flat_map(|file| file.service).map(|service| (service.name().to_owned(), service)).collect()
}

fn field_names(message: &DescriptorProto) -> Vec<&str> {
    message.field.iter().map(prost_types::FieldDescriptorProto::name).collect()
}

#[test]
fn every_agreed_method_exists_and_no_other() {
    let services = services();
    assert_eq!(services.len(), METHODS.len());
    for (name, methods) in METHODS {
        let found: Vec<_> = services[name].method.iter().map(prost_types::MethodDescriptorProto::name).collect();
        assert_eq!(found, methods.split_whitespace().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn every_agreed_field_exists() {
    let messages = messages();
    for (name, fields) in FIELDS {
        let found = field_names(&messages[name]);
        for field in fields.split_whitespace() {
            assert!(found.contains(&field), "{name} has no {field}");
        }
    }
}

#[test]
fn every_write_takes_a_request_id() {
    let messages = messages();
    for method in services().values().flat_map(|service| &service.method).filter(|method| !only_reads(method.name())) {
        let request = &messages[&format!("{}Request", method.name())];
        assert!(field_names(request).contains(&"request_id"), "{} is a write without request_id", method.name());
    }
}

#[test]
fn every_list_is_paged() {
    let messages = messages();
    for method in
        services().values().flat_map(|service| &service.method).filter(|method| method.name().starts_with("List"))
    {
        let request = field_names(&messages[&format!("{}Request", method.name())]).join(" ");
        assert!(request.starts_with("page_size page_token"), "{}: {request}", method.name());
        let response = &messages[&format!("{}Response", method.name())];
        assert!(field_names(response).contains(&"next_page_token"), "{}", method.name());
    }
}

#[test]
fn no_field_is_a_floating_point_number() {
    for message in messages().values() {
        for field in &message.field {
            assert!(!matches!(field.r#type(), Type::Double | Type::Float), "{}.{}", message.name(), field.name());
        }
    }
}

#[test]
fn every_service_method_message_field_and_enum_value_has_a_comment() {
    let mut missing = Vec::new();
    for file in files() {
        let info = file.source_code_info.clone().expect("source info is kept");
        let comments =
            info.location.iter().map(|at| (at.path.clone(), at.leading_comments().trim().to_owned())).collect();
        let mut paths = Paths { file: file.name().to_owned(), comments, missing: &mut missing };
        paths.file(&file);
    }
    assert!(missing.is_empty(), "without a comment: {missing:#?}");
}

/// Walks a file's declarations by their paths, as `google.protobuf.SourceCodeInfo` numbers them.
struct Paths<'a> {
    file: String,
    comments: BTreeMap<Vec<i32>, String>,
    missing: &'a mut Vec<String>,
}

impl Paths<'_> {
    fn file(&mut self, file: &FileDescriptorProto) {
        for (n, message) in numbered(&file.message_type) {
            self.message(message, &[4, n]);
        }
        for (n, item) in numbered(&file.enum_type) {
            self.enumeration(item, &[5, n]);
        }
        for (n, service) in numbered(&file.service) {
            self.check(&[6, n], service.name());
            for (m, method) in numbered(&service.method) {
                self.check(&[6, n, 2, m], method.name());
            }
        }
    }

    fn message(&mut self, message: &DescriptorProto, path: &[i32]) {
        // The entry type of a map is written by the compiler, not by a person.
        if message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry) {
            return;
        }
        self.check(path, message.name());
        for (n, field) in numbered(&message.field) {
            self.check(&[path, &[2, n]].concat(), &format!("{}.{}", message.name(), field.name()));
        }
        for (n, oneof) in numbered(&message.oneof_decl).filter(|(_, oneof)| !oneof.name().starts_with('_')) {
            self.check(&[path, &[8, n]].concat(), oneof.name());
        }
        for (n, nested) in numbered(&message.nested_type) {
            self.message(nested, &[path, &[3, n]].concat());
        }
        for (n, item) in numbered(&message.enum_type) {
            self.enumeration(item, &[path, &[4, n]].concat());
        }
    }

    fn enumeration(&mut self, item: &EnumDescriptorProto, path: &[i32]) {
        self.check(path, item.name());
        for (n, value) in numbered(&item.value) {
            self.check(&[path, &[2, n]].concat(), value.name());
        }
    }

    fn check(&mut self, path: &[i32], name: &str) {
        if self.comments.get(path).is_none_or(String::is_empty) {
            self.missing.push(format!("{}: {name}", self.file));
        }
    }
}

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (0..).zip(items)
}
