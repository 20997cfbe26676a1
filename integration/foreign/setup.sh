#!/usr/bin/env bash
# Installs the libraries that are not ours which the tests in a folder here use. Silent, and quick where nothing changed.
#
#   integration/foreign/setup.sh NAME...
#
# NAME/requirements.txt (everything pinned) goes into a virtual environment: target/foreign/NAME/bin/python.
# NAME/go.sum names the modules of a program in Go, which is built: target/foreign/NAME/program.
# NAME/pom.xml names the jars of a program in Java: target/foreign/NAME/lib.
# NAME/package-lock.json goes into NAME/node_modules, where Node looks for what the scripts beside it import.
set -euo pipefail
cd "$(dirname "$0")"
target=$(cd ../.. && pwd)/target/foreign

# quietly COMMAND...: three tries, since a registry may be away for a moment; shows the output where COMMAND fails.
quietly() {
  local log try
  log=$(mktemp)
  for try in 1 2 3; do
    if "$@" >"$log" 2>&1 </dev/null; then
      rm -f "$log"
      return 0
    fi
    if [[ $try -lt 3 ]]; then sleep 5; fi
  done
  cat "$log" >&2
  rm -f "$log"
  echo "integration/foreign/setup.sh: failed: $*" >&2
  return 1
}

# install INPUT INSTALLED INSTALLER: installs unless INSTALLED is there and came from the same INPUT.
install() {
  local input=$1 installed=$2 installer=$3 stamp sum
  [[ -f $input ]] || return 0
  stamp=$target/${input//\//-}.installed
  sum=$(sha256sum "$input")
  [[ -e $installed && -f $stamp && $(<"$stamp") == "$sum" ]] && return 0
  rm -f "$stamp"
  "$installer" "$(dirname "$input")"
  echo "$sum" >"$stamp"
}

python() {
  quietly python3 -m venv --clear "$target/$1"
  quietly "$target/$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$1/requirements.txt"
}

node() { quietly npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$1"; }

# A module without a program of its own names one of another module as its tool.
go_program() {
  local package=.
  [[ -f $1/main.go ]] || package=tool
  quietly go build -C "$1" -trimpath -o "$target/$1/program" "$package"
}

java() {
  rm -rf "${target:?}/$1/lib"
  quietly mvn --quiet --batch-mode --file "$1/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$target/$1/lib"
}

mkdir -p "$target"
for name in "${@:?usage: integration/foreign/setup.sh NAME...}"; do
  # Tests run side by side; one of them installs.
  exec {lock}>"$target/$name.lock"
  flock "$lock"
  install "$name/requirements.txt" "$target/$name/bin/python" python
  install "$name/package-lock.json" "$name/node_modules" node
  install "$name/go.sum" "$target/$name/program" go_program
  install "$name/pom.xml" "$target/$name/lib" java
  exec {lock}>&-
done
