#!/usr/bin/env bash
# Generates the stubs of the clients from proto/, into folders that git ignores, and copies the schema of the custody log
# to where each client packages it. (Maven does both for Java.)
#
#   clients/generate.sh [python | typescript | go | java]...
#
# Without a language: all four. What was generated from the same inputs before is left alone. Needs Python 3.10, Node
# 20, Go 1.26, Java 17 and Maven 3.8; every generator comes from its language's package registry, in the version that
# pyproject.toml, package-lock.json, go.mod and pom.xml pin. No protoc on the machine is used.
set -euo pipefail
cd "$(dirname "$0")"

# Prints one hash over the files and folders named, by name and content.
fingerprint() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum; }

# once STAMP INPUTS... -- COMMAND...: runs COMMAND unless it ran for the same INPUTS before. STAMP lies in the folder
# that COMMAND fills, so that whoever removes the folder gets it again.
once() {
  local stamp=$1 inputs=() wanted
  shift
  while [[ $1 != -- ]]; do inputs+=("$1") && shift; done
  shift
  wanted=$(fingerprint "${inputs[@]}")
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then return; fi
  "$@"
  printf '%s\n' "$wanted" >"$stamp"
}

schema=../docs/audit-log-schema.json
# copy_schema TO: leaves a copy that is the same alone, so that nothing is built again for it.
copy_schema() { cmp --silent "$schema" "$1" || cp "$schema" "$1"; }

python_tools() {
  python3 -m venv --clear python/.venv
  python/.venv/bin/pip install --quiet --disable-pip-version-check --editable 'python[dev]'
}
python_stubs() {
  local bin=python/.venv/bin
  rm -f python/src/countersign/v1/*_pb2*
  "$bin/python" -m grpc_tools.protoc -I ../proto --plugin="$bin/protoc-gen-mypy_grpc" \
    --python_out=python/src --pyi_out=python/src --grpc_python_out=python/src --mypy_grpc_out=quiet:python/src \
    ../proto/countersign/v1/*.proto
}
generate_python() {
  once python/.venv/stamp python/pyproject.toml -- python_tools
  once python/src/countersign/v1/stamp_pb2 ../proto/countersign python/pyproject.toml -- python_stubs
  copy_schema python/src/countersign/custody/audit-log-schema.json
}

node_tools() { npm --prefix typescript ci --no-audit --no-fund --loglevel=error; }
typescript_stubs() {
  npm --prefix typescript run --silent generate
  # A module, because Node 20 warns of imports of JSON.
  { printf 'export const auditLogSchema: unknown = ' && cat "$schema" && echo ';'; } >typescript/src/gen/audit-log-schema.ts
}
generate_typescript() {
  once typescript/node_modules/stamp typescript/package-lock.json -- node_tools
  once typescript/src/gen/stamp ../proto/countersign "$schema" typescript/proto typescript/buf.gen.yaml \
    typescript/package-lock.json -- typescript_stubs
}

go_stubs() {
  rm -rf go/countersign
  (cd go && ../typescript/node_modules/.bin/buf generate)
}
generate_go() {
  # buf is the TypeScript client's.
  once typescript/node_modules/stamp typescript/package-lock.json -- node_tools
  once go/countersign/stamp ../proto/countersign go/buf.gen.yaml go/go.mod typescript/package-lock.json -- go_stubs
  copy_schema go/custody/audit-log-schema.json
}

generate_java() { mvn --quiet --batch-mode --file java/pom.xml generate-sources; }

for language in "${@:-all}"; do
  case $language in
    python | typescript | go | java) "generate_$language" ;;
    all) for each in python typescript go java; do "generate_$each"; done ;;
    *) echo "usage: clients/generate.sh [python | typescript | go | java]..." >&2 && exit 2 ;;
  esac
done
