//! The command line: all commands, the flags of the configuration (`--dev`, `--container`, ...), the exit codes, and
//! how a failure is shown: in the form of the log, and without passwords.

use std::{env, error::Error, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use countersign_postgres::child::{self, ChildArgs};

use crate::{
    config::{Config, Flag, LogFormat, Problem, Problems, Sources, Variable, without_password},
    custody::{
        CustodyError,
        evidence::{self, ExportArgs, VerifyArgs},
        evidence_view::{self, EvidenceViewArgs},
        recover_log::{self, RecoverLogArgs},
        save_checkpoint::{self, SaveCheckpointArgs},
        verify_log::{self, VerifyLogArgs},
    },
    demo::{self, DemoArgs},
    environment, logging, manual,
    migrate::{self, MigrateArgs},
    policy::{self, PolicyCommand, PolicyError},
    recover::{self, RecoverArgs},
    remote::{
        RemoteArgs, RemoteError,
        approvals::{self, ApprovalsCommand},
        cache::{self, CacheCommand},
        keys::{self, KeysCommand},
        kill_switch::{self, KillSwitchCommand},
        operators::{self, OperatorsCommand},
        output::{note, print},
        persons::{self, PersonsCommand},
        rollouts::{self, RolloutsCommand},
        sponsors::{self, SponsorsCommand},
        who,
    },
    rewrap,
    serve::{self, ServeFailure},
    traces::Exporter,
};

/// The control plane behind AI agents: which human answers for a run, whether it may make a call, and what happened.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = "Example: countersign serve --config countersign.yaml")]
    Serve(ConfigArgs),
    /// Update the database's schema, then exit. `serve` does this too if its role owns the tables.
    #[command(after_help = "Example: countersign migrate --config countersign.yaml --grant-to countersign_server")]
    Migrate {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        migrate: MigrateArgs,
    },
    /// Check a configuration without starting the server.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manage operators (who may call the server) and their API keys.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Bind logins to persons; a second person confirms each binding.
    #[command(subcommand)]
    Person(PersonsCommand),
    /// Manage sponsors, the persons who are accountable for runs.
    #[command(subcommand)]
    Sponsor(SponsorsCommand),
    /// Approve or reject calls that wait for a person.
    #[command(subcommand)]
    Approval(ApprovalsCommand),
    /// Move callers from one policy to another, step by step, and back.
    #[command(subcommand)]
    Rollout(RolloutsCommand),
    /// Show which operator you are to a running server, and what you may do there.
    #[command(name = "whoami", after_help = "Example: countersign whoami --api-key-file ben.key")]
    WhoAmI(RemoteArgs),
    /// Manage signing keys, and the key that encrypts them.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check, test and compare policy documents, and apply them to a running server.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Deny calls at once, whatever the policy says, and end that again.
    #[command(subcommand)]
    KillSwitch(KillSwitchCommand),
    /// Extend how long caches may keep an ALLOW during an incident.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Check the custody log, and go on after a backup was restored.
    #[command(subcommand)]
    Log(LogCommand),
    /// Prove what is in the custody log to people who trust neither this server nor its operators.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Play one support agent's day on a dev server, and print its custody tree.
    #[command(after_help = "Example: countersign demo")]
    Demo(DemoArgs),
    /// Print a script that completes commands and flags in a shell.
    ///
    /// For bash, put `source <(countersign completion bash)` into ~/.bashrc. For zsh, the same with zsh into ~/.zshrc, after
    /// compinit. For fish, write its script to ~/.config/fish/completions/countersign.fish.
    #[command(after_help = "Example: countersign completion bash")]
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages of all commands into a folder.
    #[command(after_help = "Example: countersign man ./man1")]
    Man {
        /// The folder; it is made if it does not exist.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// The last steps between the server and its private Postgres.
    #[command(name = child::COMMAND, hide = true)]
    PostgresChild(ChildArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// List all errors in a configuration.
    #[command(after_help = "Example: countersign config check --config countersign.yaml")]
    Check(ConfigArgs),
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    #[command(flatten)]
    Remote(OperatorsCommand),
    /// Make a new admin key when every other one is lost, expired or revoked. Needs access to the database, and the
    /// key-encryption key; servers may be running. The custody log records it.
    #[command(
        after_help = "Example: countersign operator recover --config countersign.yaml --reason 'both admins have left'"
    )]
    Recover {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        recover: RecoverArgs,
    },
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Write a bundle that proves a chain, or everything that a sponsor answers for, to people who trust neither this server nor its operators.
    #[command(
        after_help = "Example: countersign evidence export --sponsor alice --from 2026-05-01T00:00:00Z --to 2026-06-01T00:00:00Z --file alice-may.evidence"
    )]
    Export(Box<ExportArgs>),
    /// Check a bundle, offline: with nothing but the file and the log's public key.
    #[command(after_help = "Example: countersign evidence verify alice-may.evidence")]
    Verify(VerifyArgs),
    /// Write a bundle as one HTML file that shows it, checks it in the browser, and can be printed. Needs no server.
    #[command(after_help = "Example: countersign evidence view alice-may.evidence --output alice-may.html")]
    View(EvidenceViewArgs),
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Check that every event is the one that was recorded, and that the log only grew.
    #[command(
        after_help = "Example: countersign log verify --since last-month.checkpoint --log-key logs.example.com/log+1a2b3c4d+ASNF"
    )]
    Verify(VerifyLogArgs),
    /// Get the newest signed checkpoint, to keep it and check the log against it later.
    #[command(after_help = "Example: countersign log checkpoint --file today.checkpoint")]
    Checkpoint(SaveCheckpointArgs),
    /// Give up published checkpoints after a backup was restored and what is missing is lost for good, so that servers start
    /// again. Needs access to the database, and the key-encryption key. The custody log records it.
    #[command(
        after_help = "Example: countersign log recover --config countersign.yaml --reason 'the disk failed; the backup of noon is all there is'"
    )]
    Recover {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        recover: RecoverLogArgs,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    #[command(flatten)]
    Signing(KeysCommand),
    /// Encrypt the secrets in the database with a new key-encryption key; servers may be running. Needs access to the
    /// database, the new key as key_encryption_key_file, and the old one as previous_key_encryption_key_file.
    #[command(after_help = "Example: countersign key rewrap --config countersign.yaml")]
    Rewrap(ConfigArgs),
}

/// Where the configuration comes from. Flags override COUNTERSIGN_* variables, and these override the file.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Try it out: every program on this machine may call without a credential. Starts a private Postgres unless
    /// --database-url is given; ignores DATABASE_URL and the folder's countersign.yaml.
    #[arg(long)]
    dev: bool,
    /// With --dev in a container: listens on 0.0.0.0:8080, and accepts calls without a credential from the machine around it
    /// too, over a published port. Publish it on 127.0.0.1 only; not for --network host.
    #[arg(long, requires = "dev")]
    container: bool,
    /// The configuration file [default: countersign.yaml, if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Address and port [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder for the server's files [default: .countersign].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// The URL of Postgres. Other users of this machine can see flags: put a URL with a password into DATABASE_URL.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The limits of the credentials that may be issued (token-service-config.yml).
    #[arg(long, value_name = "FILE")]
    token_service_config: Option<String>,
    /// The first policy, if the database has none (policy-config.yaml).
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
}

impl ConfigArgs {
    /// Loads the configuration, starts the log with its settings, and does `work`. A failure is written as the log is.
    fn run<E: Error>(self, work: impl FnOnce(&Config) -> Result<(), E>) -> Result<(), Failure> {
        self.start(false, |config| work(config).map_err(|error| Failure::of(&error)))
    }

    /// The same for the server, whose traces are exported if that is configured.
    fn serve(self) -> Result<(), Failure> {
        self.start(true, |config| serve::run(config).map_err(Failure::from))
    }

    fn start(self, server: bool, work: impl FnOnce(&Config) -> Result<(), Failure>) -> Result<(), Failure> {
        let sources = self.sources();
        let config =
            Config::load(&sources).map_err(|problems| Failure::from(problems).written_as(sources.log_format()))?;
        let failed = |error: &dyn Error| Failure::of(error).written_as(config.log.format);
        if config.database.urls.is_empty() {
            environment::without_postgres().map_err(|error| failed(&error))?;
        }
        let traces = config.traces.as_ref().filter(|_| server).map(Exporter::start);
        let traces = traces.transpose().map_err(|error| failed(&error))?;
        logging::start(&config.log, traces.as_ref());
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        let outcome = work(&config).map_err(|failure| failure.written_as(config.log.format));
        if let Some(traces) = traces {
            traces.stop();
        }
        outcome
    }

    fn sources(self) -> Sources {
        let flags = [
            ("config", "--config", self.config),
            ("listen", "--listen", self.listen),
            ("data_dir", "--data-dir", self.data_dir),
            ("database_url", "--database-url", self.database_url),
            ("token_service", "--token-service-config", self.token_service_config),
            ("policy", "--policy", self.policy),
        ];
        let flags =
            flags.into_iter().filter_map(|(key, flag, value)| Some(Flag { key, flag, value: value? })).collect();
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables = env::vars_os().map(|(name, value)| Variable { name: text(name), value: text(value) }).collect();
        Sources { dev: self.dev, container: self.container, variables, flags }
    }
}

/// Runs the program. The exit code is 0 for success, 1 for a failure, 2 for an invalid command line or configuration.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(&failure.shown());
            failure.code.into()
        }
    }
}

/// Shows help, or what is wrong with the command line. The password of a URL is left out, even if the URL is in a wrong
/// place.
fn refused(error: &clap::Error) -> ExitCode {
    let said = error.to_string();
    let shown: String = said.split_inclusive(' ').map(without_password).collect();
    if shown == said {
        error.exit();
    }
    eprint!("{shown}");
    2.into()
}

/// Why the program ends, in words, and its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
    /// What is wrong with the configuration, if that is why. The message has them too.
    problems: Vec<Problem>,
    /// How it is written.
    format: LogFormat,
}

impl Failure {
    fn new(code: u8, message: String) -> Self {
        Self { code, message, problems: Vec::new(), format: LogFormat::Text }
    }

    /// The same, written as the log is.
    fn written_as(self, format: LogFormat) -> Self {
        Self { format, ..self }
    }

    /// What is shown on standard error.
    fn shown(&self) -> String {
        match self.format {
            LogFormat::Text => self.message.clone(),
            LogFormat::Json => logging::failure(&self.message, &self.problems),
        }
    }

    /// A failure: one line with its causes, without those that the message already contains.
    fn of(error: &dyn Error) -> Self {
        let mut message = format!("countersign: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(1, message)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { problems: problems.0.clone(), ..Self::new(2, problems.to_string()) }
    }
}

impl From<ServeFailure> for Failure {
    fn from(failure: ServeFailure) -> Self {
        let problems = if let ServeFailure::Policy(problems) = &failure { problems.0.clone() } else { Vec::new() };
        Self { problems, ..Self::of(&failure) }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self { code: error.code(), ..Self::of(&error) }
    }
}

impl From<CustodyError> for Failure {
    fn from(error: CustodyError) -> Self {
        Self { code: error.code(), ..Self::of(&error) }
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        let message = if error.is_list() { error.to_string() } else { Self::of(&error).message };
        Self::new(error.code(), message)
    }
}

/// Warns about what is doubtful in the policy file, and fails if a server that does not store it yet would not start
/// with it.
fn check_policy(config: &Config) -> Result<(), Failure> {
    let Some(policy) = &config.policy else { return Ok(()) };
    for warning in &policy.warnings {
        println!("warning: {warning}");
    }
    if policy.faults.is_empty() {
        return Ok(());
    }
    let known = "A server starts with this policy file only if its database already stores exactly this document.";
    Err(Failure::new(1, format!("{}\n{known}", Problems(policy.faults.clone()))))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => args.serve(),
        Command::Migrate { config, migrate } => config.run(|config| migrate::run(config, &migrate)),
        Command::Config(ConfigCommand::Check(args)) => {
            let config = Config::load(&args.sources()).map_err(|problems| Failure::new(1, problems.to_string()))?;
            check_policy(&config)?;
            println!("The configuration is valid: {config}.");
            for notice in &config.notices {
                println!("{notice}");
            }
            Ok(())
        }
        Command::Operator(OperatorCommand::Recover { config, recover }) => {
            config.run(|config| recover::run(config, recover))
        }
        Command::Operator(OperatorCommand::Remote(command)) => Ok(operators::run(command)?),
        Command::Person(command) => Ok(persons::run(command)?),
        Command::Sponsor(command) => Ok(sponsors::run(command)?),
        Command::Approval(command) => Ok(approvals::run(command)?),
        Command::Rollout(command) => Ok(rollouts::run(command)?),
        Command::WhoAmI(remote) => Ok(who::run(&remote)?),
        Command::Key(KeyCommand::Signing(command)) => Ok(keys::run(command)?),
        Command::Key(KeyCommand::Rewrap(args)) => args.run(rewrap::run),
        Command::Policy(command) => Ok(policy::run(command)?),
        Command::KillSwitch(command) => Ok(kill_switch::run(command)?),
        Command::Cache(command) => Ok(cache::run(command)?),
        Command::Log(LogCommand::Verify(args)) => Ok(verify_log::run(&args)?),
        Command::Log(LogCommand::Checkpoint(args)) => Ok(save_checkpoint::run(&args)?),
        Command::Evidence(EvidenceCommand::Export(args)) => Ok(evidence::export(&args)?),
        Command::Evidence(EvidenceCommand::Verify(args)) => Ok(evidence::verify(&args)?),
        Command::Log(LogCommand::Recover { config, recover }) => {
            config.run(|config| recover_log::run(config, &recover))
        }
        Command::Evidence(EvidenceCommand::View(args)) => {
            evidence_view::run(&args).map_err(|error| Failure::of(&error))
        }
        Command::Demo(args) => demo::run(&args).map_err(|error| Failure::of(&error)),
        Command::Completion { shell } => Ok(print(&manual::completion(&mut Cli::command(), shell))?),
        Command::Man { folder } => manual::write(Cli::command(), &folder).map_err(|error| Failure::of(&error)),
        Command::PostgresChild(args) => match child::become_program(&args) {
            Err(error) => Err(Failure::new(1, format!("{}: {error}", child::COMMAND))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_a_sentence_with_an_example() {
        let mut cli = Cli::command();
        cli.build();
        let mut verbs = 0;
        look(&cli, "countersign", &mut verbs);
        assert!(verbs > 35, "{verbs}");
    }

    fn look(command: &clap::Command, path: &str, verbs: &mut usize) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            let path = format!("{path} {}", verb.get_name());
            if verb.has_subcommands() {
                look(verb, &path, verbs);
                continue;
            }
            *verbs += 1;
            let about = verb.get_about().unwrap_or_default().to_string();
            assert!(about.len() > 5 && about.starts_with(char::is_uppercase), "{path}: {about:?}");
            let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.starts_with(&format!("Example: {path}")), "{path}: {example:?}");
            let words = example.trim_start_matches("Example: ");
            let words = words.split('\'').enumerate().flat_map(|(nth, part)| match nth % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                _ => vec![part.to_owned()],
            });
            let read = Cli::command().try_get_matches_from(words);
            assert!(read.is_ok(), "{path}: {}", read.unwrap_err());
        }
    }
}
