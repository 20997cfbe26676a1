"""Canonical arguments: what a ``request_hash`` is the hash of (docs/verification.md).

The arguments of a call are one JSON object, and their bytes are its RFC 8785 form, so that every language hashes the
same. A value that JSON cannot hold, or that another parser could read differently, is refused before anything is sent.
Nothing is ever coerced: not a tuple to a list, not a ``Decimal`` to a number.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import rfc8785

__all__ = ["UnhashableArguments", "canonical_arguments", "request_hash"]

#: Deepest nesting: an object that holds only scalars has depth 1.
MAX_DEPTH = 64
#: Most bytes of the canonical form.
MAX_BYTES = 1 << 20
#: Largest integer, in either direction, that every JSON parser reads as itself.
MAX_INTEGER = (1 << 53) - 1


class UnhashableArguments(ValueError):
    """The arguments have no canonical form. This is no denial: nothing was asked, and the call must not be made.

    ``path`` is where (``items[2].amount``; empty: the arguments as a whole), ``why`` what is wrong there.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


def canonical_arguments(arguments: Mapping[str, Any]) -> bytes:
    """The RFC 8785 form of ``arguments``, a ``dict`` of ``str``, ``int``, ``float``, ``bool``, ``None``, ``list`` and
    ``dict``. Raises ``UnhashableArguments`` where it has none.
    """
    if type(arguments) is not dict:
        raise UnhashableArguments("", f"arguments are one dict, not {_name(arguments)}")
    _check(arguments, "", 1)
    form = rfc8785.dumps(arguments)
    if len(form) > MAX_BYTES:
        raise UnhashableArguments("", "they are longer than 1 MiB in canonical form")
    return form


def request_hash(arguments: Mapping[str, Any]) -> bytes:
    """SHA-256 of the canonical form: what ``DecideRequest.request_hash`` takes. Raises ``UnhashableArguments``."""
    return hashlib.sha256(canonical_arguments(arguments)).digest()


def _check(value: object, path: str, depth: int) -> None:
    # Subclasses are other types here: an IntEnum, a str that is an Enum, numpy's float64 would all be coerced.
    kind = type(value)
    if value is None or kind is bool:
        return
    if kind is str:
        _check_text(value, path)  # type: ignore[arg-type]
    elif kind is int or kind is float:
        _check_number(value, path)  # type: ignore[arg-type]
    elif kind is dict or kind is list:
        if depth > MAX_DEPTH:
            raise UnhashableArguments(path, f"it is nested deeper than {MAX_DEPTH}, or within itself")
        if isinstance(value, dict):
            for key, member in value.items():
                _check_key(key, path)
                _check(member, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list):
            for nth, item in enumerate(value):
                _check(item, f"{path}[{nth}]", depth + 1)
    else:
        raise UnhashableArguments(path, f"{_name(value)} is not a JSON value; convert it yourself")


def _check_number(value: float, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UnhashableArguments(path, "it is not a finite number")
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise UnhashableArguments(path, "it is a number beyond 2^53-1, which other parsers round; send it as a string")


def _check_key(key: object, path: str) -> None:
    if type(key) is not str:
        raise UnhashableArguments(path, f"a key is {_name(key)}; JSON has strings only")
    _check_text(key, path)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnhashableArguments(path, "it holds half of a surrogate pair, which is no text") from None


def _name(value: object) -> str:
    return f"a {type(value).__name__}"
