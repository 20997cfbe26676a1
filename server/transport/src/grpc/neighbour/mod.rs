//! Services of other projects, over the same use cases: whoever speaks them is gated without code of ours. Their errors are
//! ours here; the door of the neighbours makes refusals of them, in their own words.

mod ext_authz;
mod ext_mcp;
