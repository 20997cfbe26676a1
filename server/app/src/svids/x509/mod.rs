//! X.509-SVIDs: the authorities that sign them, when each does, and the certificates.

mod certificate;
mod csr;
mod keep;

pub(crate) use certificate::{CERTIFICATE_BACKDATE, Serial, of_instance, serial};
pub use csr::CsrKey;
#[cfg(any(test, fuzzing))]
pub(crate) use csr::weak_requests;
