#!/usr/bin/env bash
# All checks of the code that do not run the program, the quick ones first. Continues after a failure, so that one run
# shows all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/step.sh

# The commit since which the v1 contract may only grow. Once there is a release, the tag of the newest one is used.
contract_since=6a9039c

buf() { clients/typescript/node_modules/.bin/buf "$@"; }

contract_grows() {
  local base
  base=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || echo "$contract_since")
  if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
    echo "$base is not in this clone, so there is nothing to compare with" && return
  fi
  # Not a ref of the repository: buf would clone it, and cannot find a commit by its hash in the clone.
  rm -rf target/contract && mkdir -p target/contract
  git archive "$base" proto | tar -x -C target/contract
  buf breaking proto --against target/contract/proto
}

cargo_deny() {
  if ! command -v cargo-deny >/dev/null; then echo "not installed" && return; fi
  cargo deny --offline --log-level error check bans licenses sources
}

# An installation uses the registry that its tools are configured for, so lock files must not name one.
lock_files_name_no_host() {
  ! git grep -nE '"resolved"' -- '*package-lock.json' &&
    ! git grep -nE '^source = ' -- '*Cargo.lock' | grep -v 'registry+https://github.com/rust-lang/crates.io-index' &&
    ! git grep -nIE '(index-url|find-links|^registry *=|<repository>|GOPROXY)' -- '*.toml' '*.txt' '*.xml' '*.npmrc'
}

no_machine_paths() {
  ! git grep -nIE '(^|[^[:alnum:]_.])/(work|root|Users|home/[a-z]+)/' -- ':!migrations' ':!scripts/check.sh'
}

# Code that was left unfinished.
nothing_left_open() { ! git grep -nE '(todo|unimplemented)!|FIXME|XXX|#\[ignore\]' -- '*.rs' '*.py' '*.ts' '*.go' '*.java' '*.proto'; }

# docs/operating.md must have all error reasons and configuration keys, because operators look them up there. Metrics are in
# docs/metrics.md, which a test holds to the code.
operating_is_complete() {
  local name missing=()
  for name in $(sed -n 's/^  ERROR_REASON_\([A-Z_]*\) = [1-9].*/\1/p' proto/countersign/v1/error_reason.proto) \
    $(sed -n '/^const KEYS/,/^];/s/^ *"\(.*\)",/\1/p' server/src/config/sources.rs); do
    grep -qF "\`$name\`" docs/operating.md || missing+=("$name")
  done
  [[ ${#missing[@]} -eq 0 ]] || { echo "docs/operating.md does not name: ${missing[*]}" && return 1; }
}

alert_rules() { promtool check rules deploy/alerts/countersign.yml && promtool test rules deploy/alerts/countersign_test.yml; }

shell_scripts() { git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --severity=warning --external-sources; }

step 'format' cargo fmt --all -- --check --files-with-diff
step 'spelling' typos
step 'shell' shell_scripts
step 'machine paths' no_machine_paths
step 'alert rules' alert_rules
step 'lock files' lock_files_name_no_host
step 'nothing left open' nothing_left_open
step 'operating.md' operating_is_complete
step 'links' scripts/links.py
step 'plain English' scripts/plain_english.py
step 'named columns' scripts/columns.py
step 'structure' scripts/structure.py
step 'dependencies' scripts/dependencies.py
step 'cargo deny' cargo_deny
step 'buf' clients/generate.sh typescript
step 'contract: buf lint' buf lint proto
step 'contract: buf breaking' contract_grows
step 'clippy' cargo clippy --quiet --keep-going --workspace --all-targets --locked -- --deny warnings
step 'queries' scripts/sqlx.sh --check
# Not a step, because it must also show what was not checked, even if nothing is wrong.
scripts/advisories.sh || failed+=(advisories)

if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'check: FAILED: %s\n' "$(IFS=,; echo "${failed[*]}")"
  exit 1
fi
echo "check: everything is fine"
