//! The `countersign.v1` protocol: messages, clients and servers, generated from `countersign/v1/*.proto`.

/// The generated packages.
pub mod countersign {
    /// Version 1 of the contract. Changes only add.
    pub mod v1 {
        tonic::include_proto!("countersign.v1");
    }
}

pub use countersign::v1;

/// The encoded `google.protobuf.FileDescriptorSet` of the contract with its imports and comments, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.bin"));

/// The services of other projects that the server answers too, from `neighbours/`.
#[cfg(feature = "neighbours")]
pub mod neighbours {
    tonic::include_proto!("neighbours");

    /// The encoded descriptors of these, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/neighbours.bin"));
}
