"""Python client of Countersign.

``connect`` opens a channel for the generated stubs in ``countersign.v1``, ``Enrolment`` answers who is inside a
rollout, ``request_hash`` is the hash of a call's arguments, and ``error_reason`` says why the server refused a call.
"""

from countersign.arguments import UnhashableArguments, canonical_arguments, request_hash
from countersign.connection import connect
from countersign.errors import error_reason
from countersign.rollout import Enrolment, bucket

__all__ = [
    "Enrolment",
    "UnhashableArguments",
    "bucket",
    "canonical_arguments",
    "connect",
    "error_reason",
    "request_hash",
]
