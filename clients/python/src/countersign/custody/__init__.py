"""Reads the leaves of the custody log, byte for byte (docs/custody-leaf.md), offline.

``read_leaf`` reads the bytes of a leaf, ``leaf_from_export`` gives the bytes of an exported event back and checks its
hash and its disclosed texts, ``leaf_hash`` and ``commitment`` are the two hashes of the format. What is no leaf is
refused with ``NotALeaf``.
"""

from countersign.custody._errors import NotALeaf
from countersign.custody._export import leaf_from_export
from countersign.custody._hashes import commitment, leaf_hash
from countersign.custody._leaf import read_leaf

__all__ = ["NotALeaf", "commitment", "leaf_from_export", "leaf_hash", "read_leaf"]
