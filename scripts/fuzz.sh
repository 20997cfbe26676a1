#!/usr/bin/env bash
# Fuzzes all code that reads bytes from outside: scripts/fuzz.sh TARGET... | all
#
#   scripts/fuzz.sh oauth json_door          # ten minutes each, one after the other
#   scripts/fuzz.sh all                      # every target
#   scripts/fuzz.sh                          # lists the targets
#   FUZZ_SECONDS=60 scripts/fuzz.sh oauth    # the time for each target
#   FUZZ_SANITIZER=address scripts/fuzz.sh oauth
#
# Needs a nightly toolchain (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz). We have no
# unsafe code, so the address sanitizer, which halves the speed, is off by default.
#
# A target begins with the seeds of its stable test and writes them into fuzz/corpus, where new inputs that it finds are
# kept. Inputs that broke a rule are in fuzz/artifacts; the last lines show how many inputs were run. Fix the whole kind
# of fault that was found, and add the input to the target's seeds, so that the stable test checks it from then on. A
# target fails if it panics, or takes more than ten seconds or 2 GiB of memory for one input.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t known < <(sed -n '/^\[\[bin\]\]/,/^path/s/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml)
if [[ $# -eq 0 ]]; then
  printf 'usage: scripts/fuzz.sh TARGET... | all\n\ntargets:\n'
  printf '  %s\n' "${known[@]}"
  exit 2
fi
targets=("$@")
[[ $1 != all ]] || targets=("${known[@]}")
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || { echo "there is no target $target; scripts/fuzz.sh lists them" >&2 && exit 2; }
done
cargo +nightly fuzz --version >/dev/null 2>&1 || {
  echo "a nightly toolchain and cargo-fuzz are needed: rustup toolchain install nightly; cargo install cargo-fuzz" >&2 && exit 2
}

# For one target only a part of the server is built; for several, all of it is built once.
features=$(sed -n '/^\[features\]/,/^$/s/^\([a-z]*\) = .*/\1/p' fuzz/Cargo.toml | paste -sd,)
if [[ ${#targets[@]} -eq 1 ]]; then
  features=$(sed -n "/^name = \"${targets[0]}\"/,/^$/s/^required-features = \[\"\(.*\)\"\]/\1/p" fuzz/Cargo.toml)
fi

broken=()
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  options=(-max_len=9000 -timeout=10 -rss_limit_mb=2048 -max_total_time="${FUZZ_SECONDS:-600}" -print_final_stats=1)
  [[ ! -f fuzz/dictionaries/$target ]] || options+=(-dict="fuzz/dictionaries/$target")
  printf '==> %s\n' "$target"
  COUNTERSIGN_FUZZ_SEEDS=$PWD/$corpus cargo +nightly fuzz run --sanitizer "${FUZZ_SANITIZER:-none}" --features "$features" \
    "$target" "$corpus" -- "${options[@]}" || broken+=("$target")
done
if [[ ${#broken[@]} -gt 0 ]]; then
  printf 'fuzz: a rule was broken in: %s; the inputs are in fuzz/artifacts\n' "${broken[*]}"
  exit 1
fi
