#!/usr/bin/env bash
# Runs all tests. Ends at the first part that fails; the last lines have the result, and all details of what failed.
#
#   scripts/test.sh NAME   only the tests from outside whose names contain this
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

if [[ -n ${1:-} ]]; then
  # The second test is named so that its package's program is built.
  cargo test --quiet --locked --workspace --no-run --test all --test command_line
  server=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/countersign
  COUNTERSIGN_BIN=$server exec cargo test --locked --workspace --test all -- "$1"
fi

log=$(mktemp)
# The secrets and the output of the tests: see scripts/secrets.sh.
export COUNTERSIGN_TEST_RECORD=$PWD/target/test-record
rm -rf "$COUNTERSIGN_TEST_RECORD"
(umask 077 && mkdir -p "$COUNTERSIGN_TEST_RECORD/output")
now='' started=$SECONDS
lanes=$(mktemp)
summary() {
  local status=$?
  if [[ $status -ne 0 ]]; then
    # Repeated at the end, because often only the end of a long log is kept: cargo's output for each failed test, without
    # stack traces.
    awk '/^failures:$/ { failed = 1 } /^test result: / { failed = 0 } failed && !/^ +([0-9]+:|at) /' "$log" | tail -n 200
    printf 'test: FAILED: %s\n' "$now"
  fi
  rm -f "$log" "$lanes"
}
trap summary EXIT
# How many tests the log says have passed so far.
passed() {
  awk '/^test result: / { passed += $4 } /^clients: .* passed/ { passed += $2 } /^story ok: rust/ { passed += 1 } END { print passed + 0 }' "$log"
}
# run WHAT COMMAND...: prints what it runs, runs it, and ends the script if it fails. Notes the lane's time and tests.
run() {
  local began=$SECONDS before
  before=$(passed)
  now=$1
  shift
  printf '\n==> %s (%d s)\n' "$now" $((SECONDS - started))
  "$@" </dev/null 2>&1 | tee -a "$log"
  printf '%6d s %6d  %s\n' $((SECONDS - began)) $(($(passed) - before)) "$now" >>"$lanes"
}

# The programs are built together with the tests, so that nothing is compiled twice.
run 'Rust: build' cargo test --locked --workspace --no-run
built=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
# Three lanes, which share no test: what needs a machine of its own, what is asked from outside, and the examples in comments.
mapfile -t inside < <(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    for target in package["targets"]:
        if target["kind"] == ["test"] and target["name"] != "all":
            print("--test=" + target["name"])' | sort -u)
run 'Rust: inside' env COUNTERSIGN_BIN="$built/countersign" \
  cargo test --locked --workspace --no-fail-fast --lib --bins "${inside[@]}"
# One fault of each kind is among these; `make faults` does a hundred kills.
run 'Rust: outside' env COUNTERSIGN_BIN="$built/countersign" cargo test --locked --workspace --no-fail-fast --test all
run 'Rust: examples in comments' cargo test --locked --workspace --no-fail-fast --doc
run 'soak: every attack at once, small' env COUNTERSIGN_BIN="$built/countersign" "$built/soak" --seconds 10 --scale 3 --patience 8
run 'clients in Python, TypeScript, Go, Java: stubs, unit tests, stories' scripts/with-server.sh clients/test.sh
run 'client in Rust: its story' scripts/with-server.sh bash -c \
  'COUNTERSIGN_ADDR=http://$COUNTERSIGN_ADDR exec cargo run --quiet --locked --package countersign-client --example story'
run 'README, guard your first tool, for auditors: their commands' env PROFILE=dev scripts/readme.sh \
  README.md docs/guard-your-first-tool.md docs/for-auditors.md

run 'archive of make dist: content, completion, manual pages' scripts/dist_test.sh "$built/countersign"
run 'image: built and started without Docker' scripts/image.sh "$built/countersign"

run 'no secret in any output' scripts/secrets.sh "$COUNTERSIGN_TEST_RECORD" "$log"
rm -rf "$COUNTERSIGN_TEST_RECORD"

printf '\n    time  tests  lane\n'
cat "$lanes"
awk -v seconds=$((SECONDS - started)) '
  /^test result: /           { passed += $4; failed += $6; skipped += $8 }
  /^clients: .* passed/      { passed += $2; failed += $4 }
  /^story ok: rust/          { passed += 1 }
  END { printf "\ntest: everything passed in %d s\n%d passed, %d failed, %d skipped\n", seconds, passed, failed, skipped }
' "$log"
