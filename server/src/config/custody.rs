//! The name of the custody log (`custody.origin`), and where its checkpoints are kept outside the database
//! (`custody.checkpoints`).

use std::path::PathBuf;

use super::settings::Settings;

const ORIGIN: &str =
    "1 to 200 characters without blanks and plus signs: a URL without its scheme, such as countersign.example.com/log";

/// The settings of the custody log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Custody {
    /// The name of the log in its checkpoints. `None`: made of the issuer at the first start.
    pub origin: Option<String>,
    /// The folder of the newest checkpoint. `None`: one in the data folder.
    pub checkpoints: Option<PathBuf>,
}

impl Custody {
    /// Reads them. Errors are reported.
    pub(super) fn read(settings: &mut Settings) -> Self {
        let named = |text: &str| {
            let fits = (1..=200).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic() && c != b'+');
            fits.then(|| text.to_owned())
        };
        Self {
            origin: settings.parse("custody.origin", ORIGIN, named),
            checkpoints: settings.path("custody.checkpoints"),
        }
    }
}
