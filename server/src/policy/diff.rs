//! `countersign policy diff`: the differences between two policies, and of a policy from the active one.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_client::{
    Connection,
    v1::{GetPolicyRequest, Policy},
};
use countersign_core::ids::PolicyVersion;
use countersign_policy::{CompiledPolicy, diff};
use serde_json::json;
use tonic::Code;

use super::{
    PolicyError,
    files::{PolicyFiles, PolicyTexts},
};
use crate::remote::{
    RemoteArgs, RemoteError, block_on,
    output::{print, printable},
};

/// What to compare.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The old policy: a policy document, YAML, or a stored version, such as `pv_3` (a file of such a name: `./pv_3`).
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The new policy, likewise.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Raw Cedar policies beside the old document.
    #[arg(long, value_name = "FILE")]
    old_cedar: Option<PathBuf>,
    /// Raw Cedar policies beside the new document.
    #[arg(long, value_name = "FILE")]
    new_cedar: Option<PathBuf>,
    /// Exit with 3 if the two differ.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command and prints the result.
pub(super) fn run(args: &DiffArgs) -> Result<(), PolicyError> {
    let sentences =
        diff(&args.load(&args.old, args.old_cedar.as_ref())?, &args.load(&args.new, args.new_cedar.as_ref())?);
    if args.remote.json() {
        print(&format!("{:#}\n", json!({ "changes": sentences })))?;
    } else {
        print(&lines(&sentences))?;
    }
    if args.exit_code && !sentences.is_empty() { Err(PolicyError::Changed) } else { Ok(()) }
}

/// One line each, or that there is no difference.
fn lines(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return "no changes: the two policies mean the same\n".to_owned();
    }
    sentences.join("\n") + "\n"
}

impl DiffArgs {
    fn load(&self, named: &Path, cedar: Option<&PathBuf>) -> Result<CompiledPolicy, PolicyError> {
        let version = named.to_str().filter(|name| name.parse::<PolicyVersion>().is_ok());
        match (version, cedar) {
            (None, _) => Ok(PolicyFiles::new(named.to_owned(), cedar.cloned()).load()?.1),
            (Some(_), Some(_)) => Err(PolicyError::CedarOfVersion),
            (Some(version), None) => {
                let stored = block_on(async {
                    let connection = self.remote.connect().await?;
                    let stored = stored(&connection, &self.remote, version).await?;
                    stored.ok_or(RemoteError::Answer)
                })?;
                compile(stored)
            }
        }
    }
}

/// A stored version with its document; an empty name means the active one. `None` if there is none.
pub(super) async fn stored(
    connection: &Connection,
    remote: &RemoteArgs,
    version: &str,
) -> Result<Option<Policy>, RemoteError> {
    match connection.policies().get_policy(GetPolicyRequest { version: version.to_owned() }).await {
        Ok(answer) => Ok(answer.into_inner().policy),
        Err(status) if version.is_empty() && status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(remote.call_failed(&status)),
    }
}

/// Compiles a stored version. One that an older server accepted may no longer be valid; errors are reported with its
/// name.
fn compile(stored: Policy) -> Result<CompiledPolicy, PolicyError> {
    let name = printable(&stored.version);
    PolicyTexts { document: stored.document, cedar: stored.cedar }.compile_stored(Path::new(&name))
}

/// The differences of `policy` from the active version, one sentence each; for persons with a line above that says so.
pub(super) struct AgainstActive {
    /// `None` if they are unknown.
    pub(super) sentences: Option<Vec<String>>,
    head: String,
}

impl AgainstActive {
    /// Compares. If that is not possible, it is reported, but is no reason to stop: the active version may be invalid,
    /// and that may be why it is being replaced.
    ///
    /// `standing`: the state of the version that is compared with, such as `which is active`.
    pub(super) fn new(active: Option<Policy>, standing: &str, policy: &CompiledPolicy) -> Self {
        let Some(active) = active else {
            return Self { sentences: None, head: "No policy is active: all of this is new.".to_owned() };
        };
        let version = printable(&active.version);
        match compile(active) {
            Err(_) => Self {
                sentences: None,
                head: format!("The changes are unknown: {version}, {standing}, cannot be loaded here."),
            },
            Ok(active) => {
                let sentences = diff(&active, policy);
                let head = match sentences.len() {
                    0 => format!("No changes from {version}, {standing}."),
                    _ => format!("Changes from {version}, {standing}:"),
                };
                Self { sentences: Some(sentences), head }
            }
        }
    }

    pub(super) fn words(&self) -> String {
        let sentences = self.sentences.iter().flatten().map(|sentence| format!("  {sentence}\n"));
        [format!("{}\n", self.head)].into_iter().chain(sentences).collect()
    }
}
