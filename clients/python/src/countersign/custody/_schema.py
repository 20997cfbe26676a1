"""As much of JSON Schema (draft 2020-12) as docs/audit-log-schema.json uses, compiled to functions.

Not a library's, because the schema must mean the same in every client. Libraries leave patterns to the language's own
regular expressions, some of which let a line feed through at a ``$``, and their messages repeat the refused value,
which may be a text that must not be logged. A keyword that is not known here is an error, so a schema that grows is
never half understood.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from countersign.custody._keywords import KEYWORDS, Check, Refusal, join, unknown

_ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}


def compile_schema(document: dict, each: Mapping[str, Check], order: Mapping[str, tuple[str, ...]]) -> Check:
    """``each`` are further checks of what fits a definition, ``order`` what lists of a definition are sorted by."""
    return _Compiler(document["$defs"], each, order).schema(document)


class _Compiler:
    def __init__(self, defs: dict, each: Mapping[str, Check], order: Mapping[str, tuple[str, ...]]) -> None:
        self._defs, self._each, self._order = defs, each, order
        # After the keywords that look at no other schema, and in this order, so that every client names the same field.
        self._inner = {
            "$ref": self._ref,
            "items": self._items,
            "properties": self._properties,
            "anyOf": self._any_of,
            "allOf": self._all_of,
            "if": self._if,
        }
        self._known = {*_ANNOTATIONS, *KEYWORDS, *self._inner, "additionalProperties", "then"}

    def schema(self, schema: dict) -> Check:
        if others := set(schema) - self._known:
            raise NotImplementedError(f"keywords of the schema that are not known: {sorted(others)}")
        simple = [make(schema) for keyword, make in KEYWORDS.items() if keyword in schema]
        return _every(simple + [make(schema) for keyword, make in self._inner.items() if keyword in schema])

    def _ref(self, schema: dict) -> Check:
        name = schema["$ref"].removeprefix("#/$defs/")
        check = self.schema(self._defs[name])
        return _every([check, self._each[name]]) if name in self._each else check

    def _items(self, schema: dict) -> Check:
        check = self.schema(schema["items"])
        keys = self._order.get(schema["items"].get("$ref", "").removeprefix("#/$defs/"))

        def items(value: Any, path: str) -> Refusal | None:
            refusal = next(filter(None, (check(item, path) for item in value)), None)
            return refusal if refusal or keys is None else _sorted(value, path, keys)

        return items

    def _properties(self, schema: dict) -> Check:
        checks = {name: self.schema(inner) for name, inner in sorted(schema["properties"].items())}
        closed = not schema.get("additionalProperties", True)

        def properties(value: Any, path: str) -> Refusal | None:
            if closed and (others := [name for name in value if name not in checks]):
                return unknown(path, min(others, key=str))
            found = (check(value[name], join(path, name)) for name, check in checks.items() if name in value)
            return next(filter(None, found), None)

        return properties

    def _any_of(self, schema: dict) -> Check:
        checks = [self.schema(inner) for inner in schema["anyOf"]]

        def some(value: Any, path: str) -> Refusal | None:
            refusals = [refusal for check in checks if (refusal := check(value, path))]
            if len(refusals) < len(checks):
                return None
            return Refusal(path, "such that " + " or ".join(f"{field} is {wanted}" for field, wanted in refusals))

        return some

    def _all_of(self, schema: dict) -> Check:
        return _every([self.schema(inner) for inner in schema["allOf"]])

    def _if(self, schema: dict) -> Check:
        holds, then = self.schema(schema["if"]), self.schema(schema["then"])
        return lambda value, path: None if holds(value, path) else then(value, path)


def _every(checks: Sequence[Check]) -> Check:
    return lambda value, path: next(filter(None, (check(value, path) for check in checks)), None)


def _sorted(items: list, path: str, keys: tuple[str, ...]) -> Refusal | None:
    names = [tuple(item.get(key, "") for key in keys) if keys else item for item in items]
    if all(before < after for before, after in zip(names, names[1:], strict=False)):
        return None
    return Refusal(path, "sorted" + (f" by {' and '.join(keys)}" if keys else "") + ", each once")
