import json
from pathlib import Path

import pytest

from countersign import Enrolment, bucket
from countersign.v1.rollout_pb2 import ROLLOUT_STATE_ROLLED_BACK, Rollout

VECTORS = Path(__file__).parents[2] / "conformance" / "bucketing.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES)
def test_buckets_are_those_of_the_shared_vectors(case):
    assert bucket(bytes.fromhex(case["salt"]), case["rollout_id"], case["key"]) == case["bucket"]


@pytest.mark.parametrize("case", [case for case in CASES if case["salt"]])
def test_enrolment_is_that_of_the_shared_vectors(case):
    for percent, expected in case["enrolled"].items():
        rollout = Rollout(rollout_id=case["rollout_id"], salt=bytes.fromhex(case["salt"]), percent=int(percent))
        assert Enrolment(rollout).percent == int(percent)
        assert Enrolment(rollout).is_enrolled(case["key"]) is expected


def test_without_the_salt_the_percentage_is_told_and_nobodys_side():
    enrolment = Enrolment(Rollout(rollout_id="roll_1", percent=100))
    assert enrolment.percent == 100
    with pytest.raises(ValueError, match="without its salt"):
        enrolment.is_enrolled("alice")


def test_a_rollout_that_was_rolled_back_holds_nobody():
    rollout = Rollout(rollout_id="roll_1", salt=bytes(32), percent=100, state=ROLLOUT_STATE_ROLLED_BACK)
    assert Enrolment(rollout).percent == 0
    assert not Enrolment(rollout).is_enrolled("alice")
