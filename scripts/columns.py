#!/usr/bin/env python3
"""Refuses queries of the server that do not name their columns.

A server continues to run while the next version's migrations add columns. Its prepared statements must return the same
columns as before, and its inserts must leave out columns that it does not know (docs/upgrading.md). So `*` is permitted
only in count(*), and every INSERT must have a column list.
"""

import re
import subprocess
import sys

# A string of Rust: raw, or with escapes. Comments and characters are skipped, because they may contain quotation marks.
STRING = re.compile(r'''//[^\n]*|'(?:[^'\\]|\\.)'|r(#+)"(?P<raw>.*?)"\1|"(?P<plain>(?:[^"\\]|\\.)*)"''', re.DOTALL)
QUERY = re.compile(r"\b(?:SELECT|RETURNING|INSERT INTO|FROM)\b")
# Not a multiplication, which has something before it.
STAR = re.compile(r"(?:\b(?:SELECT|RETURNING|DISTINCT|ALL)\s+|,\s*|\.)\*")
NO_LIST = re.compile(r"\bINSERT INTO\s+[^\s(]+(?:\s+AS\s+\w+)?\s+(?:SELECT|VALUES|WITH|TABLE)\b")

# Lines of Rust, and whether they are refused.
SAMPLES = [
    ('query_as!(Row, "SELECT * FROM sponsor WHERE sponsor_id = $1")', True),
    ('"DELETE FROM kill_switch WHERE kill_switch_id = $1\n RETURNING *"', True),
    ('r#"SELECT a.*, (SELECT reason FROM custody_event) AS "reason!" FROM approval a"#', True),
    ('"INSERT INTO missing (a, b) SELECT $1, * FROM UNNEST($2::text[])"', True),
    ('"INSERT INTO instance SELECT instance_id FROM fresh"', True),
    ('"INSERT INTO kept\n VALUES ($1)"', True),
    ('"INSERT INTO kept AS old (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a"', False),
    ('r#"SELECT count(*) AS "count!", extract(epoch FROM at) * 1000 FROM instance"#', False),
    ('say("a list, * of all", \'"\') // "SELECT * FROM nothing"', False),
    ("when == '\"' || \"SELECT * FROM head\"", True),
]


def findings(text):
    """The place in `text` of each query that does not name its columns, and the error."""
    for string in STRING.finditer(text):
        kind = "raw" if string["raw"] is not None else "plain"
        if not QUERY.search(string[kind] or ""):
            continue
        for pattern, why in [(STAR, "`*`"), (NO_LIST, "INSERT without a list of columns")]:
            for found in pattern.finditer(string[kind]):
                yield string.start(kind) + found.start(), why


def main():
    for sample, refused in SAMPLES:
        if bool(list(findings(sample))) != refused:
            sys.exit(f"this check is broken, by its own sample: {sample}")
    files = subprocess.run(["git", "ls-files", "-z", "server/*.rs"], stdout=subprocess.PIPE, text=True, check=True)
    failed = False
    for path in filter(None, files.stdout.split("\0")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for place, why in findings(text):
            line = text.count("\n", 0, place) + 1
            print(f"{path}:{line}: name the columns: {why}")
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
