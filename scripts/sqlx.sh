#!/usr/bin/env bash
# Checks every query of server/store against the schema that migrations/ create, and updates .sqlx, with which all other
# builds compile. With --check it only reports whether .sqlx is up to date.
#
# The database is a separate, temporary one; sqlx-cli is not needed (docs/decisions/0005).
set -euo pipefail
cd "$(dirname "$0")/.."

# Inputs that were checked before need no Postgres.
stamp=target/sqlx.stamp
inputs() { find .sqlx migrations server/store Cargo.lock scripts/sqlx.sh -type f | LC_ALL=C sort | xargs sha256sum | sha256sum; }
if [[ ${1:-} == --check && -f $stamp && $(<"$stamp") == "$(inputs)" ]]; then exit; fi

folder=$(mktemp -d /tmp/countersign-sqlx.XXXXXX)
as_postgres=()
if [[ $EUID -eq 0 ]]; then as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
stop() {
  if [[ -f $folder/data/postmaster.pid ]]; then
    "${as_postgres[@]}" pg_ctl stop --silent --mode=immediate --pgdata="$folder/data" || true
  fi
  rm -rf "$folder"
}
trap stop EXIT

# Debian installs these two programs outside of the PATH.
newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
PATH=${PG_BIN_DIR:+$PG_BIN_DIR:}$PATH:$newest
if [[ $EUID -eq 0 ]]; then chown postgres: "$folder"; fi
cd "$folder"
"${as_postgres[@]}" initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --no-sync >/dev/null
"${as_postgres[@]}" pg_ctl start --silent --wait --pgdata=data --log=log \
  --options="-k $folder -c listen_addresses= -c fsync=off"
cd "$OLDPWD"
for migration in migrations/*.sql; do
  PGOPTIONS='-c client_min_messages=warning' psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 \
    --host="$folder" --username=postgres --single-transaction --file="$migration" >/dev/null
done

mkdir "$folder/queries"
export DATABASE_URL="postgres://postgres@localhost/postgres?host=$folder" SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$folder/queries
# The macros write their queries during compilation, so the crate must be compiled. A new --cfg makes cargo do so, and
# does not affect what was built with the usual flags.
cargo rustc --quiet --locked --package countersign-store --lib --profile check -- \
  --cfg "sqlx_prepare=\"$RANDOM$RANDOM\"" --check-cfg 'cfg(sqlx_prepare, values(any()))'

if [[ ${1:-} == --check ]]; then
  diff --recursive --brief .sqlx "$folder/queries" || { echo ".sqlx is not up to date: run make sqlx" >&2 && exit 1; }
else
  rm -f .sqlx/query-*.json
  cp "$folder"/queries/query-*.json .sqlx/
  echo ".sqlx holds $(find .sqlx -name 'query-*.json' | wc -l) queries"
fi
inputs >"$stamp"
