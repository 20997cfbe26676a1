//! Operators by client certificate: real TLS, and certificates of a certificate authority that is made here.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use countersign_client::{Bearer, Connection, v1};
use countersign_integration::{Cluster, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::{
    Code, Response, Status,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    configuration::plain,
    support::{info, log, refused, register, room},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client certificate for these names, as PEM with its key.
fn client(authority: &Authority, names: &[SanType], expired: bool) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if expired {
        params.not_after = date_time_ymd(2024, 1, 1);
    }
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity::from_pem(certificate.pem(), key.serialize_pem())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

/// A server over TLS that knows three holders of certificates.
struct World {
    server: Server,
    database: countersign_integration::Database,
    trusted: String,
    client_ca: PathBuf,
    _folder: TempDir,
}

impl World {
    async fn start(authority: &Authority) -> Self {
        let database = Cluster::shared().await.unwrap().database().await.unwrap();
        let (launch, folder) = plain();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("cert.pem", made.cert.pem());
        countersign::secret_file::create(&folder.path().join("key.pem"), &made.signing_key.serialize_pem()).unwrap();
        write("clients.pem", authority.pem());
        let config = "tls:\n  certificate: cert.pem\n  private_key: key.pem\n  client_ca: clients.pem\n\
                      operators:\n  mtls:\n    \
                      - san: uri:spiffe://example.org/enrolment\n      operator_id: enrolment\n      roles: [registrar]\n    \
                      - san: dns:Audit.example.org\n      operator_id: audit\n      roles: [auditor]\n    \
                      - san: email:ada@example.org\n      operator_id: ada\n      roles: [admin, approver]\n";
        write("countersign.yaml", config.to_owned());
        let file = folder.path().join("countersign.yaml");
        let server = launch.arg("--config").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
        let client_ca = folder.path().join("clients.pem");
        Self { server, database, trusted: made.cert.pem(), client_ca, _folder: folder }
    }

    /// A connection with this certificate and this bearer.
    async fn connect(&self, identity: Option<Identity>, bearer: Option<&str>) -> Result<Connection, String> {
        let trust = Certificate::from_pem(&self.trusted);
        let mut tls = ClientTlsConfig::new().ca_certificate(trust).domain_name("localhost");
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        let url = format!("https://localhost:{}", self.server.address().port());
        let endpoint = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap();
        let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
        Ok(match bearer {
            Some(bearer) => Connection::over(channel, Bearer::new(bearer).unwrap()),
            None => Connection::over(channel, Bearer::anonymous()),
        })
    }

    async fn who(&self, identity: Identity) -> Result<v1::WhoAmIResponse, Status> {
        who(&self.connect(Some(identity), None).await.unwrap()).await
    }

    /// Whether no call gets through: in TLS 1.3 a client learns with its first one that it was turned away.
    async fn turned_away(&self, identity: Identity) -> bool {
        match self.connect(Some(identity), None).await {
            Err(_) => true,
            Ok(connection) => who(&connection).await.is_err_and(|status| status.code() != Code::Unauthenticated),
        }
    }
}

async fn who(connection: &Connection) -> Result<v1::WhoAmIResponse, Status> {
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.map(Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_its_operator_where_there_is_no_bearer() {
    let _room = room().await;
    let authority = authority();
    let world = World::start(&authority).await;
    for (name, id, roles) in [
        (uri("spiffe://example.org/enrolment"), "enrolment", &["registrar"][..]),
        (dns("audit.example.org"), "audit", &["auditor"]),
        (email("ada@example.org"), "ada", &["admin", "approver"]),
    ] {
        let said = world.who(client(&authority, &[dns("host-7.example.org"), name], false)).await.unwrap();
        assert!(said.operator_id == id && said.roles == roles, "{said:?}");
    }
    let enrolment = || client(&authority, &[uri("spiffe://example.org/enrolment")], false);
    let connection = world.connect(Some(enrolment()), None).await.unwrap();
    connection.sponsors().register_sponsor(register("bob")).await.unwrap();
    assert_eq!(log(&world.database).await.pop().unwrap().text("operator_id"), "enrolment");

    // A bearer wins, also one that does not hold; and nobody needs a certificate.
    let key = world.server.admin_key().unwrap();
    let both = world.connect(Some(enrolment()), Some(&key)).await.unwrap();
    assert_eq!(who(&both).await.unwrap().operator_id, "admin");
    let garbage = world.connect(Some(enrolment()), Some("garbage")).await.unwrap();
    refused(who(&garbage).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let bearer = world.connect(None, Some(&key)).await.unwrap();
    assert_eq!(who(&bearer).await.unwrap().operator_id, "admin");
    let nothing = world.connect(None, None).await.unwrap();
    refused(who(&nothing).await, Code::Unauthenticated, "UNAUTHENTICATED");

    // Ada comes in by certificate, so the last admin key may go.
    let ada = world.connect(Some(client(&authority, &[email("ada@example.org")], false)), None).await.unwrap();
    let listed = v1::ListApiKeysRequest { operator_id: "admin".to_owned(), ..Default::default() };
    let key = ada.operators().list_api_keys(listed).await.unwrap().into_inner().api_keys.remove(0);
    let request = v1::RevokeApiKeyRequest { key_id: key.key_id, ..Default::default() };
    ada.operators().revoke_api_key(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_nobody_or_of_another_authority_opens_nothing() {
    let _room = room().await;
    let authority = authority();
    let world = World::start(&authority).await;
    let known = || uri("spiffe://example.org/enrolment");
    for names in [
        &[][..],
        &[uri("spiffe://example.org/enrolment/x")],
        &[uri("spiffe://example.org/Enrolment")],
        &[dns("x.audit.example.org"), dns("*.example.org")],
        &[email("Ada@example.org")],
        // Two operators at once are none.
        &[known(), email("ada@example.org")],
    ] {
        let status = world.who(client(&authority, names, false)).await.unwrap_err();
        assert_eq!(
            (status.code(), info(&status).reason.as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{names:?}"
        );
        assert!(status.message().contains("certificate"), "{}", status.message());
    }
    let foreign = self::authority();
    assert!(world.turned_away(client(&foreign, &[known()], false)).await, "another authority");
    assert!(world.turned_away(client(&authority, &[known()], true)).await, "expired");
    assert!(world.who(client(&authority, &[known()], false)).await.is_ok());

    // Another authority in the file is another authority at the door, within seconds; nonsense in it changes nothing.
    fs::write(&world.client_ca, "nonsense").unwrap();
    sleep(Duration::from_secs(6)).await;
    assert!(world.who(client(&authority, &[known()], false)).await.is_ok());
    fs::write(&world.client_ca, foreign.pem()).unwrap();
    let began = Instant::now();
    while world.turned_away(client(&foreign, &[known()], false)).await {
        assert!(began.elapsed() < Duration::from_secs(20), "the file is not read again");
        sleep(Duration::from_millis(300)).await;
    }
    assert!(world.turned_away(client(&authority, &[known()], false)).await, "the one of before");
}
