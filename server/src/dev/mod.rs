//! The built-in files of `serve --dev`, so that the first command after the start works, and its key-encryption key,
//! which is created in the data folder.

use std::{io, path::Path};

use countersign_core::clock::{Entropy, random};
use secrecy::SecretBox;
use zeroize::Zeroizing;

use crate::{config, secret_file};

/// The token service's configuration, as in the project's first document.
pub const TOKEN_SERVICE: &str = include_str!("token-service-config.yml");
/// Its name in messages.
pub const TOKEN_SERVICE_NAME: &str = "(built in) token-service-config.yml";
/// The policy of a new dev database.
pub const POLICY: &str = include_str!("policy-config.yaml");
/// Its name in messages.
pub const POLICY_NAME: &str = "(built in) policy-config.yaml";

/// Name of the key-encryption key's file in the data folder.
const KEY_FILE: &str = "key-encryption.key";

/// The key-encryption key in a data folder, created if there is none. The caller holds the folder's lock.
///
/// # Errors
/// If the file cannot be created or read, if other users may read it, or if it contains something else.
pub fn key_encryption_key(data_dir: &Path, entropy: &dyn Entropy) -> io::Result<SecretBox<[u8; 32]>> {
    let path = data_dir.join(KEY_FILE);
    if !path.try_exists()? {
        let key = Zeroizing::new(random::<32>(entropy));
        secret_file::create(&path, &config::encode_key(&key))?;
    }
    let named = |message| io::Error::other(format!("{} {message}", path.display()));
    let text = secret_file::read(&path).map_err(|error| named(error.to_string()))?;
    config::decode_key(&text).map_err(named)
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::SystemEntropy;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_data_folder_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let first = key_encryption_key(folder.path(), &SystemEntropy).unwrap();
        let second = key_encryption_key(folder.path(), &SystemEntropy).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_ne!(first.expose_secret(), &[0; 32]);
    }

    #[test]
    fn a_broken_key_file_is_named_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        secret_file::create(&folder.path().join(KEY_FILE), "c2hvcnQ=").unwrap();
        let message = key_encryption_key(folder.path(), &SystemEntropy).unwrap_err().to_string();
        assert!(message.contains(KEY_FILE) && message.contains("32 bytes"), "{message}");
        assert!(!message.contains("c2hvcnQ"), "{message}");
    }
}
