import datetime
import decimal
import enum
import hashlib
import json
import math
import pathlib

import pytest

from countersign import UnhashableArguments, canonical_arguments, request_hash

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "conformance" / "canonical.json").read_text())["cases"]


def parse(text: str) -> object:
    def strict(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_constant=strict)


@pytest.mark.parametrize("case", [case for case in VECTORS if not case.get("text_only")], ids=lambda case: case["name"])
def test_vectors_agree(case: dict) -> None:
    if "sha256" in case:
        value = parse(case["json"])
        assert request_hash(value).hex() == case["sha256"]
        assert canonical_arguments(value).decode() == case.get("canonical", canonical_arguments(value).decode())
        return
    try:
        value = parse(case["json"])
    except (ValueError, RecursionError):
        return  # Python's own parser refuses the text.
    with pytest.raises(UnhashableArguments) as refused:
        canonical_arguments(value)
    assert refused.value.path == case.get("path", refused.value.path)


class Colour(str, enum.Enum):
    RED = "red"


class Money(float):
    pass


CYCLE: dict = {"a": []}
CYCLE["a"].append(CYCLE)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"v": b"bytes"}, "v"),
        ({"v": bytearray()}, "v"),
        ({"v": decimal.Decimal("1.10")}, "v"),
        ({"v": datetime.date(2026, 1, 1)}, "v"),
        ({"v": datetime.datetime(2026, 1, 1)}, "v"),
        ({"v": (1, 2)}, "v"),
        ({"v": {1, 2}}, "v"),
        ({"v": object()}, "v"),
        ({"v": len}, "v"),
        ({"v": Colour.RED}, "v"),
        ({"v": Money(1)}, "v"),
        ({"v": 1j}, "v"),
        ({"v": math.nan}, "v"),
        ({"v": -math.inf}, "v"),
        ({"v": 2**53}, "v"),
        ({"v": -(2**53)}, "v"),
        ({"v": 2.0**53}, "v"),
        ({"v": [0, {"w": 10**400}]}, "v[1].w"),
        ({"v": {1: 2}}, "v"),
        ({"v": {None: 2}}, "v"),
        ({1: 2}, ""),
        ({"v": "\ud800"}, "v"),
        ({"v": {"\udc00": 1}}, "v"),
        ([], ""),
        ("x", ""),
        (None, ""),
    ],
)
def test_nothing_is_coerced(value: object, path: str) -> None:
    with pytest.raises(UnhashableArguments) as refused:
        request_hash(value)
    assert refused.value.path == path
    assert refused.value.why in str(refused.value)


def test_nesting_and_length_are_bounded() -> None:
    with pytest.raises(UnhashableArguments, match="within itself"):
        canonical_arguments(CYCLE)
    assert len(canonical_arguments({"v": "x" * ((1 << 20) - 8)})) == 1 << 20
    with pytest.raises(UnhashableArguments, match="1 MiB"):
        canonical_arguments({"v": "x" * ((1 << 20) - 7)})


def test_optional_fields_that_are_none_are_null() -> None:
    assert canonical_arguments({"b": None, "a": True}) == b'{"a":true,"b":null}'
    assert request_hash({}) == hashlib.sha256(b"{}").digest()
