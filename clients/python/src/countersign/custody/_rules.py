"""What a leaf must be beyond its schema, because JSON Schema cannot say it. By the name of the definition."""

import calendar
from typing import Any

from countersign.custody._keywords import Check, Refusal

MAX_U64 = 2**64 - 1


def _decimal(value: str, path: str) -> Refusal | None:
    return None if int(value) <= MAX_U64 else Refusal(path, f"at most {MAX_U64}")


def _time(value: str, path: str) -> Refusal | None:
    # The schema leaves the days past the end of a month: 2026-02-30.
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    return None if day <= calendar.monthrange(year, month)[1] else Refusal(path, "a day that exists")


def _attribute(attribute: dict[str, Any], path: str) -> Refusal | None:
    if attribute["type"] != "integer" or -(2**63) <= int(attribute["value"]) < 2**63:
        return None
    return Refusal(f"{path}.value", "a signed 64-bit integer as a string of decimal digits")


#: Checks of a value that fits its definition already.
EACH: dict[str, Check] = {"attribute": _attribute, "decimal": _decimal, "time": _time}
#: What lists of a definition are sorted by, each once. The only list of hashes is ``grounds``. Every string that fits
#: its definition is ASCII, so Python's order is the order of the bytes.
ORDER: dict[str, tuple[str, ...]] = {
    "attribute": ("name",),
    "change": ("field",),
    "charge": ("meter", "key"),
    "count": ("kind", "sponsor_id", "tool_id"),
    "emitter": ("emitter_id",),
    "figure": ("name",),
    "hash": (),
}
