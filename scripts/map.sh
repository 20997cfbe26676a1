#!/usr/bin/env bash
# Prints every source file of the server with what its header says it does: in which file each behaviour lies.
#
#   scripts/map.sh [WORD...]   only the files whose path or header has words that begin with all of these
set -euo pipefail
cd "$(dirname "$0")/.."

git ls-files 'proto/*.proto' 'proto/*.rs' 'server/*.rs' 'testing/*.rs' 'integration/src/*.rs' |
  grep -v -e /third_party/ -e '/tests[/.]' -e /on_postgres/ | xargs awk -v words="$*" '
    FNR == 1 { finish(); file = FILENAME; text = ""; ended = 0 }
    # The whole header of a Rust file; the first comment of a contract, after its licence and package.
    /^\/\/!?( |$)/ && !ended { sub(/^\/\/!? ?/, ""); if ($0 != "") text = text " " $0; next }
    text != "" { ended = 1 }
    END { finish() }
    function finish(  count, nth, each, plain) {
      if (file == "") return
      plain = " " tolower(file text)
      gsub(/[^a-z0-9]/, " ", plain)
      count = split(tolower(words), each, " ")
      for (nth = 1; nth <= count; nth++) if (index(plain, " " each[nth]) == 0) return
      printf "%s:%s\n", file, text
    }'
