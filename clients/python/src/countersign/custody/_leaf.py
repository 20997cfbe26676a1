import functools
import json
from importlib import resources
from typing import Any, NoReturn

import rfc8785

from countersign.custody import _rules
from countersign.custody._errors import NotALeaf
from countersign.custody._keywords import Check
from countersign.custody._schema import compile_schema

#: Longest leaf, bytes.
MAX_BYTES = 16_384
#: What an export holds beside the leaf, in valid places: the schema describes a leaf in its exported form.
_AROUND = {"leaf_hash": "0" * 64, "log_index": "0"}
#: The keys of an export that are not the leaf's.
NON_LEAF_KEYS = (
    "context_salt",
    "context_text",
    "identity",
    "identity_salt",
    "leaf_hash",
    "log_index",
    "on_behalf_of",
    "on_behalf_of_salt",
    "purpose",
    "purpose_salt",
    "reason_salt",
    "reason_text",
)
#: Every byte of a leaf: visible ASCII other than the backslash. So no string is escaped, and no text has two spellings.
_VISIBLE = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("\\"))


def read_leaf(data: bytes) -> dict[str, Any]:
    """The fields of the leaf whose bytes are ``data``: ``str``, ``int``, ``bool``, ``list`` and ``dict``.

    Accepts exactly the bytes that the log can hold: written again, the fields give the same bytes. Raises ``NotALeaf``.
    """
    if len(data) > MAX_BYTES:
        raise NotALeaf("leaf", f"at most {MAX_BYTES} bytes")
    if data.translate(None, delete=_VISIBLE):
        raise NotALeaf("leaf", "visible ASCII without white space and backslashes")
    try:
        leaf = json.loads(data.decode("ascii"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise NotALeaf("leaf", "one JSON object") from None
    # What the parser smoothed over shows here: a key twice, keys out of order, 1e0 for 1.
    if encode(leaf) != data:
        raise NotALeaf("leaf", "in its canonical form (RFC 8785)")
    return leaf


def encode(leaf: Any) -> bytes:
    """The bytes of the leaf with these fields. Raises ``NotALeaf`` where the fields are not those of a leaf."""
    if type(leaf) is not dict:
        raise NotALeaf("leaf", "one JSON object")
    for key in NON_LEAF_KEYS:
        if key in leaf:
            raise NotALeaf(key, "absent")
    if refusal := _checks()({**leaf, **_AROUND}, ""):
        raise NotALeaf(*refusal)
    # Only now: what fits the schema is nested three deep at most, and holds no number that has two forms.
    data = rfc8785.dumps(leaf)
    if len(data) > MAX_BYTES:
        raise NotALeaf("leaf", f"at most {MAX_BYTES} bytes")
    return data


@functools.cache
def _checks() -> Check:
    text = resources.files(__package__).joinpath("audit-log-schema.json").read_text(encoding="utf-8")
    return compile_schema(json.loads(text), _rules.EACH, _rules.ORDER)


def _no_number(_name: str) -> NoReturn:
    # Python alone reads NaN and Infinity.
    raise ValueError
