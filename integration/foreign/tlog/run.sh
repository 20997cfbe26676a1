#!/usr/bin/env bash
# Has the libraries of others read logs of several sizes that we wrote.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo build --quiet -p countersign-ledger --example tlog_folder
for size in 1 2 255 256 257 600 70000; do
  cargo run --quiet -p countersign-ledger --example tlog_folder -- "$folder/$size" "$size"
  TLOG_FOLDER=$folder/$size go test -count=1 ./...
done
