#!/usr/bin/env python3
"""Checks the structure of the Rust crates, by the `use` lines of their files:

- no file imports itself through other files of its crate (a circle of files),
- the lower modules of server/app do not use the facade `App`,
- every file begins with a header (`//!`) that says what it decides; `make map` prints and searches them.

A module that only re-exports a name (`pub use child::Name`) is not counted as an import: the name counts for the file
that defines it. With --arrows CRATE it prints the imports of a crate, one per line.
"""

import re
import subprocess
import sys
from pathlib import Path

# Modules below the use cases, which get what they need as arguments.
LOW = ["engine", "authority", "recorder", "decisions/evaluation"]
USE = re.compile(r"^(?P<indent>[ \t]*)(?P<vis>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[^;]+);", re.M)
# Crates that still have circles, because their parts import their root. Remove entries, but never add one.
OPEN = []
# Modules inside a file, most of them tests, use names of that file.
INLINE = re.compile(r"^(?:pub(?:\(crate\))? )?mod \w+ \{", re.M)


def leaves(tree, prefix=()):
    """The paths of a use tree, each a tuple of names; an alias counts as the name that it stands for."""
    tree = tree.strip()
    if tree.startswith("{"):
        depth, start, parts = 0, 1, []
        for at, char in enumerate(tree):
            depth += (char == "{") - (char == "}")
            if (char == "," and depth == 1) or (char == "}" and depth == 0):
                parts.append(tree[start:at])
                start = at + 1
        for part in filter(str.strip, parts):
            yield from leaves(part, prefix)
        return
    name, found, rest = tree.partition("::")
    if found:
        yield from leaves(rest, (*prefix, name.strip()))
        return
    name = name.split(" as ")[0].strip()
    yield prefix if name == "self" else (*prefix, name)


class Crate:
    """The files of a crate, by module path."""

    def __init__(self, source):
        self.files = {}
        for file in sorted(source.rglob("*.rs")):
            module = file.relative_to(source).with_suffix("").parts
            if module[0] == "bin":
                continue
            module = module[:-1] if module[-1] in ("mod", "lib", "main") else module
            if "tests" not in module and "testing" not in module:
                self.files[module] = file
        self.uses, self.handed_on = {}, {}
        for module, file in self.files.items():
            self.uses[module] = list(self.read(module, file.read_text()))

    def read(self, module, text):
        inline = INLINE.search(text)
        for use in USE.finditer(text[: inline.start()] if inline else text):
            for path in leaves(use["tree"]):
                path = self.absolute(module, path)
                if path is None:
                    continue
                if use["vis"]:
                    self.handed_on[(*module, path[-1])] = path
                else:
                    yield path

    def absolute(self, module, path):
        """From the root of the crate; None where another crate is meant."""
        if path[0] == "crate":
            return path[1:]
        if path[0] == "self":
            return (*module, *path[1:])
        if path[0] == "super":
            while path and path[0] == "super":
                module, path = module[:-1], path[1:]
            return (*module, *path)
        return (*module, *path) if (*module, path[0]) in self.files else None

    def owner(self, path, seen=()):
        """The module that has what `path` names."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.files:
                further = self.handed_on.get(path[: end + 1]) if end < len(path) else None
                if further and further not in seen:
                    return self.owner((*further, *path[end + 1 :]), (*seen, further))
                return path[:end]
        return None

    def arrows(self):
        for module, uses in self.uses.items():
            for path in uses:
                owner = self.owner(path)
                if owner is not None and owner != module and "*" not in path:
                    yield module, owner

    def circles(self):
        """The strongly connected parts of more than one file (Tarjan)."""
        graph = {module: set() for module in self.files}
        for start, end in self.arrows():
            graph[start].add(end)
        index, low, stack, found = {}, {}, [], []

        def visit(node):
            index[node] = low[node] = len(index)
            stack.append(node)
            for after in sorted(graph[node]):
                if after not in index:
                    visit(after)
                if after in stack:
                    low[node] = min(low[node], low[after])
            if low[node] == index[node]:
                part = stack[stack.index(node) :]
                del stack[len(stack) - len(part) :]
                if len(part) > 1:
                    found.append(sorted(part))

        for node in sorted(graph):
            if node not in index:
                visit(node)
        return found


def main():
    sys.setrecursionlimit(10_000)
    manifests = subprocess.run(["git", "ls-files", "*Cargo.toml"], stdout=subprocess.PIPE, text=True, check=True)
    crates = {str(Path(line).parent): Crate(Path(line).parent / "src") for line in manifests.stdout.split()}
    name = lambda module: "/".join(module) or "(root)"
    if sys.argv[1:2] == ["--arrows"]:
        for start, end in sorted(set(crates[sys.argv[2]].arrows())):
            print(name(start), "->", name(end))
        return
    wrong = []
    for crate, read in crates.items():
        for circle in read.circles():
            wrong.append(f"{crate}: these files import each other: {', '.join(map(name, circle))}")
        for file in read.files.values():
            if not file.read_text().startswith("//!"):
                wrong.append(f"{file}:1: it must begin with what it does (//!), so that `make map` can say so")
    app = Path("server/app/src")
    for folder in LOW:
        for file in sorted((app / folder).rglob("*.rs")):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if re.search(r"\bApp\b", line.split("//")[0]):
                    wrong.append(f"{file}:{number}: App is above {folder}/: take what is needed of the context instead")
    if wrong:
        sys.exit("\n".join(wrong))


main()
