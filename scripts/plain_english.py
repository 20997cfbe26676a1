#!/usr/bin/env python3
"""Refuses phrases that are hard to read for people whose first language is not English.

Reads the documents and the texts that users and operators see: the string literals of the Rust crates outside of tests,
and the help of the command line, which is written as doc comments. Comments and names in code are not read.

    scripts/plain_english.py           prints where such a phrase occurs, and what to say instead
    scripts/plain_english.py --list    prints every text that it reads
"""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The phrase, as a regular expression over text in which white space is one space; what to say instead; a sample of it.
BANNED = [
    (r"answers? (nobody|no one|everybody|everyone)", "cannot be used; is not active; is used for ...", "It answers nobody yet."),
    (r"admits? (nobody|no one|an admin)", "is revoked; is not active; is not valid", "the key admits nobody"),
    (r"(?<!there )is none\b", "is invalid; is missing; is not one of ...; is not a ...", "an event id is none"),
    (r"stands? on\b", "is based on; refers to; needs", "no call stands on it"),
    (r"as far as\b", "where; to the extent that; until", "as far as the session goes"),
    (r"all the same\b", "nevertheless; still; or leave it out", "It may have happened all the same"),
    (r"whoever\b", "name the person or program: the caller, an operator", "Whoever keys a cache with less"),
    (r"somebody\b(?!_)", "name the person: another operator, a second person", "somebody set it so"),
    (r"nobody\b(?!_)(?!-)", "no ...: no operator, no one else", "a key that nobody confirmed"),
    (r"anybody\b", "every caller; any program", "anybody on this machine"),
    (r"what was presented\b", "the credential", "what was presented"),
    (r"\bMend\b", "Fix", "Mend the request"),
    (r"no credential of (this|the) server", "not a valid credential of this server", "is no credential of this server"),
    (r"may be allowed cannot", "the authorization snapshot could not", "what may be allowed cannot be loaded"),
    (r"\ba fault of the server", "internal server error", "a fault of the server; its log has the details"),
    (r"is held to it\b|are held to it\b", "must meet it", "calls are held to it"),
]
TURNS = [(re.compile(rf"(?i:(?<![\w-]){turn})"), instead) for turn, instead, _ in BANNED]

# The relevant tokens of Rust: comments, strings with their prefixes, and characters, which may be quotes.
TOKEN = re.compile(
    r"""(?P<doc>//[/!][^\n]*)|//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)|b?"(?P<text>(?:\\.|[^"\\])*)"
    |'(?:\\.[^']*|[^'\\])'|(?P<tests>\#\[cfg\(test\)\]\s*mod\s\w+\s*\{)""",
    re.DOTALL | re.VERBOSE,
)


def rust_texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each literal before the tests, and of the command line's help."""
    helps = "clap" in source
    for token in TOKEN.finditer(source):
        if token["tests"]:
            return
        text = token["raw"] or re.sub(r"\\\n\s*", "", token["text"] or "")
        if token["doc"] and helps and token["doc"].startswith("///"):
            text = token["doc"][3:]
        # A single word is a name, and so is a text between backquotes.
        if " " in text.strip():
            yield source.count("\n", 0, token.start()) + 1, re.sub(r"`[^`]*`", "`", text)


def paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each paragraph of a page, without code fences and texts between backquotes."""
    page = re.sub(r"^ *```.*?^ *```", lambda fence: "\n" * fence[0].count("\n"), page, flags=re.MULTILINE | re.DOTALL)
    for block in re.finditer(r"(?:[^\n]+\n?)+", page):
        yield page.count("\n", 0, block.start()) + 1, re.sub(r"`[^`]*`", "`", block[0])


def turns(text: str) -> Iterator[tuple[str, str]]:
    """Each banned phrase in the text, and what to say instead."""
    text = " ".join(text.split())
    for pattern, instead in TURNS:
        yield from ((found[0], instead) for found in pattern.finditer(text))


def files() -> Iterator[tuple[str, str]]:
    """Every file that is read, with its content."""
    listed = subprocess.run(
        ["git", "ls-files", "README.md", "CHANGELOG.md", "docs/*.md", "server/*.rs", "clients/rust/src/*.rs"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    for name in listed.stdout.split():
        if name.startswith("docs/decisions/") or re.search(r"/tests?(ing)?(/|\.rs$)|/benches/|/examples/|fuzz\.rs$", name):
            continue
        yield name, (ROOT / name).read_text()


def self_test() -> None:
    for turn, _, sample in BANNED:
        assert re.search(rf"(?i:(?<![\w-]){turn})", sample), f"{turn} does not match: {sample}"
    source = '''// nobody
/// Somebody `else`
#[error("is none\\
   of {0}, \\" nobody")]
let whoever = ('"', r#"a "raw" text"#, b"nobody");
#[cfg(test)]
mod tests { const A: &str = "nobody"; }
'''
    assert [text for _, text in rust_texts(source)] == ['is noneof {0}, \\" nobody', 'a "raw" text']
    assert [text for _, text in rust_texts("use clap::Args;\n" + source)][0] == " Somebody `"
    page = "One `nobody`.\n\n```\nnobody\n```\nall\nthe same\n"
    assert [(line, found) for line, text in paragraphs(page) for found in turns(text)] == [(6, ("all the same", TURNS[5][1]))]
    for good in ("no one else", "there is none yet: none is active", "network-that-nobody-else-can-read", "it stands out"):
        assert not list(turns(good)), good


def main() -> int:
    self_test()
    found = 0
    for name, content in files():
        for line, text in rust_texts(content) if name.endswith(".rs") else paragraphs(content):
            if "--list" in sys.argv:
                print(f"{name}:{line}: {' '.join(text.split())}")
                continue
            for turn, instead in turns(text):
                print(f'{name}:{line}: "{turn}": say instead: {instead}')
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
