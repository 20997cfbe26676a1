#!/usr/bin/env bash
# Runs a command beside a new dev server, with a separate database and a free port.
#
#   scripts/with-server.sh COMMAND...
#
# COMMAND finds the server at COUNTERSIGN_ADDR (host:port). The server's log is shown if COMMAND fails, and COMMAND's exit
# code is returned. The server is target/debug/countersign, unless SERVER is another command that serves.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d /tmp/countersign-test.XXXXXX)
# If this is root, the private Postgres runs as another user, who must be able to pass through.
chmod 711 "$folder"
server=
stop() {
  if [[ -n ${COUNTERSIGN_TEST_RECORD:-} ]]; then
    # The keys that the server created are secrets, and what it prints is output.
    cat "$folder"/data/*.key >>"$COUNTERSIGN_TEST_RECORD/secrets" 2>/dev/null || true
    cat "$folder/stdout" "$folder/log" >>"$COUNTERSIGN_TEST_RECORD/output/with-server-stderr" 2>/dev/null || true
  fi
  if [[ -n $server ]]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
  rm -rf "$folder"
}
trap stop EXIT

# A database in the environment is not for this server.
unset DATABASE_URL COUNTERSIGN_DATABASE_URL COUNTERSIGN_CONFIG
COUNTERSIGN_LISTEN=127.0.0.1:0 COUNTERSIGN_DATA_DIR=$folder/data \
  ${SERVER:-target/debug/countersign serve --dev} >"$folder/stdout" 2>"$folder/log" </dev/null &
server=$!
until grep -q '^countersign is ready on' "$folder/stdout"; do
  if ! kill -0 "$server" 2>/dev/null; then
    cat "$folder/log" >&2
    echo "with-server.sh: the server did not start" >&2
    exit 1
  fi
  sleep 0.1
done
COUNTERSIGN_ADDR=$(sed -n 's|^countersign is ready on http://||p' "$folder/stdout")
export COUNTERSIGN_ADDR

status=0
"$@" || status=$?
if [[ $status -ne 0 ]]; then sed 's/^/server: /' "$folder/log" >&2; fi
exit "$status"
