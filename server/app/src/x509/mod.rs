//! X.509-SVIDs: the authorities that sign them, when each does, and the certificates.

mod authority;
mod certificate;
mod csr;
mod keep;
mod window;

pub(crate) use authority::Authorities;
pub(crate) use certificate::{CERTIFICATE_BACKDATE, Serial, hex, of_instance, serial};
pub use csr::CsrKey;
#[cfg(any(test, fuzzing))]
pub(crate) use csr::weak_requests;
