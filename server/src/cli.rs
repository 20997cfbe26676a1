//! The command line.

use std::{env, error::Error, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, Flag, Problems, Sources, Variable, without_password},
    custody::{
        evidence_view::{self, EvidenceViewArgs},
        recover_log::{self, RecoverLogArgs},
    },
    demo::{self, DemoArgs},
    environment, logging,
    migrate::{self, MigrateArgs},
    policy::{self, PolicyCommand, PolicyError},
    postgres::child::{self, ChildArgs},
    recover::{self, RecoverArgs},
    remote::{
        RemoteArgs, RemoteError,
        approvals::{self, ApprovalsCommand},
        cache::{self, CacheCommand},
        keys::{self, KeysCommand},
        kill_switch::{self, KillSwitchCommand},
        operators::{self, OperatorsCommand},
        output::note,
        persons::{self, PersonsCommand},
        rollouts::{self, RolloutsCommand},
        sponsors::{self, SponsorsCommand},
        who,
    },
    rewrap, serve,
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
    /// Show evidence bundles, which prove events of the custody log to people who trust only its key.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Play one support agent's day on a dev server, and print its custody tree.
    #[command(after_help = "Example: countersign demo")]
    Demo(DemoArgs),
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
enum LogCommand {
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
enum EvidenceCommand {
    /// Write a bundle as one HTML file that shows it, checks it in the browser, and can be printed. Needs no server.
    #[command(after_help = "Example: countersign evidence view alice-may.evidence --output alice-may.html")]
    View(EvidenceViewArgs),
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
    /// Loads the configuration and starts the log with its settings.
    fn start(self) -> Result<Config, Failure> {
        let config = self.load()?;
        if config.database.urls.is_empty() {
            environment::without_postgres().map_err(|error| Failure::of(&error))?;
        }
        logging::start(&config.log);
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        Ok(config)
    }

    fn load(self) -> Result<Config, Problems> {
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
        Config::load(&Sources { dev: self.dev, variables, flags })
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
        Err(Failure { code, message }) => {
            note(&message);
            code.into()
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
}

impl Failure {
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
        Self { code: 1, message }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { code: 2, message: problems.to_string() }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self { code: error.code(), ..Self::of(&error) }
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        let message = if error.is_list() { error.to_string() } else { Self::of(&error).message };
        Self { code: error.code(), message }
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
    Err(Failure { code: 1, message: format!("{}\n{known}", Problems(policy.faults.clone())) })
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(&args.start()?).map_err(|error| Failure::of(&error)),
        Command::Migrate { config, migrate } => {
            migrate::run(&config.start()?, &migrate).map_err(|error| Failure::of(&error))
        }
        Command::Config(ConfigCommand::Check(args)) => {
            let config = args.load().map_err(|problems| Failure { code: 1, message: problems.to_string() })?;
            check_policy(&config)?;
            println!("The configuration is valid: {config}.");
            for notice in &config.notices {
                println!("{notice}");
            }
            Ok(())
        }
        Command::Operator(OperatorCommand::Recover { config, recover }) => {
            recover::run(&config.start()?, recover).map_err(|error| Failure::of(&error))
        }
        Command::Operator(OperatorCommand::Remote(command)) => Ok(operators::run(command)?),
        Command::Person(command) => Ok(persons::run(command)?),
        Command::Sponsor(command) => Ok(sponsors::run(command)?),
        Command::Approval(command) => Ok(approvals::run(command)?),
        Command::Rollout(command) => Ok(rollouts::run(command)?),
        Command::WhoAmI(remote) => Ok(who::run(&remote)?),
        Command::Key(KeyCommand::Signing(command)) => Ok(keys::run(command)?),
        Command::Key(KeyCommand::Rewrap(args)) => rewrap::run(&args.start()?).map_err(|error| Failure::of(&error)),
        Command::Policy(command) => Ok(policy::run(command)?),
        Command::KillSwitch(command) => Ok(kill_switch::run(command)?),
        Command::Cache(command) => Ok(cache::run(command)?),
        Command::Log(LogCommand::Recover { config, recover }) => {
            recover_log::run(&config.start()?, &recover).map_err(|error| Failure::of(&error))
        }
        Command::Evidence(EvidenceCommand::View(args)) => {
            evidence_view::run(&args).map_err(|error| Failure::of(&error))
        }
        Command::Demo(args) => demo::run(&args).map_err(|error| Failure::of(&error)),
        Command::PostgresChild(args) => match child::become_program(&args) {
            Err(error) => Err(Failure { code: 1, message: format!("{}: {error}", child::COMMAND) }),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
