use countersign_proto::v1::{self, key_service_server::KeyService};

use super::{Api, unimplemented::unimplemented_methods};

#[tonic::async_trait]
impl KeyService for Api {
    unimplemented_methods! { "KeyService":
        list_signing_keys(ListSigningKeysRequest) -> v1::ListSigningKeysResponse = "ListSigningKeys";
        rotate_signing_key(RotateSigningKeyRequest) -> v1::RotateSigningKeyResponse = "RotateSigningKey";
        mark_key_compromised(MarkKeyCompromisedRequest) -> v1::MarkKeyCompromisedResponse = "MarkKeyCompromised";
    }
}
