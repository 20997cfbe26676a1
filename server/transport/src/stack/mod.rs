//! The pipeline that every call passes.
mod context;

pub(crate) use context::RequestContext;
