//! The key-encryption key, under which signing keys lie in the database.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::settings::Settings;
use crate::secret_file;

const HOW_TO_MAKE: &str = "make one with `(umask 077; head -c 32 /dev/urandom | base64 > key-encryption.key)`";

/// Where the key-encryption key is.
#[derive(Debug)]
pub enum KeyEncryption {
    /// Here: 32 bytes.
    Key(SecretBox<[u8; 32]>),
    /// In the data folder, made at the first start. Only in dev.
    InDataFolder,
}

impl KeyEncryption {
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Option<Self> {
        let key = if let Some(text) = settings.secret("key_encryption_key") {
            decode(&text).map_err(|message| settings.report("key_encryption_key", message))
        } else if let Some(path) = settings.path("key_encryption_key_file") {
            secret_file::read(&path)
                .map_err(|error| format!("{} {error}", path.display()))
                .and_then(|text| decode(&text).map_err(|message| format!("{} {message}", path.display())))
                .map_err(|message| settings.report("key_encryption_key_file", message))
        } else if dev {
            return Some(Self::InDataFolder);
        } else {
            let message =
                format!("is missing: it names the 0600 file of the key that encrypts signing keys; {HOW_TO_MAKE}");
            settings.report("key_encryption_key_file", message);
            return None;
        };
        key.ok().map(Self::Key)
    }
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
