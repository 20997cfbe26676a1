#!/usr/bin/env bash
# Builds and tests the Python, TypeScript, Go and Java clients: stubs, compilers, unit tests over the shared vectors.
# With COUNTERSIGN_ADDR (host:port of a running server) it also plays each client's story against that server;
# COUNTERSIGN_API_KEY is the operator's key, where the server wants one.
#
# Prints a line a step, and the output of a step that fails.
set -euo pipefail
cd "$(dirname "$0")"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# step LANGUAGE WHAT COMMAND...: runs COMMAND in the folder of LANGUAGE and says how it went.
step() {
  local language=$1 what=$2 started=$SECONDS file="$results/$1-${2// /-}"
  shift 2
  if (cd "$language" && "$@") >"$file.log" 2>&1; then
    touch "$file.passed"
    printf 'ok    %-11s %-10s %3d s\n' "$language" "$what" $((SECONDS - started))
  else
    touch "$file.failed"
    printf 'FAIL  %-11s %-10s %3d s\n%s\n' "$language" "$what" $((SECONDS - started)) "$(<"$file.log")"
    return 1
  fi
}

python_lane() {
  step python generate ../generate.sh python
  step python test .venv/bin/python -m pytest --quiet
}
typescript_lane() {
  step typescript generate ../generate.sh typescript
  step typescript build npm run --silent build
  step typescript test npm --silent test
}
go_lane() {
  step go generate ../generate.sh go
  step go vet go vet ./...
  step go test go test ./...
}
# Maven generates, compiles and tests in one run, which starts the JVM once.
java_lane() { step java test mvn --quiet --batch-mode test; }

stories() {
  step python story .venv/bin/python examples/story.py
  step typescript story npm run --silent story
  step go story go run ./examples/story
  step java story \
    java -cp "target/test-classes:target/classes:$(<java/target/classpath.txt)" dev.countersign.examples.Story
}

# Two lanes at once, for two cores; go's comes after the one that installs buf.
lane() { for language in "$@"; do "${language}_lane"; done; }
(lane python java) &
first=$!
(lane typescript go) &
second=$!
status=0
wait "$first" || status=1
wait "$second" || status=1

if [[ $status -eq 0 ]]; then
  if [[ -n ${COUNTERSIGN_ADDR:-} ]]; then
    # One after another: a server has one open rollout, and each story wants to start its own.
    stories &
    wait "$!" || status=1
  else
    echo "skip  the stories: COUNTERSIGN_ADDR names no server"
  fi
fi
count() { find "$results" -name "*.$1" | wc -l | tr -d ' '; }
echo "clients: $(count passed) passed, $(count failed) failed"
exit "$status"
