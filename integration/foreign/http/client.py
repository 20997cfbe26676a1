"""httpx over one kept connection: a refused request takes no other one with it, and an idle connection stays.

COUNTERSIGN_URL: the server. COUNTERSIGN_KEY: an API key. COUNTERSIGN_IDLE_SECONDS: how long the connection is left idle.
"""

import os
import time
import unittest

import httpx

URL = os.environ["COUNTERSIGN_URL"]
KEY = os.environ["COUNTERSIGN_KEY"]
IDLE = float(os.environ["COUNTERSIGN_IDLE_SECONDS"])
WHO = "/countersign.v1.OperatorService/WhoAmI"
JSON = "application/json"
SMALL, LARGE = b" " * 30_000 + b"{}", b" " * 2_000_000 + b"{}"
#: Key, content type, body and the answer of requests that are refused before their body is read.
REFUSED = [("csk_wrong", JSON, SMALL, 401), (KEY, "text/plain", SMALL, 415), (KEY, JSON, LARGE, 413)]


class KeptConnection(unittest.TestCase):
    def setUp(self) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        self.client = httpx.Client(base_url=URL, limits=limits, timeout=20)
        self.addCleanup(self.client.close)

    def post(self, key: str, content_type: str, body: bytes) -> int:
        headers = {"authorization": f"Bearer {key}", "content-type": content_type}
        return self.client.post(WHO, headers=headers, content=body).status_code

    def ask(self) -> None:
        self.assertEqual(self.post(KEY, JSON, b"{}"), 200)

    def test_a_refusal_takes_no_other_request_with_it(self) -> None:
        for _ in range(20):
            for key, content_type, body, status in REFUSED:
                try:
                    self.assertEqual(self.post(key, content_type, body), status)
                except (httpx.WriteError, httpx.ReadError):
                    # The answer came while the rest was being sent, and said that the connection ends.
                    self.assertIs(body, LARGE)
                self.ask()

    def test_an_idle_connection_stays(self) -> None:
        self.ask()
        before = self.connections()
        time.sleep(IDLE)
        self.ask()
        self.assertEqual(self.connections(), before)

    def connections(self) -> list[int]:
        """The sockets of the pool."""
        return [id(connection) for connection in self.client._transport._pool.connections]


if __name__ == "__main__":
    unittest.main()
