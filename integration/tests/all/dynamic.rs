//! Calls by descriptor: what a client does that knows no generated code.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::Channel,
};

/// A caller under one identity.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) metadata: MetadataMap,
}

impl Caller {
    pub(crate) fn new(channel: Channel, token: Option<&str>) -> Self {
        let mut metadata = MetadataMap::new();
        if let Some(token) = token {
            metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Self { channel, metadata }
    }

    /// Calls a method, whatever it is; of a stream the first message, or an empty one where there is none yet.
    pub(crate) async fn call(
        &self,
        method: &MethodDescriptor,
        message: DynamicMessage,
    ) -> Result<DynamicMessage, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        let codec = DynamicCodec(method.output());
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        if method.is_server_streaming() {
            let mut stream: Streaming<_> = grpc.server_streaming(request, path, codec).await?.into_inner();
            return Ok(stream.message().await?.unwrap_or_else(|| DynamicMessage::new(method.output())));
        }
        Ok(grpc.unary(request, path, codec).await?.into_inner())
    }
}

/// Every method of the contract.
pub(crate) fn contract(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let services = pool.services().filter(|service| service.package_name() == "countersign.v1");
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Encodes and decodes by descriptor; this is the answer's.
#[derive(Debug, Clone)]
struct DynamicCodec(MessageDescriptor);

struct Writer(PhantomData<DynamicMessage>);
struct Reader(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Writer;
    type Decoder = Reader;

    fn encoder(&mut self) -> Writer {
        Writer(PhantomData)
    }

    fn decoder(&mut self) -> Reader {
        Reader(self.0.clone())
    }
}

impl Encoder for Writer {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message.encode_to_vec());
        Ok(())
    }
}

impl Decoder for Reader {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        DynamicMessage::decode(self.0.clone(), bytes).map(Some).map_err(|error| Status::unknown(error.to_string()))
    }
}
