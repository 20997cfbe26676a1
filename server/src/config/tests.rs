//! Tests of every source, every rule between keys, and every message.

use std::{fs, path::Path};

use countersign_app::{AlsoTwo, RequiredClaim, SinkStart};
use countersign_ledger::siem::Form;
use secrecy::ExposeSecret as _;

use super::*;
use crate::dev;

mod traces;

const KEK: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A folder with a complete configuration that is not for dev.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("countersign.yaml"), yaml).unwrap();
        fs::write(folder.path().join("token.yml"), dev::TOKEN_SERVICE).unwrap();
        crate::secret_file::create(&folder.path().join("key.pem"), "").unwrap();
        Self(folder)
    }

    fn load(&self, variables: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Result<Config, String> {
        let file = self.0.path().join("countersign.yaml").display().to_string();
        let own = |&(name, value): &(&str, &str)| Variable { name: name.to_owned(), value: value.to_owned() };
        let mut sources = Sources { variables: variables.iter().map(own).collect(), ..Sources::default() };
        sources.flags.push(Flag { key: "config", flag: "--config", value: file });
        sources.flags.extend(flags.iter().map(|&(key, flag, value)| Flag { key, flag, value: value.to_owned() }));
        Config::load(&sources).map_err(|problems| problems.to_string())
    }
}

fn whole(more: &str) -> String {
    format!("database_url: postgres://file@db/x\ntoken_service: token.yml\n{more}\n")
}

fn error(more: &str) -> String {
    Folder::new(&whole(more)).load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).unwrap_err()
}

fn load_dev(flags: &[(&'static str, &'static str, &str)]) -> Result<Config, String> {
    let flags = flags.iter().map(|&(key, flag, value)| Flag { key, flag, value: value.to_owned() }).collect();
    let sources = Sources { dev: true, flags, ..Sources::default() };
    Config::load(&sources).map_err(|problems| problems.to_string())
}

#[test]
fn dev_needs_no_configuration_at_all() {
    let config = load_dev(&[]).unwrap();
    assert_eq!(
        config.listener,
        Listener::Plaintext { address: "127.0.0.1:8080".parse().unwrap(), behind_proxy: false }
    );
    assert_eq!(config.data_dir, Path::new(".countersign"));
    assert!(config.database.urls.is_empty());
    assert!(matches!(config.key_encryption, KeyEncryption::InDataFolder));
    assert_eq!(config.token_service.issuer, "agent-token-svc");
    assert_eq!(config.trust_domain.unwrap().as_str(), "dev.countersign.internal");
    assert_eq!(config.policy.unwrap().text, dev::POLICY);
    assert_eq!(config.log, Log { format: LogFormat::Text, level: "info".to_owned(), access: false });
}

#[test]
fn a_policy_is_checked_before_anything_starts() {
    let folder = Folder::new(&whole("policy: policy.yaml"));
    let path = folder.0.path().join("policy.yaml");
    fs::write(&path, "rules:\n  - id: a\n    role: support\n    tool: billing\n    allowed_actions: []\n").unwrap();
    let error = folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).unwrap_err();
    assert!(error.contains("policy.yaml:5: rules[0].allowed_actions: must not be empty"), "{error}");
    fs::write(&path, dev::POLICY).unwrap();
    assert!(folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).is_ok());
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let folder = Folder::new(&whole("listen: 127.0.0.1:1\nworker_threads: 1\naudience: file"));
    let kek = ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK);
    let variables = [kek, ("COUNTERSIGN_LISTEN", "127.0.0.1:2"), ("COUNTERSIGN_WORKER_THREADS", "2")];
    let config = folder.load(&variables, &[("listen", "--listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.listener.address().port(), 3);
    assert_eq!(config.worker_threads, 2);
    assert_eq!(config.audience, "file");

    let general = ("DATABASE_URL", "postgres://general@db/x");
    let own = ("COUNTERSIGN_DATABASE_URL", "postgres://own@db/x");
    for (variables, user) in [(vec![kek], "file"), (vec![kek, general], "general"), (vec![kek, own, general], "own")] {
        let config = folder.load(&variables, &[]).unwrap();
        assert!(config.database.urls[0].expose_secret().contains(user), "{user}");
    }
}

#[test]
fn the_trust_domain_is_the_one_named_or_else_the_issuers_host() {
    let kek = ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK);
    let domain = |issuer: &str, more: &str| {
        let folder = Folder::new(&whole(more));
        let service = dev::TOKEN_SERVICE.replace("agent-token-svc", issuer);
        fs::write(folder.0.path().join("token.yml"), service).unwrap();
        folder.load(&[kek], &[]).map(|config| config.trust_domain.map(|domain| domain.to_string()))
    };
    let named = "spiffe: {trust_domain: agents.example.com}";
    assert_eq!(domain("agent-token-svc", ""), Ok(None));
    assert_eq!(domain("https://id.example.com:8443/x", ""), Ok(Some("id.example.com".to_owned())));
    assert_eq!(domain("https://id.example.com", named), Ok(Some("agents.example.com".to_owned())));
    let wrong = domain("https://id.example.com", "spiffe: {trust_domain: Agents.example.com}").unwrap_err();
    assert!(wrong.contains(":3: spiffe.trust_domain: must be a trust domain"), "{wrong}");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let folder = Folder::new(&whole("listen: 127.0.0.1:1"));
    let variables = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK), ("COUNTERSIGN_LISTEN", ""), ("DATABASE_URL", "")];
    assert_eq!(folder.load(&variables, &[]).unwrap().listener.address().port(), 1);
}

#[test]
fn paths_in_a_file_are_relative_to_its_folder() {
    let folder = Folder::new(&whole("data_dir: data"));
    let config = folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).unwrap();
    assert_eq!(config.data_dir, folder.0.path().join("data"));
    let config =
        folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK), ("COUNTERSIGN_DATA_DIR", "here")], &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("here"));
}

#[test]
fn what_is_wrong_in_the_file_is_named_with_its_line() {
    let cases = [
        ("lisen: x", ":3: lisen: unknown key; did you mean listen?"),
        ("colour: red", ":3: colour: unknown key; known are listen,"),
        ("colour:", ":3: colour: unknown key"),
        ("log: {\n  levle: info }", ":4: log.levle: unknown key; did you mean log.level?"),
        ("log: info", ":3: log: must be a mapping with format, level"),
        (
            "listen: 8080",
            ":3: listen: must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080, is \"8080\"",
        ),
        ("listen: [a]", ":3: listen[]: must be one value, is a list"),
        ("limits: {max_connections: 0}", ":3: limits.max_connections: must be a whole number, 1 to 100000, is \"0\""),
        ("limits: {request_timeout_ms: ten}", "limits.request_timeout_ms: must be a whole number"),
        ("log: {level: inof}", ":3: log.level: must be levels such as info"),
        ("log: {level: sqlx=loud}", ":3: log.level: must be levels such as info"),
        ("database_pooler: session", ":3: database_pooler: must be transaction or none, is \"session\""),
        ("log: {format: xml}", ":3: log.format: must be text or json, is \"xml\""),
        ("public_url: example.com", ":3: public_url: must be an http(s) URL without query and fragment"),
        ("plaintext: true", ":3: plaintext: must be behind-proxy-that-terminates-tls"),
        ("key_encryption_key: abc", ":3: key_encryption_key: unknown key"),
        ("policy: none.yaml", "none.yaml: cannot be read: No such file"),
        ("token_service: none.yml", ":3: token_service: is set twice, first on line 2"),
        ("tls:\n  certificate: token.yml\ntls:\n  private_key: none.pem", ":6: tls.private_key: cannot open"),
        ("a: [", ":3: unclosed bracket"),
        ("a: !ruby/object {}", ":3"),
    ];
    for (more, expected) in cases {
        let error = error(more);
        assert!(error.contains(expected), "{more}: {error}");
        assert_eq!(error.lines().count(), 1, "{more}: {error}");
    }
}

#[test]
fn a_misspelt_variable_is_named_and_a_foreign_one_is_none_of_ours() {
    let kek = ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK);
    let folder = Folder::new(&whole(""));
    let error = folder.load(&[kek, ("COUNTERSIGN_LISTN", "127.0.0.1:1")], &[]).unwrap_err();
    assert_eq!(error, "environment variable COUNTERSIGN_LISTN: is not known; did you mean COUNTERSIGN_LISTEN?");
    for (name, value) in [("DATABASE_PORT", "tcp://10.0.0.1:5432"), ("LISTEN_PORT", "tcp://10.0.0.1:80")] {
        assert!(folder.load(&[kek, (&format!("COUNTERSIGN_{name}"), value)], &[]).is_ok(), "{name}");
    }
    let kubernetes =
        ["PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"];
    for name in kubernetes.map(|name| format!("COUNTERSIGN_{name}")) {
        assert!(folder.load(&[kek, (&name, "tcp://10.0.0.1:8080")], &[]).is_ok(), "{name}");
    }
}

#[test]
fn a_wrong_flag_and_a_wrong_variable_are_named() {
    let folder = Folder::new(&whole(""));
    let kek = ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK);
    let error =
        folder.load(&[kek, ("COUNTERSIGN_LIMITS_RECORDER_QUEUE", "-1")], &[("listen", "--listen", ":80")]).unwrap_err();
    assert!(
        error.contains("environment variable COUNTERSIGN_LIMITS_RECORDER_QUEUE: limits.recorder_queue: must be"),
        "{error}"
    );
    assert!(error.contains("--listen: listen: must be"), "{error}");
}

#[test]
fn what_is_missing_is_told_at_once() {
    let error = Folder::new("").load(&[], &[]).unwrap_err();
    for key in ["database_url: is missing", "token_service: is missing", "key_encryption_key_file: is missing"] {
        assert!(error.contains(key), "{error}");
    }
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn credentials_do_not_travel_in_the_clear_unless_somebody_says_so() {
    let error = error("listen: 0.0.0.0:8080");
    assert!(error.contains(":3: listen: 0.0.0.0:8080 can be reached from other machines"), "{error}");
    let kek = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)];
    for listen in ["127.0.0.1:80", "127.1.2.3:80", "'[::1]:80'", "'[::ffff:127.0.0.1]:80'", "localhost:80"] {
        assert!(Folder::new(&whole(&format!("listen: {listen}"))).load(&kek, &[]).is_ok(), "{listen}");
    }
    let said = whole("listen: 0.0.0.0:8080\nplaintext: behind-proxy-that-terminates-tls");
    assert!(matches!(
        Folder::new(&said).load(&kek, &[]).unwrap().listener,
        Listener::Plaintext { behind_proxy: true, .. }
    ));
    let tls = whole("listen: 0.0.0.0:8080\ntls: {certificate: token.yml, private_key: key.pem}");
    assert!(matches!(Folder::new(&tls).load(&kek, &[]).unwrap().listener, Listener::Tls { .. }));
}

#[test]
fn half_a_tls_configuration_is_refused() {
    assert!(error("tls: {certificate: token.yml}").contains("tls.private_key: is missing"));
    assert!(error("tls: {private_key: key.pem}").contains("tls.certificate: is missing"));
    assert!(error("tls: {certificate: token.yml, private_key: no.pem}").contains(":3: tls.private_key: cannot open"));
    let both = "plaintext: behind-proxy-that-terminates-tls\ntls: {certificate: token.yml, private_key: key.pem}";
    assert!(error(both).contains(":3: plaintext: contradicts tls"));
}

#[test]
fn dev_takes_a_database_by_flag_only_and_says_what_it_ignores() {
    let folder = Folder::new("database_url: postgres://file@localhost/x\naudience: file\n");
    let file = folder.0.path().join("countersign.yaml").display().to_string();
    let variables: Vec<_> = [
        ("DATABASE_URL", "postgres://general@localhost/x"),
        ("COUNTERSIGN_DATABASE_URL", "postgres://own@localhost/x"),
        ("COUNTERSIGN_CONFIG", "/none.yaml"),
    ]
    .map(|(name, value)| Variable { name: name.to_owned(), value: value.to_owned() })
    .into();
    let load = |flags: &[(&'static str, &'static str, &str)]| {
        let flags = flags.iter().map(|&(key, flag, value)| Flag { key, flag, value: value.to_owned() }).collect();
        Config::load(&Sources { dev: true, variables: variables.clone(), flags, ..Sources::default() }).unwrap()
    };
    let config = load(&[]);
    assert!(config.database.urls.is_empty());
    for name in ["DATABASE_URL", "COUNTERSIGN_DATABASE_URL", "COUNTERSIGN_CONFIG"] {
        let said = format!("environment variable {name}: ignored");
        assert!(config.notices.iter().any(|notice| notice.starts_with(&said)), "{:?}", config.notices);
    }
    let config = load(&[("config", "--config", &file)]);
    assert!(config.database.urls.is_empty() && config.audience == "file");
    assert!(config.notices.iter().any(|notice| notice.contains("countersign.yaml:1: database_url: ignored")));
    let config = load(&[("database_url", "--database-url", "postgres://flag@localhost/x")]);
    assert_eq!(config.database.urls[0].expose_secret(), "postgres://flag@localhost/x");
}

#[test]
fn a_file_with_a_password_and_a_tls_key_must_be_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let kek = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)];
    let yaml = "database_url: postgres://u:hunter2@localhost/x\ntoken_service: token.yml\ntls: {certificate: token.yml, private_key: key.pem}\n";
    let folder = Folder::new(yaml);
    let mode = |name: &str, mode| {
        fs::set_permissions(folder.0.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, says) in
        [("countersign.yaml", ":1: database_url: holds a password"), ("key.pem", ":3: tls.private_key: ")]
    {
        for (bits, refused) in [(0o644, true), (0o604, true), (0o600, false), (0o400, false), (0o440, false)] {
            mode("countersign.yaml", 0o600);
            mode("key.pem", 0o600);
            mode(name, bits);
            let error = folder.load(&kek, &[]).err().unwrap_or_default();
            assert_eq!(error.contains(says) && error.contains("chmod 600"), refused, "{name} {bits:o}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
    // A file without a secret may be readable by every user.
    mode("key.pem", 0o600);
    mode("countersign.yaml", 0o644);
    fs::write(folder.0.path().join("countersign.yaml"), yaml.replace(":hunter2", "")).unwrap();
    assert!(folder.load(&kek, &[]).is_ok());
}

#[test]
fn a_url_in_the_wrong_place_is_not_repeated() {
    let url = "postgres://u:hunter2@db/x";
    let kek = ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK);
    for name in ["COUNTERSIGN_LISTEN", "COUNTERSIGN_PUBLIC_URL", "COUNTERSIGN_LOG_LEVEL", "COUNTERSIGN_AUDIENCE"] {
        let error = Folder::new(&whole("")).load(&[kek, (name, url)], &[]).err().unwrap_or_default();
        assert!(!error.contains("hunter2"), "{error}");
    }
    for more in
        [format!("{url}: x"), format!("listen: {url}"), format!("database-url: {url}"), format!("policy: {url}")]
    {
        let error = error(&more);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn dev_listens_on_this_machine_only() {
    for address in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080"] {
        let error = load_dev(&[("listen", "--listen", address)]).unwrap_err();
        assert!(error.starts_with("--listen: listen: --dev accepts every caller without a credential"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(load_dev(&[("listen", "--listen", "[::1]:0")]).is_ok());
}

#[test]
fn secrets_appear_in_no_message_and_in_no_debug_output() {
    let folder = Folder::new("token_service: token.yml");
    let secret = "hunter2";
    let variables = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", secret), ("DATABASE_URL", "mysql://u:hunter2@db/x")];
    let error = folder.load(&variables, &[]).unwrap_err();
    assert!(error.contains("key_encryption_key: must be 32 bytes in base64") && !error.contains(secret), "{error}");
    assert!(error.contains("database_url: must be of the form postgres://"), "{error}");

    let variables = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK), ("DATABASE_URL", "postgres://u:hunter2@db/x")];
    let config = folder.load(&variables, &[]).unwrap();
    let shown = format!("{config:?} {config}");
    assert!(!shown.contains(secret) && !shown.contains(KEK), "{shown}");
}

#[test]
fn the_key_file_must_be_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new(&whole("key_encryption_key_file: kek"));
    let path = folder.0.path().join("kek");
    crate::secret_file::create(&path, &format!("{KEK}\n")).unwrap();
    assert!(matches!(folder.load(&[], &[]).unwrap().key_encryption, KeyEncryption::Key { previous: None, .. }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = folder.load(&[], &[]).unwrap_err();
    assert!(error.contains(":3: key_encryption_key_file:") && error.contains("chmod 600"), "{error}");
}

#[test]
fn the_example_that_is_shipped_is_fine_and_shows_the_defaults() {
    let example = include_str!("../../../deploy/config/countersign.yaml");
    let folder = Folder::new(example);
    let write = |name: &str, text: &str| fs::write(folder.0.path().join(name), text).unwrap();
    write("token-service-config.yml", include_str!("../../../deploy/config/token-service-config.yml"));
    write("policy-config.yaml", include_str!("../../../deploy/config/policy-config.yaml"));
    fs::create_dir(folder.0.path().join("tls")).unwrap();
    write("tls/tls.crt", "");
    crate::secret_file::create(&folder.0.path().join("tls/tls.key"), "").unwrap();
    crate::secret_file::create(&folder.0.path().join("key-encryption.key"), KEK).unwrap();
    let url = ("DATABASE_URL", "postgres://u@db/x");
    let as_shipped = folder.load(&[url], &[]).unwrap();

    let (before, limits) = example.split_once("# limits:\n").unwrap();
    let shown = format!("{before}limits:\n{}", limits.replace("#   ", "  "));
    write("countersign.yaml", &shown);
    let spelt_out = folder.load(&[url], &[]).unwrap();
    assert_eq!(as_shipped.limits, spelt_out.limits);
    assert!(shown.contains("\n  recorder_queue"), "{shown}");
}

#[test]
fn a_file_without_an_end_is_refused() {
    let problems = error("policy: /dev/zero");
    assert!(problems.contains("/dev/zero: must be at most 1048576 bytes"), "{problems}");
}

#[test]
fn four_eyes_are_none_or_a_list_of_what_takes_two() {
    let read = |text: &str| Folder::new(&whole(text)).load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]);
    let both = AlsoTwo { policies: true, kill_switch_release: true, admin_keys: false };
    for (text, expected) in [
        ("", FourEyes::default()),
        ("four_eyes: none\n", FourEyes::None),
        ("four_eyes: [admin_keys]\n", FourEyes::default()),
        ("four_eyes: [policies, kill_switch_release]\n", FourEyes::Persons(both)),
        ("four_eyes: [policies]\n", FourEyes::Persons(AlsoTwo { kill_switch_release: false, ..both })),
    ] {
        assert_eq!(read(text).unwrap().four_eyes, expected, "{text}");
    }
    for wrong in ["four_eyes: [none]\n", "four_eyes: some\n", "four_eyes: [policies, sponsors]\n"] {
        let problems = read(wrong).unwrap_err();
        assert!(problems.contains("four_eyes"), "{wrong}: {problems}");
    }
}

const OPERATORS: &str = "\
tls:
  certificate: token.yml
  private_key: key.pem
  client_ca: token.yml
operators:
  oidc:
    - name: corp
      issuer: https://login.example.com/realms/corp
      audience: countersign
      role_claim: realm_access.roles
      roles:
        - value: Countersign Admins
          grants: [admin, registrar]
        - value: approvers
          grants: [approver]
      required:
        - claim: tenant
          value: \"4711\"
    - name: ci
      issuer: http://127.0.0.1:9000
      audience: countersign
      operator_claim: client_id
      roles:
        - value: deploy
          grants: [policy-admin]
  mtls:
    - san: uri:spiffe://example.org/gate
      operator_id: gate-7
      roles: [gate]
";

#[test]
fn operators_of_providers_and_certificates_are_read_from_lists_of_mappings() {
    let folder = Folder::new(&whole(OPERATORS));
    let Operators { oidc, mtls } = folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).unwrap().operators;
    let [corp, ci] = oidc.as_slice() else { panic!("{oidc:?}") };
    assert_eq!((corp.name.as_str(), corp.operator_claim.as_str()), ("corp", "sub"));
    assert_eq!((ci.operator_claim.as_str(), ci.role_claim.as_str()), ("client_id", "roles"));
    let granted: Vec<_> = corp.roles.iter().map(|role| (role.value.as_str(), role.grants.to_string())).collect();
    assert_eq!(granted, [("Countersign Admins", "admin,registrar".to_owned()), ("approvers", "approver".to_owned())]);
    assert_eq!(corp.required, [RequiredClaim { claim: "tenant".to_owned(), value: "4711".to_owned() }]);
    assert_eq!(
        (mtls[0].operator_id.as_str(), mtls[0].san.to_string().as_str()),
        ("gate-7", "uri:spiffe://example.org/gate")
    );
}

#[test]
fn a_wrong_operator_is_named_by_its_place() {
    for (from, to, expected) in [
        (
            "issuer: https://login",
            "issuer: http://login",
            "countersign.yaml:10: operators.oidc[0].issuer: must be the provider's https",
        ),
        ("realms/corp", "realms/corp?x=1", "operators.oidc[0].issuer: must be"),
        ("http://127.0.0.1:9000", "https://login.example.com/realms/corp", "operators.oidc[1].issuer: occurs twice"),
        ("http://127.0.0.1:9000", "agent-token-svc", "operators.oidc[1].issuer: must be"),
        ("name: ci", "name: corp", "operators.oidc[1].name: occurs twice"),
        ("name: ci", "name: c.i", "operators.oidc[1].name: must be 1 to 16"),
        (
            "      audience: countersign\n      operator_claim",
            "      operator_claim",
            "operators.oidc[1].audience: is missing",
        ),
        ("grants: [policy-admin]", "grants: [root]", "operators.oidc[1].roles[0].grants: each must be one of admin"),
        ("grants: [policy-admin]", "grants: []", "operators.oidc[1].roles[0].grants: is missing or empty"),
        (
            "role_claim: realm",
            "rolle_claim: realm",
            "operators.oidc[0].rolle_claim: unknown key; did you mean operators.oidc[].role_claim?",
        ),
        ("client_ca: token.yml", "client_ca: no.pem", "tls.client_ca: cannot open"),
        ("  client_ca: token.yml\n", "", "tls.client_ca: is missing"),
        ("san: uri:", "san: ip:", "operators.mtls[0].san: must be uri:, dns: or email:"),
        ("operator_id: gate-7", "operator_id: oidc.corp.x", "operators.mtls[0].operator_id: must not begin with oidc."),
        ("roles: [gate]", "roles: [gat]", "operators.mtls[0].roles: each must be one of"),
    ] {
        let error = error(&OPERATORS.replacen(from, to, 1));
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}

const WEBHOOKS: &str = "webhooks:
  - name: on-call
    url: https://hooks.example.com/T0KEN
    secret_file: new.secret
    previous_secret_file: old.secret
    events: [approval.requested, rollout.rolled_back]
";

/// The errors of these webhooks, whose secret files are valid.
fn webhooks(yaml: &str) -> Result<Vec<WebhookEndpoint>, String> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new(&whole(yaml));
    let secrets = [("new.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), ("short.secret", "whsec_c2hvcnQ=")];
    for (name, text) in secrets.into_iter().chain([("old.secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]) {
        let path = folder.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).map(|config| config.webhooks)
}

#[test]
fn webhooks_are_read_with_their_secrets_which_no_message_shows() {
    let read = webhooks(WEBHOOKS).unwrap();
    let [on_call] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((on_call.name.as_str(), on_call.secrets.len(), on_call.topics.len()), ("on-call", 2, 2));
    let shown = format!("{read:?}");
    assert!(!shown.contains("T0KEN") && !shown.contains("MfKQ"), "{shown}");
}

#[test]
fn a_wrong_webhook_is_named_by_its_place() {
    for (right, wrong, message) in [
        ("on-call", "On Call", "countersign.yaml:4: webhooks[0].name: must be 1 to 32"),
        ("https://hooks", "http://hooks", "countersign.yaml:5: webhooks[0].url: must be an https URL"),
        ("https://hooks", "https://me:pass@hooks", "webhooks[0].url: must be an https URL"),
        ("    secret_file: new.secret\n", "", "webhooks[0].secret_file: is missing"),
        ("new.secret", "short.secret", "must be whsec_ and 24 to 64 random bytes in base64"),
        ("new.secret", "token.yml", "can be read by other users"),
        ("approval.requested", "approval", "webhooks[0].events: each must be one of approval.requested"),
        ("approval.requested", "rollout.rolled_back", "webhooks[0].events: names rollout.rolled_back twice"),
        ("[approval.requested, rollout.rolled_back]", "[]", "webhooks[0].events: is missing or empty"),
    ] {
        let error = webhooks(&WEBHOOKS.replace(right, wrong)).unwrap_err();
        assert!(error.contains(message), "{wrong}: {error}");
        assert!(!error.contains("T0KEN") && !error.contains("c2hvcnQ"), "{error}");
    }
    let twice = WEBHOOKS.replace("webhooks:\n", "").repeat(2);
    assert!(webhooks(&format!("webhooks:\n{twice}")).unwrap_err().contains("webhooks[1].name: occurs twice"));
}

const SINKS: &str = "sinks:
  - name: siem
    kind: elasticsearch
    url: https://elastic.example/T0KEN
    index: countersign-custody
    secret_file: elastic.secret
    texts: true
    start: next
  - name: splunk
    kind: splunk_hec
    url: http://127.0.0.1:8088
    secret_file: token.secret
    acknowledge: true
  - name: dog
    kind: datadog
    url: https://http-intake.logs.datadoghq.eu
    secret_file: token.secret
    form: ocsf
  - name: otel
    kind: otlp_logs
    url: https://collector.example:4318
    secret_file: headers.secret
    ca: token.yml
  - name: files
    kind: file
    folder: logs
";

/// The errors of these sinks, whose secret files are valid.
fn sinks(yaml: &str) -> Result<Vec<SinkEndpoint>, String> {
    let folder = Folder::new(&whole(yaml));
    for (name, text) in [
        ("elastic.secret", "olga:geheim:1\n"),
        ("api-key.secret", "Z2VoZWlt"),
        ("token.secret", "geheim-token\n"),
        ("headers.secret", "Authorization: Bearer geheim\n\nx-tenant: geheim 2\n"),
        ("two.secret", "geheim geheim"),
        ("empty.secret", "\n"),
        ("host.secret", "host: geheim"),
        ("line.secret", "geheim"),
    ] {
        crate::secret_file::create(&folder.0.path().join(name), text).unwrap();
    }
    folder.load(&[("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)], &[]).map(|config| config.sinks)
}

#[test]
fn sinks_are_read_with_their_secrets_which_no_message_shows() {
    let read = sinks(SINKS).unwrap();
    let [siem, splunk, dog, otel, files] = &read[..] else { panic!("{read:?}") };
    let SinkKind::Elasticsearch { receiver, index } = &siem.kind else { panic!("{siem:?}") };
    assert_eq!(
        (index.as_str(), siem.form, siem.texts, siem.start),
        ("countersign-custody", Form::Ecs, true, SinkStart::Next)
    );
    assert_eq!(receiver.headers[0].1, "Basic b2xnYTpnZWhlaW06MQ==");
    let SinkKind::SplunkHec { receiver, index: None, acknowledge: true } = &splunk.kind else { panic!("{splunk:?}") };
    assert_eq!(receiver.headers[0].1, "Splunk geheim-token");
    assert_eq!((splunk.form, splunk.texts, splunk.start), (Form::Countersign, false, SinkStart::First));
    let SinkKind::Datadog(receiver) = &dog.kind else { panic!("{dog:?}") };
    assert_eq!((receiver.headers[0].0.as_str(), dog.form), ("dd-api-key", Form::Ocsf));
    let SinkKind::OtlpLogs(receiver) = &otel.kind else { panic!("{otel:?}") };
    assert_eq!((receiver.headers.len(), otel.form), (2, Form::Otel));
    assert!(receiver.secrets.iter().any(|secret| secret.expose_secret() == "geheim"));
    assert!(matches!(&files.kind, SinkKind::File { folder } if folder.ends_with("logs")));
    let shown = format!("{read:?}");
    assert!(!shown.contains("T0KEN") && !shown.contains("geheim") && !shown.contains("b2xn"), "{shown}");
    let key = sinks(&SINKS.replace("elastic.secret", "api-key.secret")).unwrap();
    assert_eq!(key[0].kind.receiver().unwrap().headers[0].1, "ApiKey Z2VoZWlt");
    let none = sinks(&SINKS.replace("    secret_file: elastic.secret\n", "")).unwrap();
    assert!(none[0].kind.receiver().unwrap().headers.is_empty());
}

#[test]
fn a_wrong_sink_is_named_by_its_place() {
    for (right, wrong, message) in [
        ("name: siem", "name: My SIEM", "countersign.yaml:4: sinks[0].name: must be 1 to 32"),
        ("name: splunk", "name: siem", "sinks[1].name: occurs twice"),
        (
            "kind: elasticsearch",
            "kind: elastic",
            "countersign.yaml:5: sinks[0].kind: must be elasticsearch, splunk_hec",
        ),
        ("    kind: file\n", "", "sinks[4].kind: is missing; it must be elasticsearch"),
        ("https://elastic", "http://elastic", "sinks[0].url: must be an https URL"),
        ("https://elastic", "https://me:pass@elastic", "sinks[0].url: must be an https URL"),
        ("T0KEN", "T0KEN?a=b", "sinks[0].url: must be a URL without query"),
        ("    url: https://elastic.example/T0KEN\n", "", "sinks[0].url: is missing"),
        ("    index: countersign-custody\n", "", "sinks[0].index: is missing; it must be a data stream or index"),
        ("countersign-custody", "Custody", "sinks[0].index: must be a data stream or index"),
        ("countersign-custody", "a/_doc", "sinks[0].index: must be a data stream or index"),
        ("acknowledge: true", "index: _internal", "sinks[1].index: must be an index"),
        ("acknowledge: true", "acknowledge: maybe", "sinks[1].acknowledge: must be true or false"),
        ("acknowledge: true", "folder: x", "sinks[1].folder: is for the kind file only"),
        ("form: ocsf", "acknowledge: true", "sinks[2].acknowledge: is for the kind splunk_hec only"),
        ("form: ocsf", "index: a", "sinks[2].index: is for the kinds elasticsearch and splunk_hec only"),
        ("form: ocsf", "form: xml", "sinks[2].form: must be countersign, ecs, ocsf or otel"),
        ("ca: token.yml", "form: ecs", "sinks[3].form: must be otel"),
        ("ca: token.yml", "ca: none.pem", "sinks[3].ca: cannot open"),
        ("    folder: logs\n", "", "sinks[4].folder: is missing"),
        ("folder: logs", "folder: logs\n    url: https://a", "sinks[4].url: has no effect on a sink of kind file"),
        ("start: next", "start: last", "sinks[0].start: must be first or next"),
        ("    secret_file: token.secret\n    acknowledge", "    acknowledge", "sinks[1].secret_file: is missing"),
        ("    secret_file: token.secret\n    form", "    form", "sinks[2].secret_file: is missing"),
        ("elastic.secret", "two.secret", "two.secret must contain an API key or user:password"),
        ("token.secret", "two.secret", "two.secret must contain the collector's token alone"),
        ("token.secret", "empty.secret", "empty.secret must contain the API key alone"),
        ("headers.secret", "host.secret", "host.secret must contain headers"),
        ("headers.secret", "line.secret", "line.secret must contain headers"),
        ("elastic.secret", "countersign.yaml", "can be read by other users"),
    ] {
        let error = sinks(&SINKS.replace(right, wrong)).unwrap_err();
        assert!(error.contains(message), "{wrong}: {error}");
        assert!(!error.contains("T0KEN") && !error.contains("geheim"), "{error}");
    }
    let twice = format!("{SINKS}  - {{name: more, kind: file, folder: logs}}\n");
    assert!(sinks(&twice).unwrap_err().contains("sinks[5].folder: is the folder of another sink"));
}
