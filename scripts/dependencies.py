#!/usr/bin/env python3
"""Checks the dependency tree against deny.toml, offline and in a second: licenses, banned crates, single versions, sources.

Reads the parts of deny.toml that it knows, and refuses a ban that it does not understand. Python 3.11 (tomllib).
"""

import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

def packages():
    """(name, version, origin, license) of every crate that is compiled for any platform, for tests too."""
    command = ["cargo", "tree", "--locked", "--workspace", "--target=all", "--edges=normal,build,dev", "--prefix=none"]
    listed = subprocess.run([*command, "--format={p}\t{l}\t"], stdout=subprocess.PIPE, text=True)
    if listed.returncode:
        sys.exit("cargo tree failed")
    for line in filter(None, listed.stdout.splitlines()):
        package, license, _ = line.split("\t")
        name, version, *origin = package.split(" ", 2)
        yield name, version.removeprefix("v"), "".join(origin), license


def allowed(expression, licenses):
    """Whether the SPDX expression can be met by `licenses` alone. `A/B` is the old way to write `A OR B`."""
    words = re.findall(r"[()]|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))

    def one():
        word = words.pop(0)
        if word != "(":
            return word in licenses
        inner = either()
        words.pop(0)
        return inner

    def both():
        met = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            met &= one()
        return met

    def either():
        met = both()
        while words[:1] == ["OR"]:
            words.pop(0)
            met |= both()
        return met

    return either()


def findings(policy, tree):
    """The parts of `tree` that `policy` does not allow."""
    licenses = set(policy["licenses"]["allow"])
    versions = defaultdict(list)
    for name, version, origin, license in tree:
        versions[name].append(version)
        if not license or not allowed(license, licenses):
            yield f"{name} {version}: its license is not allowed: {license or 'none'}"
        # Crates of crates.io have no origin; this repository's have their folder.
        if origin not in ("", "(proc-macro)") and not origin.startswith(f"({os.getcwd()}"):
            yield f"{name} {version}: comes from {origin}, not from crates.io"
    for ban in policy["bans"]["deny"]:
        unknown = ban.keys() - {"crate", "deny-multiple-versions"}
        if unknown:
            yield f"deny.toml: {ban['crate']}: {unknown} is not understood here"
        found = sorted(versions[ban["crate"]])
        if not ban.get("deny-multiple-versions") and found:
            yield f"{ban['crate']} {', '.join(found)}: is banned; `cargo tree --invert {ban['crate']}` says who brings it"
        elif len(found) > 1:
            yield f"{ban['crate']}: must have one version, has {', '.join(found)}"


def main():
    with open("deny.toml", "rb") as file:
        policy = tomllib.load(file)
    tree = set(packages())
    found = list(findings(policy, tree))
    print("\n".join(found) or f"{len(tree)} packages are fine")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
