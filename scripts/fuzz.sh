#!/usr/bin/env bash
# Fuzzes what reads tokens and keys, from the cases that verifiers in every language share, and what reads policies and their
# tests, from those of the tests.
#
#   scripts/fuzz.sh credential|receipt|claims|jwks|policy|policy_tests [SECONDS]
#
# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz). What it found to be interesting stays in fuzz/corpus,
# what broke a rule in fuzz/artifacts. `make test` holds the same rules for a bounded number of cases (tests/fuzz.rs of
# server/core and server/policy).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?names no target: credential, receipt, claims, jwks, policy or policy_tests}

python3 - "$target" <<'PYTHON'
import base64, json, pathlib, sys

target = sys.argv[1]
vectors = json.loads(pathlib.Path("clients/conformance/credential.json").read_text())
documents = pathlib.Path("server/policy/tests/documents")
folder = pathlib.Path("fuzz/corpus", target)
folder.mkdir(parents=True, exist_ok=True)
if target == "jwks":
    seeds = [json.dumps(vectors["jwks"]).encode()]
elif target == "policy":
    paths = [path for path in documents.glob("*.yaml") if ".tests." not in path.name]
    cedar = {path: path.with_suffix(".cedar") for path in paths}
    seeds = [path.read_bytes() + (b"\0" + cedar[path].read_bytes() if cedar[path].exists() else b"") for path in paths]
elif target == "policy_tests":
    seeds = [path.read_bytes() for path in documents.glob("*.tests.yaml")]
else:
    seeds = [case["token"].encode() for case in vectors["cases"]]
if target == "claims":
    parts = [seed.split(b".")[1] for seed in seeds if seed.count(b".") == 2]
    seeds = [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in parts if b"+" not in part]
for number, seed in enumerate(seeds):
    (folder / f"shared-{number:03}").write_bytes(seed)
PYTHON
exec cargo +nightly fuzz run "$target" -- -max_len=9000 -max_total_time="${2:-600}" -print_final_stats=1
