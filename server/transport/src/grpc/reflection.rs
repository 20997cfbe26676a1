//! Server reflection, in both versions that clients ask for. It shows the public contract and other projects' public services.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

/// `services`, with reflection over the contract, the third-party services, the details of errors, health and itself.
pub(crate) fn reflected(services: Routes) -> Result<Routes, Error> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(countersign_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(countersign_proto::third_party::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What the details of an error are, so that a client without generated code can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(services.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
