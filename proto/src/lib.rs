//! The `countersign.v1` protocol: messages, clients and servers, generated from `countersign/v1/*.proto`, and the
//! descriptor sets for gRPC reflection. With the feature `third_party`, also the generated services of other projects
//! (Envoy's `ext_authz`, agentgateway's `ExtMcp`).

/// The generated packages.
pub mod countersign {
    /// Version 1 of the contract. Changes only add.
    pub mod v1 {
        tonic::include_proto!("countersign.v1");
    }
}

pub use countersign::v1;

mod texts;
pub use texts::Texts;
use texts::under;

/// The encoded `google.protobuf.FileDescriptorSet` of the contract with its imports and comments, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.bin"));

/// The services of other projects that the server answers too, from `third_party/`. The modules are their packages; those of
/// annotations alone are left out.
#[cfg(feature = "third_party")]
pub mod third_party {
    /// Envoy's API.
    pub mod envoy {
        /// Configuration.
        pub mod config {
            /// What everything else is made of.
            pub mod core {
                /// Version 3.
                pub mod v3 {
                    tonic::include_proto!("envoy.config.core.v3");
                }
            }
        }
        /// Services.
        pub mod service {
            /// `ext_authz`.
            pub mod auth {
                /// Version 3.
                pub mod v3 {
                    tonic::include_proto!("envoy.service.auth.v3");
                }
            }
        }
        /// Values.
        pub mod r#type {
            /// Version 3.
            pub mod v3 {
                tonic::include_proto!("envoy.r#type.v3");
            }
        }
    }
    /// The xDS API.
    pub mod xds {
        /// What everything else is made of.
        pub mod core {
            /// Version 3.
            pub mod v3 {
                tonic::include_proto!("xds.core.v3");
            }
        }
    }
    /// Google's API.
    pub mod google {
        /// Statuses.
        pub mod rpc {
            tonic::include_proto!("google.rpc");
        }
    }
    /// The agentgateway.
    pub mod agentgateway {
        /// Its namespace.
        pub mod dev {
            /// `ExtMcp`.
            pub mod ext_mcp {
                tonic::include_proto!("agentgateway.dev.ext_mcp");
            }
        }
    }

    /// The encoded descriptors of these, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/third_party.bin"));
}
