#!/usr/bin/env bash
# Runs the commands of README.md, or of the named pages, as a newcomer would: `make run` in one terminal, everything else
# in order in another. Each page gets a new server. Fails at the first command that fails, which for curl includes an HTTP
# status of 400 and above.
#
#   scripts/readme.sh [PAGE]...
#
# Commands that run this script, or that measure for minutes, are left out.
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
  # A command may write a file that calls the server, so the address itself is inserted and not a variable. Tokens are
  # removed from the output, because its readers must not see them.
  SERVER=${SERVER:-make run} scripts/with-server.sh bash -euo pipefail -c \
    'sed -i "s/localhost:8080/$COUNTERSIGN_ADDR/g" "$0" && bash -euo pipefail "$0"' "$script" |
    sed --unbuffered -E 's/"token":"[^"]+"/"token":"(a credential)"/'
done
