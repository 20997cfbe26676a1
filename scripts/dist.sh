#!/usr/bin/env bash
# Puts together what is given to others: the program, its line tables, completion for shells, manual pages, license, README
# and checksums; and an archive of them that is the same bytes whenever it is made of the same commit and program.
#
#   scripts/dist.sh              compiles with the profile `dist` (fat LTO, minutes), into target/dist
#   scripts/dist.sh PROGRAM DIR  packs a program that is there, into DIR
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -eq 0 ]]; then
  target=$(realpath "${CARGO_TARGET_DIR:-target}")
  # Stack traces name files of the project and of its dependencies, not folders of the machine that compiled.
  registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  RUSTFLAGS="--remap-path-prefix=$PWD=countersign --remap-path-prefix=$registry=registry" \
    cargo build --locked --profile dist --package countersign --target-dir "$target"
  program=$target/dist/countersign out=$target/dist
else
  program=$1 out=${2:?usage: scripts/dist.sh [PROGRAM DIR]}
fi

version=$("$program" --version | cut -d ' ' -f 2)
name=countersign-$version-$(rustc -vV | sed -n 's/^host: //p')
rm -rf "${out:?}/$name" "$out/$name.tar.gz" && mkdir -p "$out/$name"
folder=$(realpath "$out/$name")

scripts/split_debug.sh "$program" "$folder"
mkdir -p "$folder/completion" "$folder/man/man1"
"$folder/countersign" completion bash >"$folder/completion/countersign.bash"
"$folder/countersign" completion zsh >"$folder/completion/_countersign"
"$folder/countersign" completion fish >"$folder/completion/countersign.fish"
"$folder/countersign" completion elvish >"$folder/completion/countersign.elv"
"$folder/countersign" completion powershell >"$folder/completion/_countersign.ps1"
"$folder/countersign" man "$folder/man/man1"
cp LICENSE README.md "$folder"
(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)

# The commit's time; a source archive without Git gives it as SOURCE_DATE_EPOCH.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
tar --create --directory "$out" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
  --mode='u+rw,go+r,go-w' --format=posix --pax-option='delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f' "$name" |
  gzip --no-name >"$out/$name.tar.gz"
echo "dist: $out/$name.tar.gz ($(du -h "$out/$name.tar.gz" | cut -f 1)), $(du -h "$folder/countersign" | cut -f 1) the program alone"
