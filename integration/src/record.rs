//! Keeps the secrets that the tests created, and everything that came out, for `scripts/secrets.sh`, which searches the
//! output for the secrets.
//!
//! Only if `COUNTERSIGN_TEST_RECORD` names a folder, as in `scripts/test.sh`. The secrets are written into `secrets`
//! there, one per line, readable only by the owner; the output is written into `output/`.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
    thread,
    time::Duration,
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime;

use crate::{Failure, connect};

/// Anything shorter would be found by chance.
const SHORTEST: usize = 16;
/// Longest wait for a server that may have ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the record is kept. `None` if it is not kept.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os("COUNTERSIGN_TEST_RECORD").map(PathBuf::from)).as_deref()
}

/// Records something that must not appear anywhere: an API key, a token, a key. Its secret part is also recorded alone:
/// the secret of an API key, the signature of a token.
pub fn secret(text: &str) {
    let Some(folder) = folder() else { return };
    let text = text.trim();
    let part = if text.starts_with("csk_") { text.splitn(3, '_').nth(2) } else { text.split('.').nth(2) };
    let mut lines = String::new();
    for one in [Some(text), part].into_iter().flatten().filter(|one| one.len() >= SHORTEST) {
        lines.push_str(one);
        lines.push('\n');
    }
    append(&folder.join("secrets"), lines.as_bytes());
}

/// Records the secrets in a JSON answer: tokens, receipts and keys, by the field names of the endpoints.
pub(crate) fn secrets_of(answer: &[u8]) {
    if folder().is_none() {
        return;
    }
    if let Ok(Value::Object(answer)) = serde_json::from_slice(answer) {
        for name in ["token", "access_token", "receipt", "apiKey", "secret", "svid"] {
            answer.get(name).and_then(Value::as_str).into_iter().for_each(secret);
        }
    }
}

/// Keeps a text that came out.
pub fn output(name: &str, text: &[u8]) {
    let Some(folder) = folder() else { return };
    append(&folder.join("output").join(format!("{}-{name}", process::id())), text);
}

/// Keeps what a server printed and logged, and its metrics, if it can still be reached.
pub(crate) fn server(address: SocketAddr, home: &Path) {
    if folder().is_none() {
        return;
    }
    for stream in ["stdout", "stderr"] {
        output(stream, &fs::read(home.join(stream)).unwrap_or_default());
    }
    output("metrics", &metrics(address).unwrap_or_default());
}

fn metrics(address: SocketAddr) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).ok()?;
    Some(page)
}

/// Keeps every row of every table of a database. Blocks, for callers that cannot await.
///
/// # Panics
/// If the database cannot be read, because then nothing would be checked.
pub fn database(url: &str) {
    if folder().is_none() {
        return;
    }
    let url = url.to_owned();
    // A separate runtime, because the caller may be inside one when it drops something.
    let kept =
        thread::spawn(move || runtime::Builder::new_current_thread().enable_all().build()?.block_on(tables(&url)));
    let kept = kept.join().unwrap_or_else(|_| Err("a panic".into()));
    match kept {
        Ok(rows) => output("database", rows.as_bytes()),
        Err(failure) => panic!("what the database holds cannot be kept: {failure}"),
    }
}

async fn tables(url: &str) -> Result<String, Failure> {
    let mut connection = connect(url).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut rows = Vec::new();
    for table in tables {
        // A leaf is text that is stored as bytes.
        let leaf = if table == "custody_event" { "convert_from(leaf_bytes, 'UTF8') || ' ' ||" } else { "" };
        let statement = format!("SELECT '{table} ' || {leaf} t::text FROM {table} t");
        rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(statement)).fetch_all(&mut connection).await?);
    }
    connection.close().await?;
    Ok(rows.join("\n") + "\n")
}

fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(bytes)) {
        panic!("{} cannot be written: {error}", path.display());
    }
}
