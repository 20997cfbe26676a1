import copy
import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

from countersign.custody import NotALeaf, commitment, leaf_from_export, leaf_hash, read_leaf
from countersign.custody._schema import compile_schema

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "conformance" / "custody-leaf.json").read_text("utf-8"))
LEAVES = [(vector["leaf_bytes"].encode(), vector["fields"]) for vector in VECTORS["leaves"]]
MANIFEST = next(data for data, fields in LEAVES if fields["kind"] == "manifest")


def encoded(fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def accepted(data: bytes) -> dict | None:
    try:
        return read_leaf(data)
    except NotALeaf as error:
        assert str(error) == f"{error.field} must be {error.wanted}"
        return None


@pytest.mark.parametrize("vector", VECTORS["leaves"], ids=lambda vector: vector["name"])
def test_leaves_are_read_and_hashed(vector: dict) -> None:
    data = vector["leaf_bytes"].encode()
    assert read_leaf(data) == vector["fields"]
    assert leaf_hash(data) == vector["leaf_hash"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_what_is_no_leaf_is_refused(vector: dict) -> None:
    with pytest.raises(NotALeaf):
        read_leaf(vector["leaf_bytes"].encode())


@pytest.mark.parametrize("vector", VECTORS["commitments"], ids=lambda vector: vector["commitment"][:8])
def test_commitments_agree(vector: dict) -> None:
    assert commitment(bytes.fromhex(vector["salt"]), vector["text"]) == vector["commitment"]


@pytest.mark.parametrize("vector", VECTORS["exports"], ids=lambda vector: vector["name"])
def test_exports_give_their_leaf_back(vector: dict) -> None:
    event = copy.deepcopy(vector["export"])
    data = leaf_from_export(event)
    assert leaf_hash(data) == vector["leaf_hash"]
    assert read_leaf(data).items() <= event.items()
    assert event == vector["export"]


@pytest.mark.parametrize("vector", VECTORS["refused_exports"], ids=lambda vector: vector["why"])
def test_what_is_no_export_is_refused(vector: dict) -> None:
    with pytest.raises(NotALeaf):
        leaf_from_export(vector["export"])


@pytest.mark.parametrize(
    "data",
    [
        MANIFEST + b"\n",
        MANIFEST + b"\r\n",
        b" " + MANIFEST,
        MANIFEST + b"\0",
        b"\xef\xbb\xbf" + MANIFEST,
        MANIFEST.decode().encode("utf-16"),
        MANIFEST.replace(b"last_index", b"last\xffindex"),
        MANIFEST.replace(b"last_index", b"last\xed\xa0\x80index"),
        MANIFEST.replace(b"last_index", b"last\xc0\xaeindex"),
        MANIFEST.replace(b'"2"', b"-Infinity"),
        b"[" * 100_000,
        b"[" * 16_384,
        b'{"action":' * 1_600,
        b'{"action":' + b"9" * 16_000 + b"}",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_traps_are_refused(data: bytes) -> None:
    assert accepted(data) is None


def test_a_leaf_has_at_most_16384_bytes() -> None:
    fields = {**json.loads(MANIFEST), "rule_ids": ["x" * 128] * 121}
    fields["rule_ids"] += ["y" * 128, "z"]
    fields["rule_ids"][-1] = "z" * (1 + 16_384 - len(encoded(fields)))
    assert read_leaf(encoded(fields)) == fields
    fields["rule_ids"][-1] += "z"
    with pytest.raises(NotALeaf, match="leaf must be at most 16384 bytes"):
        read_leaf(encoded(fields))
    event = {**fields, "log_index": "0", "leaf_hash": leaf_hash(encoded(fields))}
    with pytest.raises(NotALeaf, match="leaf must be at most 16384 bytes"):
        leaf_from_export(event)


def test_a_flipped_bit_is_refused_or_another_leaf() -> None:
    for data, fields in LEAVES:
        for place in range(len(data)):
            other = bytearray(data)
            other[place] ^= 1 << place % 8
            assert accepted(bytes(other)) != fields


def parts(value: object) -> list[dict]:
    """Every object within ``value``, itself first."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [part for each in inner for part in parts(each)]
    return [value, *found] if isinstance(value, dict) else found


def test_a_removed_field_is_missed_or_makes_another_leaf() -> None:
    for _, fields in LEAVES:
        for nth, part in enumerate(parts(fields)):
            for name in part:
                other = copy.deepcopy(fields)
                del parts(other)[nth][name]
                assert accepted(encoded(other)) in (None, other)
        for name in ("event_id", "kind", "received_time", "schema", "timestamp"):
            assert accepted(encoded({key: fields[key] for key in fields if key != name})) is None


def test_an_added_field_is_refused() -> None:
    for _, fields in LEAVES:
        for nth, part in enumerate(parts(fields)):
            for name, value in (("zz", "x"), ("", "x"), *((name, None) for name in part)):
                other = copy.deepcopy(fields)
                parts(other)[nth][name] = value
                assert accepted(encoded(other)) is None


@pytest.mark.parametrize("value", [30.0, True, 2**70, float("nan"), "30", None, [30]], ids=repr)
def test_a_number_of_an_export_is_an_integer(value: object) -> None:
    event = next(each["export"] for each in VECTORS["exports"] if "rollout" in each["export"])
    with pytest.raises(NotALeaf):
        leaf_from_export({**event, "rollout": {**event["rollout"], "percent": value}})


def test_half_of_a_surrogate_pair_has_no_commitment() -> None:
    with pytest.raises(NotALeaf):
        commitment(bytes(16), "a\ud800")
    with pytest.raises(NotALeaf):
        commitment(bytes(15), "a")
    event = next(each["export"] for each in VECTORS["exports"] if "purpose" in each["export"])
    with pytest.raises(NotALeaf, match="^purpose must be"):
        leaf_from_export({**event, "purpose": "\udfff"})


def test_a_refusal_never_repeats_the_value() -> None:
    with pytest.raises(NotALeaf, match="^operator_id must be an id that people choose") as refused:
        read_leaf(encoded({**json.loads(MANIFEST), "operator_id": "Alice"}))
    assert refused.value.field == "operator_id"
    assert "Alice" not in str(refused.value)


def test_a_schema_that_is_not_understood_is_not_used() -> None:
    for schema in ({"maxProperties": 2}, {"pattern": "a"}, {"const": 1}, {"not": {"type": "string"}}):
        with pytest.raises(NotImplementedError):
            compile_schema({"$defs": {}, "allOf": [schema]}, {}, {})


def test_the_hash_is_that_of_rfc_6962() -> None:
    assert leaf_hash(b"") == hashlib.sha256(b"\0").hexdigest()


def test_nothing_of_it_is_loaded_with_the_client() -> None:
    code = "import countersign, sys; sys.exit('countersign.custody' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
