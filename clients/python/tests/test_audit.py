"""examples/audit.py: a log as it was recorded passes, and each way to change it is found."""

import base64
import contextlib
import io
import json
import pathlib
import runpy
from unittest.mock import patch

import pytest

HERE = pathlib.Path(__file__).parents[1]
VECTORS = json.loads((HERE.parent / "conformance" / "custody-leaf.json").read_text("utf-8"))
EXAMPLE = runpy.run_path(str(HERE / "examples" / "audit.py"))
TREES = VECTORS["trees"]
SALT, TEXT = bytes(16), "refund the order that was charged twice"
# The leaves of the vectors whose references are to leaves before them.
LEAVES = [vector["leaf_bytes"].encode() for vector in VECTORS["leaves"]][: len(TREES["leaf_hashes"])]


def events() -> list[dict]:
    return [{"logIndex": str(index), "leafBytes": base64.b64encode(data).decode()} for index, data in enumerate(LEAVES)]


def audit(log: list[dict], *arguments: str) -> tuple[int, list[str]]:
    pages = "\n".join(json.dumps({"events": log[start : start + 3]}) for start in range(0, len(log), 3))
    output = io.StringIO()
    argv = ["audit.py", *arguments]
    with patch("sys.argv", argv), patch("sys.stdin", io.StringIO(pages)), contextlib.redirect_stdout(output):
        status = EXAMPLE["main"]()
    return status, output.getvalue().splitlines()


def test_a_log_as_recorded_has_no_faults() -> None:
    status, lines = audit(events())
    assert (status, lines[-1]) == (0, "faults 0"), lines


def test_the_root_is_that_of_the_vectors() -> None:
    for tree in TREES["roots"]:
        _, lines = audit(events()[: tree["size"]])
        assert lines[-3:-1] == [f"size {tree['size']}", f"root {tree['root']}"]


def test_an_earlier_root_tells_whether_the_log_only_grew() -> None:
    earlier = next(tree for tree in TREES["roots"] if tree["size"] == 5)
    assert audit(events(), "--earlier", "5", earlier["root"])[0] == 0
    status, lines = audit(events(), "--earlier", "6", earlier["root"])
    assert status == 1 and any("not the ones with the root" in line for line in lines), lines
    assert audit(events()[:4], "--earlier", "5", earlier["root"])[0] == 1


def changed_byte(log: list[dict]) -> None:
    data = LEAVES[1].replace(b'"ACTIVE"', b'"LIVE"')
    log[1]["leafBytes"] = base64.b64encode(data).decode()


def invalid_leaf(log: list[dict]) -> None:
    log[1]["leafBytes"] = base64.b64encode(LEAVES[1] + b" ").decode()


def removed(log: list[dict]) -> None:
    del log[2]


def another_text(log: list[dict]) -> None:
    log[1] |= {"reason": TEXT, "reasonSalt": base64.b64encode(SALT).decode()}


def short_salt(log: list[dict]) -> None:
    log[1] |= {"reason": TEXT, "reasonSalt": base64.b64encode(SALT[:3]).decode()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_byte, "names no earlier event"),
        (invalid_leaf, "invalid leaf"),
        (removed, "the log has no event here"),
        (another_text, "reason does not match its commitment"),
        (short_salt, "invalid leaf: salt must be"),
    ],
)
def test_a_changed_log_has_faults(change, said: str) -> None:
    log = events()
    change(log)
    status, lines = audit(log)
    assert status == 1 and any(said in line for line in lines), lines
