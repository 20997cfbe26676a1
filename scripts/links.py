#!/usr/bin/env python3
"""Checks that every relative link in a Markdown file leads to a file of the repository, and its anchor to a heading."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
HEADING = re.compile(r"^#{1,6} +(.*?) *#* *$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page: its own, and GitHub's for headings (lower case, hyphens, -1 and so on for repeated ones)."""
    found: dict[str, int] = {}
    slugs = set(ANCHOR.findall(text))
    for heading in HEADING.findall(FENCE.sub("", text)):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        slugs.add(f"{slug}-{count}" if count else slug)
    return slugs


def faults(name: str, text: str, exists, read) -> list[str]:
    """The errors in the links of one page. ``exists`` and ``read`` take a path below the root."""
    found = []
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not exists(target):
            found.append(f"{name}: {link} does not exist")
        elif anchor and target.suffix == ".md" and anchor not in anchors(read(target)):
            found.append(f"{name}: {path or name} has no heading #{anchor}")
    return found


def self_test() -> None:
    page = '<a id="own"></a>\n' + "# A `code` & more\n## Twice\n## Twice\n```sh\n# no heading\n[no](link)\n```\n"
    assert anchors(page) == {"own", "a-code--more", "twice", "twice-1"}, anchors(page)
    there = {ROOT / "docs/b.md": page}
    links = "[x](b.md#twice-1) [x](b.md#thrice) [x](c.md) [x](https://a.example/#b) [x](none)"
    assert faults("docs/a.md", links, there.__contains__, there.__getitem__) == [
        "docs/a.md: b.md has no heading #thrice",
        "docs/a.md: c.md does not exist",
        "docs/a.md: none does not exist",
    ], faults("docs/a.md", links, there.__contains__, there.__getitem__)


def main() -> int:
    self_test()
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    names = listed.stdout.split()
    exists, read = pathlib.Path.exists, pathlib.Path.read_text
    found = [fault for name in names for fault in faults(name, read(ROOT / name), exists, read)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
