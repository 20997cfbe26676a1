# shellcheck shell=bash
# To be sourced: runs steps, with one line for each.

failed=()

# step WHAT COMMAND...: runs COMMAND and prints the result, with its output if it failed. Records the failure.
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
