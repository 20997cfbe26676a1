#!/usr/bin/env bash
# Packs a program as `make dist` does, and looks at what a user gets: twice the same bytes, checksums, line tables, manual
# pages, and completion in each shell that is here.
#
#   scripts/dist_test.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:?usage: scripts/dist_test.sh PROGRAM}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "dist: $*" >&2 && exit 1; }

for nth in 1 2; do scripts/dist.sh "$program" "$work/$nth"; done
cmp "$work"/1/*.tar.gz "$work"/2/*.tar.gz || fail 'two archives of one program differ'

mkdir "$work/got" && tar -xzf "$work"/1/*.tar.gz -C "$work/got" --strip-components 1
cd "$work/got"
sha256sum --check --quiet SHA256SUMS
[[ $(sed 's/^[^ ]*  //' SHA256SUMS) == "$(find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort)" ]] || fail 'not every file has a checksum'
[[ $(./countersign --version) == countersign\ * ]]

# Stripped, and yet an address leads to a line: by the name of the file beside it.
! nm ./countersign 2>/dev/null | grep -q . || fail 'the program has symbols'
main=$(nm --demangle countersign.debug | awk '$3 == "countersign::main" && !found++ { print $1 }')
addr2line --exe ./countersign "$main" | grep 'server/src/main\.rs:[0-9]' >/dev/null || fail "$main leads to no line of main.rs"

# `groff -ww` warns of everything; it comes with man.
pages=(man/man1/*.1)
[[ ${#pages[@]} -gt 40 && -f man/man1/countersign-sponsor-register.1 ]] || fail "only ${#pages[@]} manual pages"
for page in "${pages[@]}"; do
  said=$(groff -man -Tutf8 -ww -z "$page" 2>&1) && [[ -z $said ]] || fail "$page: $said"
done
MANPAGER="cat" man --local-file man/man1/countersign-serve.1 2>/dev/null | grep -- '--container' >/dev/null || fail 'man shows no flag of serve'

PATH=$PWD:$PATH
# What bash offers after these words.
offered() {
  bash -c 'source completion/countersign.bash
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _countersign countersign "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
[[ $(offered countersign sponsor reg) == register ]] || fail 'bash does not complete a verb'
[[ $(offered countersign serve --cont) == --container ]] || fail 'bash does not complete a flag'
shells=bash
if command -v fish >/dev/null; then
  fish --no-config --command 'source completion/countersign.fish; complete --do-complete "countersign sponsor reg"' |
    grep '^register' >/dev/null || fail 'fish does not complete a verb'
  shells+=', fish'
fi
if command -v zsh >/dev/null; then
  zsh -n completion/_countersign || fail 'zsh cannot read its completion'
  shells+=', zsh (read only)'
fi
echo "dist: the archive is whole; ${#pages[@]} manual pages; completion in $shells"
