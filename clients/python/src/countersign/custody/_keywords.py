"""The keywords of JSON Schema that look at one value and at no other schema. Each makes a check of its schema.

As in JSON Schema, a keyword lets values of a type that it does not speak of through: ``type`` refuses those.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Refusal(NamedTuple):
    """A value does not fit: the field, with dots between parts, and what would fit."""

    field: str
    wanted: str


#: Says of a value at a path why it does not fit; ``None`` where it does.
Check = Callable[[Any, str], Refusal | None]

_TYPES: dict[str, tuple[type, str]] = {
    "object": (dict, "an object"),
    "array": (list, "a list"),
    "string": (str, "a string"),
    "integer": (int, "an integer"),
    "boolean": (bool, "true or false"),
}


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def unknown(path: str, name: object) -> Refusal:
    """An unknown field, by its name where that looks like a field's: it may be any text."""
    if type(name) is str and re.fullmatch("[a-z_]{1,64}", name):
        return Refusal(join(path, name), "absent")
    return Refusal(path or "leaf", "free of unknown fields")


def _wanted(schema: dict) -> str:
    """What the schema says of itself, to follow "must be"."""
    words = schema["description"].removesuffix(".")
    return words[0].lower() + words[1:]


def _holds(wanted: str, of: type, fits: Callable[[Any], bool]) -> Check:
    return lambda value, path: None if type(value) is not of or fits(value) else Refusal(path, wanted)


def _type(schema: dict) -> Check:
    # Not isinstance: True is an int to Python, and so is an IntEnum, which another JSON writer writes as its name.
    kind, wanted = _TYPES[schema["type"]]
    return lambda value, path: None if type(value) is kind else Refusal(path, wanted)


def _words(words: list[str]) -> Check:
    if any(type(word) is not str for word in words):
        raise NotImplementedError("an enum or const of the schema that is no string")
    wanted = " or ".join(words) if len(words) < 8 else "one of the words that the schema lists"
    return lambda value, path: None if type(value) is str and value in words else Refusal(path, wanted)


def _pattern(schema: dict) -> Check:
    pattern = schema["pattern"]
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise NotImplementedError("a pattern of the schema that is not anchored")
    # fullmatch: `$` alone would let a line feed through at the end.
    expression = re.compile(pattern, re.ASCII)
    return _holds(_wanted(schema), str, lambda value: expression.fullmatch(value) is not None)


def _required(schema: dict) -> Check:
    def check(value: Any, path: str) -> Refusal | None:
        names = schema["required"] if type(value) is dict else ()
        missing = next((name for name in names if name not in value), None)
        return None if missing is None else Refusal(join(path, missing), "stated")

    return check


def _dependent(schema: dict) -> Check:
    needs = sorted(schema["dependentRequired"].items())

    def check(value: Any, path: str) -> Refusal | None:
        for given, names in needs if type(value) is dict else ():
            missing = next((name for name in names if name not in value), None) if given in value else None
            if missing is not None:
                return Refusal(join(path, missing), f"stated together with {given}")
        return None

    return check


def _not(schema: dict) -> Check:
    if list(schema["not"]) != ["const"]:
        raise NotImplementedError("a `not` of the schema that is no const")
    word = schema["not"]["const"]
    return _holds(_wanted(schema), str, lambda value: value != word)


def _bound(keyword: str, words: str, of: type, fits: Callable[[Any, int], bool]) -> Callable[[dict], Check]:
    def make(schema: dict) -> Check:
        bound = schema[keyword]
        return _holds(words.format(bound), of, lambda value: fits(value, bound))

    return make


#: In the order in which they are looked at, which is the same in every client.
KEYWORDS: dict[str, Callable[[dict], Check]] = {
    "type": _type,
    "const": lambda schema: _words([schema["const"]]),
    "enum": lambda schema: _words(schema["enum"]),
    "pattern": _pattern,
    "maxLength": _bound("maxLength", "at most {} characters", str, lambda value, most: len(value) <= most),
    "minimum": _bound("minimum", "at least {}", int, lambda value, least: value >= least),
    "maximum": _bound("maximum", "at most {}", int, lambda value, most: value <= most),
    "minItems": _bound("minItems", "a list of at least {}", list, lambda value, least: len(value) >= least),
    "maxItems": _bound("maxItems", "a list of at most {}", list, lambda value, most: len(value) <= most),
    "not": _not,
    "required": _required,
    "dependentRequired": _dependent,
}
