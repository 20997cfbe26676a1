#!/usr/bin/env bash
# Runs the commands of README.md, or of the pages named, as a newcomer would: `make run` in one terminal, everything else in
# order in another. Each page gets a fresh server. Fails at the first command that does, which for curl includes an HTTP
# status of 400 and above.
#
#   scripts/readme.sh [PAGE]...
#
# Left out is what runs this script, and what measures for minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

script=$(mktemp)
trap 'rm -f "$script"' EXIT
for page in "${@:-README.md}"; do
  commands=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$page")
  grep -qx 'make run' <<<"$commands" || { echo "$page does not say make run" >&2 && exit 1; }
  {
    echo 'curl() { command curl --silent --show-error --fail-with-body "$@"; }'
    echo "set -v -- $page"
    grep -vxE 'make (run|test|check|check test|bench)' <<<"$commands"
  } >"$script"
  # A command may write a file that calls the server, so the address is put in, and not a variable. The output shows no
  # token: who issues one sees it, the readers of the tests' output must not.
  SERVER=${SERVER:-make run} scripts/with-server.sh bash -euo pipefail -c \
    'sed -i "s/localhost:8080/$COUNTERSIGN_ADDR/g" "$0" && bash -euo pipefail "$0"' "$script" |
    sed --unbuffered -E 's/"token":"[^"]+"/"token":"(a credential)"/'
done
