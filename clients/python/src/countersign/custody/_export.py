import re
from collections.abc import Mapping
from typing import Any

from countersign.custody._errors import NotALeaf
from countersign.custody._hashes import commitment, leaf_hash
from countersign.custody._leaf import encode
from countersign.custody._rules import MAX_U64

#: The disclosed texts: key of the text, of its salt, and of the leaf's commitment to it.
_TEXTS = (
    ("purpose", "purpose_salt", "purpose_commitment"),
    # `reason` is the leaf's own reason code.
    ("reason_text", "reason_salt", "reason_commitment"),
    ("identity", "identity_salt", "identity_commitment"),
    # `context` is the leaf's own list of recorded attributes.
    ("context_text", "context_salt", "context_commitment"),
    ("on_behalf_of", "on_behalf_of_salt", "on_behalf_of_commitment"),
)
_SALT = re.compile("[0-9a-f]{32}")
_DECIMAL = re.compile("0|[1-9][0-9]{0,19}")


def leaf_from_export(event: Mapping[str, Any]) -> bytes:
    """The bytes of the leaf of an exported event, as ``json.loads`` reads one line of an export.

    Raises ``NotALeaf`` where what is left without the keys around the leaf is no leaf, where its hash is not the
    event's ``leaf_hash``, and where a disclosed text is not the one that the leaf commits to.
    """
    fields = dict(event)
    openings = [(text, committed, _opening(fields, text, salt)) for text, salt, committed in _TEXTS]
    index = fields.pop("log_index", None)
    if type(index) is not str or not _DECIMAL.fullmatch(index) or int(index) > MAX_U64:
        raise NotALeaf("log_index", "a 64-bit integer as a string of decimal digits")
    stated = fields.pop("leaf_hash", None)
    data = encode(fields)
    if stated != leaf_hash(data):
        raise NotALeaf("leaf_hash", "the hash of this leaf")
    for text, committed, opened in openings:
        if opened is not None and opened != fields.get(committed):
            raise NotALeaf(text, "the text that the leaf commits to")
    return data


def _opening(fields: dict[str, Any], text_key: str, salt_key: str) -> str | None:
    """Takes a text and its salt out of ``fields`` and gives their commitment; ``None`` where neither is there."""
    if text_key not in fields and salt_key not in fields:
        return None
    text, salt = fields.pop(text_key, None), fields.pop(salt_key, None)
    if type(text) is not str or type(salt) is not str:
        raise NotALeaf(text_key, "a string, with its salt beside it")
    if not _SALT.fullmatch(salt):
        raise NotALeaf(salt_key, "32 lower-case hexadecimal digits")
    try:
        return commitment(bytes.fromhex(salt), text)
    except NotALeaf as error:
        raise NotALeaf(text_key, error.wanted) from None
