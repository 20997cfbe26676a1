"""Which side of a rollout a caller is on, computed here exactly as the server computes it.

Every language meets the same cases, clients/conformance/bucketing.json.
"""

import hashlib
import hmac

from countersign.v1 import rollout_pb2

BUCKETS = 10_000
"""How many buckets there are; a bucket is a hundredth of a percent."""


def bucket(salt: bytes, rollout_id: str, key: str) -> int:
    """The bucket of ``key``, 0 to 9999.

    The first eight bytes of HMAC-SHA-256(salt, len(rollout_id) || rollout_id || len(key) || key), lengths in bytes
    as big-endian u32, read as a big-endian u64 and scaled to BUCKETS. The salt is a secret: who knows it can choose a
    key on the side they like.
    """
    mac = hmac.new(salt, digestmod=hashlib.sha256)
    for part in (rollout_id.encode(), key.encode()):
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(len(part).to_bytes(4, "big") + part)
    return (int.from_bytes(mac.digest()[:8], "big") * BUCKETS) >> 64


class Enrolment:
    """Who is inside a rollout, as one message from the server describes it. Read it again to see a change.

    The rollout's scope (tools, roles, sponsors, labels) is not looked at: the answer is for callers within it.
    """

    def __init__(self, rollout: rollout_pb2.Rollout) -> None:
        self._rollout_id = rollout.rollout_id
        self._salt = rollout.salt
        # A rollout that was rolled back keeps the percentage it had; it enrols no one.
        rolled_back = rollout.state == rollout_pb2.ROLLOUT_STATE_ROLLED_BACK
        self._percent = 0 if rolled_back else rollout.percent

    @property
    def percent(self) -> int:
        """The share of callers inside, 0 to 100."""
        return self._percent

    def is_enrolled(self, key: str) -> bool:
        """Whether the caller with this sticky key (by default its root instance's id) is inside.

        Raises ValueError where the message carries no salt: the server shows it only to operators with the role gate,
        policy-admin or auditor.
        """
        if not self._salt:
            raise ValueError(
                f"rollout {self._rollout_id!r} came without its salt, so its sides cannot be computed; read it as an "
                "operator with the role gate, policy-admin or auditor"
            )
        return bucket(self._salt, self._rollout_id, key) < self._percent * 100
