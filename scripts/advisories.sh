#!/usr/bin/env bash
# Looks up known vulnerabilities in the dependencies of the server and of the clients in five languages. Each language
# has a separate tool, which is used if it is installed and its database can be reached.
#
#   scripts/advisories.sh [--strict]
#
# Fails if an advisory is found. If a look-up is not possible, it prints "not checked: ..." and continues, because a machine
# may have no network, and a registry no advisories. With --strict, for a release, that is a failure too.
set -euo pipefail
cd "$(dirname "$0")/.."

found=() missing=()
ok() { printf 'advisories: %-10s nothing known\n' "$1"; }
not_checked() { missing+=("$1") && printf 'advisories: %-10s not checked: %s\n' "$1" "$2"; }
bad() { found+=("$1") && printf 'advisories: %-10s FOUND\n%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null; }
# asked COMMAND...: its output within a minute, whatever its exit code is.
asked() { timeout 60 "$@" </dev/null 2>/dev/null || true; }

rust() {
  have cargo-audit || { not_checked Rust 'cargo-audit is not installed (cargo install cargo-audit)' && return; }
  local lock answer
  for lock in Cargo.lock fuzz/Cargo.lock; do
    answer=$(asked cargo audit --json --file "$lock")
    if ! jq -e .vulnerabilities <<<"$answer" >/dev/null 2>&1; then
      not_checked Rust "cargo audit could not read the RustSec database for $lock" && return
    fi
    if [[ $(jq .vulnerabilities.found <<<"$answer") == true ]]; then
      bad Rust "$(jq -r '.vulnerabilities.list[] | "\(.package.name) \(.package.version): \(.advisory.id) \(.advisory.title)"' <<<"$answer")"
      return
    fi
  done
  ok Rust
}

typescript() {
  have npm || { not_checked TypeScript 'npm is not installed' && return; }
  local answer
  answer=$(cd clients/typescript && asked npm audit --json --omit=dev --package-lock-only --fetch-retries=0)
  if ! jq -e .metadata.vulnerabilities <<<"$answer" >/dev/null 2>&1; then
    not_checked TypeScript 'the npm registry that this machine uses answers no audits'
  elif [[ $(jq .metadata.vulnerabilities.total <<<"$answer") -gt 0 ]]; then
    bad TypeScript "$(jq -r '.vulnerabilities | keys[]' <<<"$answer")"
  else
    ok TypeScript
  fi
}

python() {
  have pip-audit || { not_checked Python 'pip-audit is not installed (pip install pip-audit)' && return; }
  local answer
  answer=$(asked pip-audit --format json clients/python)
  if ! jq -e .dependencies <<<"$answer" >/dev/null 2>&1; then
    not_checked Python 'pip-audit got no answer'
  elif [[ $(jq '[.dependencies[] | select((.vulns // []) | length > 0)] | length' <<<"$answer") -gt 0 ]]; then
    bad Python "$(jq -r '.dependencies[] | select((.vulns // []) | length > 0) | "\(.name) \(.version): \([.vulns[].id] | join(" "))"' <<<"$answer")"
  elif [[ $(jq '[.dependencies[] | select(.skip_reason and .name != "countersign-client")] | length' <<<"$answer") -gt 0 ]]; then
    not_checked Python 'the advisories of some dependencies could not be read'
  else
    ok Python
  fi
}

go_() {
  have govulncheck || { not_checked Go 'govulncheck is not installed (go install golang.org/x/vuln/cmd/govulncheck)' && return; }
  local answer
  answer=$(cd clients/go && asked govulncheck -format json ./...)
  if ! jq -es 'any(.[]; .config.db)' <<<"$answer" >/dev/null 2>&1; then
    not_checked Go 'govulncheck could not read its database'
  elif jq -es 'any(.[]; .finding.trace[0].function)' <<<"$answer" >/dev/null; then
    bad Go "$(jq -rs '[.[].finding.osv // empty] | unique[]' <<<"$answer")"
  else
    ok Go
  fi
}

rust
typescript
python
go_
not_checked Java 'its tool wants a download of the whole database: docs/release-checklist.md'

[[ ${#found[@]} -eq 0 ]] || exit 1
[[ ${1:-} != --strict || ${#missing[@]} -eq 0 ]]
