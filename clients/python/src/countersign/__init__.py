"""Python client of Countersign.

``connect`` opens a channel for the generated stubs in ``countersign.v1``, ``Enrolment`` answers who is inside a
rollout, and ``error_reason`` says why the server refused a call.
"""

from countersign.connection import connect
from countersign.errors import error_reason
from countersign.rollout import Enrolment, bucket

__all__ = ["Enrolment", "bucket", "connect", "error_reason"]
