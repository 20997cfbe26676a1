//! Services of other projects, over the same use cases: whoever speaks them is gated without code of ours.

mod ext_authz;
mod ext_mcp;
