#!/usr/bin/env bash
# Runs the commands of README.md, as a newcomer would: `make run` in one terminal, everything else in order in another.
# Fails at the first command that does, which for curl includes an HTTP status of 400 and above.
#
# Left out is what runs this script, and what measures for minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

commands=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' README.md)
grep -qx 'make run' <<<"$commands" || { echo "README.md does not say make run" >&2 && exit 1; }

script=$(mktemp)
trap 'rm -f "$script"' EXIT
{
  echo 'curl() { command curl --silent --show-error --fail-with-body "$@"; }'
  echo 'set -v'
  grep -vxE 'make (run|test|check|check test|bench)' <<<"$commands" | sed 's/localhost:8080/$COUNTERSIGN_ADDR/g'
} >"$script"
# A token is shown to whoever asks for one, and to nobody who reads what the tests put out.
SERVER='make run' scripts/with-server.sh bash -euo pipefail "$script" |
  sed --unbuffered -E 's/"token":"[^"]+"/"token":"(a credential)"/'
