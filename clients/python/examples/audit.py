"""Checks a custody log without trust in the server that sent it.

Standard input is one or more pages of ListEvents as JSON. The program reads each event's leaf, and says where the bytes
are not a leaf, a place in the log is missing, a disclosed text does not match its commitment, or a reference names an
event that is not in the log before it. It then prints the size and the root hash of the log: keep both. A later run with
``--earlier SIZE ROOT`` says whether the first SIZE events are still the same ones.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator

from countersign.custody import NotALeaf, commitment, leaf_hash, read_leaf

TEXTS = ("purpose", "reason", "on_behalf_of")
REFERENCES = ("decision_ref", "custody_ref", "approval_ref")


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a custody log offline.")
    parser.add_argument("--earlier", nargs=2, metavar=("SIZE", "ROOT"), help="what an earlier run printed")
    earlier = parser.parse_args().earlier
    hashes: list[str] = []
    before: set[str] = set()
    faults: list[str] = []
    for index, event in enumerate(events(sys.stdin.read())):
        data = base64.b64decode(event["leafBytes"])
        faults += [f"event {index}: {fault}" for fault in check(index, event, data, before)]
        hashes.append(leaf_hash(data))
        before.add(hashes[-1])
    if earlier and (len(hashes) < int(earlier[0]) or root(hashes[: int(earlier[0])]) != earlier[1]):
        faults.append(f"the first {earlier[0]} events are not the ones with the root {earlier[1]}")
    for fault in faults:
        print(fault)
    print(f"size {len(hashes)}\nroot {root(hashes)}\nfaults {len(faults)}")
    return 1 if faults else 0


def events(text: str) -> Iterator[dict]:
    """The events of all pages, in the order of the pages."""
    decoder, at = json.JSONDecoder(), 0
    while text := text[at:].lstrip():
        page, at = decoder.raw_decode(text)
        yield from page.get("events", [])


def check(index: int, event: dict, data: bytes, before: set[str]) -> Iterator[str]:
    """What is wrong with one event. ``before`` has the leaf hashes of all earlier events."""
    # JSON leaves out a number that is zero.
    if int(event.get("logIndex", 0)) != index:
        yield f"the log has no event here; the next one is {event.get('logIndex')}"
    try:
        leaf = read_leaf(data)
        for name in TEXTS:
            text, salt = event.get(camel(name), ""), base64.b64decode(event.get(camel(f"{name}_salt"), ""))
            # An erased text has no salt. Its commitment stays.
            if salt and commitment(salt, text) != leaf.get(f"{name}_commitment"):
                yield f"{name} does not match its commitment"
    except NotALeaf as error:
        yield f"invalid leaf: {error}"
        return
    for name in REFERENCES:
        if name in leaf and leaf[name] not in before:
            yield f"{name} names no earlier event"


def camel(name: str) -> str:
    """The JSON name of a field of the contract."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def root(hashes: list[str]) -> str:
    """The root of the Merkle tree over these leaf hashes: RFC 6962, section 2.1."""
    if not hashes:
        return hashlib.sha256(b"").hexdigest()
    if len(hashes) == 1:
        return hashes[0]
    left = 1 << ((len(hashes) - 1).bit_length() - 1)
    nodes = bytes.fromhex(root(hashes[:left])) + bytes.fromhex(root(hashes[left:]))
    return hashlib.sha256(b"\x01" + nodes).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
