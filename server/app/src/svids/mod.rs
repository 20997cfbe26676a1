//! SPIFFE Verifiable Identity Documents: JWT and X.509, and the bundle that they are verified with.

pub(crate) mod mint_jwt_svid;
pub(crate) mod mint_x509_svid;
pub(crate) mod spiffe_bundle;
pub(crate) mod x509;
