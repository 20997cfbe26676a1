# shellcheck shell=bash
# For sourcing: runs steps, with a line each.

failed=()

# step WHAT COMMAND...: runs COMMAND and says how it went; its output is shown where it failed. Notes the failure.
step() {
  local what=$1 started=$SECONDS log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then
    printf 'ok    %-28s %4d s\n' "$what" $((SECONDS - started))
  else
    printf 'FAIL  %-28s %4d s\n' "$what" $((SECONDS - started))
    cat "$log"
    failed+=("$what")
  fi
  rm -f "$log"
}
