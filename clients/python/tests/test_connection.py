import socket
import time

import grpc
import pytest

from countersign import connect, error_reason
from countersign.v1.status_pb2 import GetReadinessRequest
from countersign.v1.status_pb2_grpc import StatusServiceStub


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://example.com:1"])
def test_loopback_and_tls_addresses_are_taken(url):
    connect(url).close()


@pytest.mark.parametrize("url", ["http://example.com:1", "http://10.0.0.1:1", "http://127.0.0.1.example.com:1"])
def test_plaintext_to_another_machine_is_refused(url):
    with pytest.raises(ValueError, match="plaintext"):
        connect(url)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:1/x", ""])
def test_anything_else_is_no_address(url):
    with pytest.raises(ValueError, match="not a server's address"):
        connect(url)


def test_a_call_to_a_server_that_never_answers_ends_at_its_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with connect(f"http://127.0.0.1:{silent.getsockname()[1]}", deadline=0.2) as channel:
            started = time.monotonic()
            with pytest.raises(grpc.RpcError) as caught:
                StatusServiceStub(channel).GetReadiness(GetReadinessRequest())
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 3
    assert error_reason(caught.value) is None
