//! Settings from several sources, later ones overriding earlier ones, read by type. An unknown key (with the nearest
//! known one), a key that is set twice or an invalid value is recorded and reading continues, so that all errors are
//! reported at once. The largest file (`LONGEST_FILE`).

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::{
    database_url::without_password,
    document::{self, Entry},
    problem::{Origin, Problem, Problems},
    service_link,
};
use crate::secret_file;

/// The prefix of the server's environment variables.
const PREFIX: &str = "COUNTERSIGN_";
/// Size limit of a configuration file, in bytes.
const LONGEST_FILE: u64 = 1024 * 1024;
/// Longest misspelt key that is compared with the known ones, in bytes.
const LONGEST_WORD: usize = 128;

/// An environment variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Settings, and the errors so far.
#[derive(Debug, Default)]
pub(super) struct Settings {
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    notices: Vec<String>,
}

impl Settings {
    /// Adds the settings of a file, which override earlier ones. Keys that are not `known` are errors.
    ///
    /// # Errors
    /// A file that is not YAML: then its settings are unknown, and nothing else should be reported about them.
    pub(super) fn add_file(&mut self, path: &Path, known: &[&str]) -> Result<(), Problems> {
        let text = read_text(path).map_err(|problem| Problems(vec![problem]))?;
        self.add_text(&text, path, known)
    }

    /// Adds the settings of a file's text, as [`Settings::add_file`] does.
    pub(super) fn add_text(&mut self, text: &str, path: &Path, known: &[&str]) -> Result<(), Problems> {
        let mut seen: HashMap<String, Origin> = HashMap::new();
        for entry in document::parse(text, path).map_err(|problem| Problems(vec![problem]))? {
            if let Some(message) = misplaced(&entry, known).or_else(|| repeated(&entry, &mut seen)) {
                self.problems.push(Problem::new(entry.origin, &entry.key, message));
            } else {
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// Adds `COUNTERSIGN_*`, which override earlier settings. An empty variable counts as not set. An unknown one is an
    /// error only if it looks like a misspelt key, because other programs may use such names. Variables that Kubernetes
    /// sets for a service of our name are ignored, whatever they look like.
    pub(super) fn add_environment<'e>(&mut self, variables: impl IntoIterator<Item = &'e Variable>, known: &[&str]) {
        let ours = |variable: &&Variable| variable.name.starts_with(PREFIX) && !variable.value.is_empty();
        for Variable { name, value } in variables.into_iter().filter(ours) {
            if service_link::is_one(name, value) {
                continue;
            }
            let origin = Origin::Variable(name.clone());
            if let Some(key) = known.iter().find(|key| variable(key) == *name) {
                self.set(key, value, origin);
            } else if let Some(near) = nearest(name, known.iter().map(|key| variable(key))) {
                self.problems.push(Problem::new(origin, "", format!("is not known; did you mean {near}?")));
            }
        }
    }

    /// Adds one value, which overrides earlier ones.
    pub(super) fn set(&mut self, key: &str, value: &str, origin: Origin) {
        self.entries.push(Entry { key: key.to_owned(), value: Some(value.to_owned()), origin });
    }

    /// Adds other settings, which override earlier ones.
    pub(super) fn append(&mut self, mut over: Self) {
        self.entries.append(&mut over.entries);
        self.problems.append(&mut over.problems);
        self.notices.append(&mut over.notices);
    }

    /// Drops the value of `key`. Returns its source.
    pub(super) fn forget(&mut self, key: &str) -> Option<Origin> {
        let origin = self.entry(key).map(|(_, origin)| origin);
        self.entries.retain(|entry| entry.key != key);
        origin
    }

    /// Adds a notice for the person who starts the server, which does not prevent the start.
    pub(super) fn notice(&mut self, text: impl Into<String>) {
        self.notices.push(text.into());
    }

    /// All notices so far.
    pub(super) fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Adds an error about `key`, at the place where it was set.
    pub(super) fn report(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.origin(key), key, message));
    }

    /// Adds the errors that another reader found.
    pub(super) fn report_all(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// The place where `key` was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.entry(key).map_or(Origin::Nowhere, |(_, origin)| origin)
    }

    /// The value of `key` as it was written.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.entry(key).map(|(value, _)| value)
    }

    /// A value that no message repeats.
    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        self.text(key).map(SecretString::from)
    }

    /// All items of a list with their places.
    pub(super) fn list(&self, key: &str) -> Vec<(String, Origin)> {
        let items = self.entries.iter().filter(|entry| entry.key.strip_suffix("[]") == Some(key));
        items.filter_map(|entry| Some((entry.value.clone()?, entry.origin.clone()))).collect()
    }

    /// The keys of a list's items, which are mappings: `key[0]`, `key[1]`, ...; at most `most`.
    pub(super) fn items(&mut self, key: &str, most: usize) -> Vec<String> {
        let number = |entry: &Entry| entry.key.strip_prefix(key)?.strip_prefix('[')?.split_once(']')?.0.parse().ok();
        let count = self.entries.iter().filter_map(number).map(|nth: usize| nth + 1).max().unwrap_or(0);
        if count > most {
            self.report(key, format!("must be at most {most} items, are {count}"));
        }
        (0..count.min(most)).map(|nth| format!("{key}[{nth}]")).collect()
    }

    /// A value that `read` accepts. `wanted` describes the permitted values.
    pub(super) fn parse<T>(&mut self, key: &str, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key)?;
        let value = read(&text);
        if value.is_none() {
            self.report(key, format!("must be {wanted}, is {}", quoted(&text)));
        }
        value
    }

    /// A whole number within `range`, or `default`.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let wanted = format!("a whole number, {} to {}", range.start(), range.end());
        self.parse(key, &wanted, |text| text.parse().ok().filter(|number| range.contains(number))).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let wanted = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        self.parse(key, &wanted, |text| words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value))
    }

    /// A path. In a file it is relative to the file's folder, elsewhere to the working folder.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        let (value, origin) = self.entry(key)?;
        Some(match origin {
            Origin::File(file, _) => file.parent().unwrap_or(Path::new("")).join(value),
            _ => value.into(),
        })
    }

    /// The path of a file that can be opened.
    pub(super) fn readable(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.path(key)?;
        if let Err(error) = File::open(&path) {
            let shown = without_password(&path.display().to_string());
            self.report(key, format!("cannot open {shown}: {error}"));
        }
        Some(path)
    }

    /// The path of a file that can be opened and contains a secret.
    pub(super) fn private(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.readable(key)?;
        if let Some(refusal) = secret_file::refusal_of(&path) {
            self.report(key, refusal);
        }
        Some(path)
    }

    /// `value` if there were no errors.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(Problems(self.problems)),
        }
    }

    fn entry(&self, key: &str) -> Option<(String, Origin)> {
        let entry = self.entries.iter().rev().find(|entry| entry.key == key && entry.value.is_some())?;
        Some((entry.value.clone()?, entry.origin.clone()))
    }
}

/// Reads a text file of limited size.
pub(super) fn read_text(path: &Path) -> Result<String, Problem> {
    let refused = |message: String| Problem::new(Origin::File(path.to_owned(), 0), "", message);
    let unreadable = |error: io::Error| refused(format!("cannot be read: {error}"));
    // The reported size is not used, because a device or a pipe has none, and may never end.
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(refused(format!("must be at most {LONGEST_FILE} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refused("cannot be read: it is not UTF-8".to_owned()))
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Why an entry is not one of the `known` keys, if it is not.
fn misplaced(entry: &Entry, known: &[&str]) -> Option<String> {
    let key = unnumbered(&entry.key);
    let key = key.as_str();
    if known.contains(&key) {
        return None;
    }
    let below: Vec<&str> = known.iter().filter_map(|known| known.strip_prefix(key)?.strip_prefix('.')).collect();
    if !below.is_empty() {
        // A section without content has no effect.
        return entry.value.as_ref().map(|_| format!("must be a mapping with {}", below.join(", ")));
    }
    if known.contains(&format!("{key}[]").as_str()) {
        return Some("must be a list".to_owned());
    }
    if key.strip_suffix("[]").is_some_and(|key| known.contains(&key)) {
        return Some("must be one value, is a list".to_owned());
    }
    let listed = || known.iter().map(|key| key.trim_end_matches("[]")).collect::<Vec<_>>().join(", ");
    Some(match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean {}?", near.trim_end_matches("[]")),
        None => format!("unknown key; known are {}", listed()),
    })
}

/// The key without list numbers: `operators.oidc[].name` for `operators.oidc[3].name`.
fn unnumbered(key: &str) -> String {
    let mut within = false;
    let number = |at: char| {
        within = at == '[' || (within && at.is_ascii_digit());
        within && at != '['
    };
    key.replace(number, "")
}

/// Why an entry may not be in this place, if an earlier entry has its key.
fn repeated(entry: &Entry, seen: &mut HashMap<String, Origin>) -> Option<String> {
    if entry.key.ends_with("[]") {
        return None;
    }
    match seen.insert(entry.key.clone(), entry.origin.clone())? {
        Origin::File(_, line) => Some(format!("is set twice, first on line {line}")),
        _ => None,
    }
}

/// The known word that is most similar to `word`.
fn nearest<K: AsRef<str>>(word: &str, known: impl IntoIterator<Item = K>) -> Option<K> {
    // The cost grows with the length, and a long word is never a misspelt short one.
    if word.len() > LONGEST_WORD {
        return None;
    }
    let distance = |known: &K| strsim::damerau_levenshtein(word, known.as_ref());
    let (distance, known) =
        known.into_iter().map(|known| (distance(&known), known)).min_by_key(|(distance, _)| *distance)?;
    (distance <= 3.min(word.len() / 2)).then_some(known)
}

/// `text` as a quotation, cut so that it cannot flood a message.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let text = without_password(text);
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}
