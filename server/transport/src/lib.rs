//! gRPC, gRPC-web, JSON and HTTP doors: decode, authenticate, authorise, call app, encode.
