"""Why the server refused a call."""

from collections.abc import Iterable

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

DOMAIN = "countersign"
"""The domain of the ErrorInfo that the server's refusals carry."""


def error_reason(error: grpc.RpcError) -> str | None:
    """The name of the ErrorReason that the server gave, without its prefix, such as ``ROLLOUT_OPEN``.

    None where the error did not come from a Countersign server: no connection, a deadline passed on this side, a proxy
    in between. Such an error is no answer, and nothing may be taken as allowed.
    """
    trailers: Iterable[tuple[str, str | bytes]] | None = None
    if isinstance(error, grpc.Call):
        trailers = error.trailing_metadata()
    for key, value in trailers or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                return str(info.reason)
    return None
