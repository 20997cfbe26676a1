"""Channels that cannot hang, and cannot leak a token."""

import ipaddress
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

DEADLINE = 5.0
"""Seconds that a call with one answer may take where it does not name its own timeout."""

STREAM_DEADLINE = 3600.0
"""Seconds that a stream may last where it does not name its own timeout. Resume it as after any broken stream."""

_OPTIONS = (
    # A peer that vanished without a word is noticed within 25 s, also by a stream.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own ceiling is two minutes: a gate that finds its server again that late has denied for two minutes.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def connect(
    url: str,
    *,
    token: str | None = None,
    root_certificates: bytes | None = None,
    deadline: float = DEADLINE,
    stream_deadline: float = STREAM_DEADLINE,
) -> grpc.Channel:
    """A channel to the server at ``url``, for every stub in ``countersign.v1``. Close it, or use it in a with block.

    ``url`` is ``https://host:port``, or ``http://host:port`` for a loopback host: elsewhere plaintext would show the
    token. ``token`` is an API key or an instance's credential and goes with every call as a bearer; without one the
    caller is anonymous. ``root_certificates`` are PEM; without them those of the system count. Both deadlines are
    seconds; a call that passes its own timeout keeps that. Open a channel after a fork, never before.

    Raises ValueError for any other ``url``.
    """
    target, plaintext = _target(url)
    # A proxy would carry the plaintext of a loopback connection off this machine.
    options = (*_OPTIONS, ("grpc.enable_http_proxy", 0 if plaintext else 1))
    if plaintext:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(root_certificates), options)
    return grpc.intercept_channel(channel, _Defaults(token, deadline, stream_deadline))


def _target(url: str) -> tuple[str, bool]:
    """The host and port in ``url``, and whether it asks for plaintext."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in ("http", "https") or not host or not port or parts.path.strip("/") or "@" in parts.netloc:
        raise ValueError(f"{url!r} is not a server's address; write https://host:port, or http://host:port on loopback")
    plaintext = parts.scheme == "http"
    if plaintext and not _is_loopback(host):
        raise ValueError(f"{url!r} asks for plaintext to another machine, which would show the token; write https://")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", plaintext


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Details(NamedTuple):
    """What grpc.ClientCallDetails describes; grpcio has no public class that can be made."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Defaults(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Gives every call the token and a deadline that it did not bring itself."""

    def __init__(self, token: str | None, deadline: float, stream_deadline: float) -> None:
        self._bearer = f"Bearer {token}" if token else None
        self._deadline = deadline
        self._stream_deadline = stream_deadline

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_defaults(details, self._deadline), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_defaults(details, self._stream_deadline), request)

    def _with_defaults(self, details: Any, deadline: float) -> _Details:
        metadata = list(details.metadata or ())
        if self._bearer and all(key != "authorization" for key, _ in metadata):
            metadata.append(("authorization", self._bearer))
        timeout = deadline if details.timeout is None else details.timeout
        return _Details(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready, details.compression
        )
