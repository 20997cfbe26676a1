//! Server reflection, in both versions that clients use. It shows the public contract and the public services of other
//! projects.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

/// `services`, with reflection over the contract, the third-party services, the error details, health and reflection
/// itself.
pub(crate) fn reflected(services: Routes) -> Result<Routes, Error> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(countersign_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(countersign_proto::third_party::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The types of error details, so that a client without generated code can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(services.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
