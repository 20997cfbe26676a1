//! The key-encryption key, which encrypts the signing keys in the database, and the previous one while it is replaced:
//! 32 bytes in base64, from a variable or a file; in dev, from the data folder.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::settings::Settings;
use crate::secret_file;

const HOW_TO_MAKE: &str = "make one with `(umask 077; head -c 32 /dev/urandom | base64 > key-encryption.key)`";

/// Where the key-encryption key is.
#[derive(Debug)]
pub enum KeyEncryption {
    /// Here: 32 bytes.
    Key {
        /// The key that encrypts.
        primary: SecretBox<[u8; 32]>,
        /// Another key that can decrypt, while it is being replaced.
        previous: Option<SecretBox<[u8; 32]>>,
    },
    /// In the data folder, created at the first start. Only in dev.
    InDataFolder,
}

impl KeyEncryption {
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Option<Self> {
        let previous = key(settings, "previous_key_encryption_key", "previous_key_encryption_key_file");
        match key(settings, "key_encryption_key", "key_encryption_key_file") {
            Some(Ok(primary)) => Some(Self::Key { primary, previous: previous.transpose().ok()? }),
            Some(Err(())) => None,
            None if dev && previous.is_none() => Some(Self::InDataFolder),
            None => {
                let message =
                    format!("is missing: it names the 0600 file of the key that encrypts signing keys; {HOW_TO_MAKE}");
                settings.report("key_encryption_key_file", message);
                None
            }
        }
    }
}

/// The key from a variable, or else from a file, if there is one. Errors are reported.
fn key(settings: &mut Settings, variable: &'static str, file: &'static str) -> Option<Result<SecretBox<[u8; 32]>, ()>> {
    if let Some(text) = settings.secret(variable) {
        return Some(decode(&text).map_err(|message| settings.report(variable, message)));
    }
    let path = settings.path(file)?;
    let read = secret_file::read(&path)
        .map_err(|error| format!("{} {error}", path.display()))
        .and_then(|text| decode(&text).map_err(|message| format!("{} {message}", path.display())));
    Some(read.map_err(|message| settings.report(file, message)))
}

/// 32 bytes from base64.
pub(crate) fn decode(text: &SecretString) -> Result<SecretBox<[u8; 32]>, String> {
    let wrong = || format!("must be 32 bytes in base64; {HOW_TO_MAKE}");
    let mut key = SecretBox::new(Box::new([0; 32]));
    let bytes = zeroize::Zeroizing::new(STANDARD.decode(text.expose_secret().trim()).map_err(|_| wrong())?);
    if bytes.len() != 32 {
        return Err(wrong());
    }
    secrecy::ExposeSecretMut::expose_secret_mut(&mut key).copy_from_slice(&bytes);
    Ok(key)
}

/// 32 bytes as base64.
pub(crate) fn encode(key: &[u8; 32]) -> zeroize::Zeroizing<String> {
    STANDARD.encode(key).into()
}
