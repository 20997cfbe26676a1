//! The custody log's leaves and Merkle tree. No I/O; enough by itself to verify offline.
