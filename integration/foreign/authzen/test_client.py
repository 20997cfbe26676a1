"""A client of AuthZEN that is not ours, against a running server, used as its documentation says.

COUNTERSIGN_URL is the server's URL, COUNTERSIGN_GATE an API key of a gate, COUNTERSIGN_RUN and COUNTERSIGN_TOKEN a run's id and
its credential for the tool billing.
"""

import os
import unittest

from decern import Client, DecernError

URL = os.environ["COUNTERSIGN_URL"]
RUN = {"type": "instance", "id": os.environ["COUNTERSIGN_RUN"]}
CREDENTIAL = {"type": "credential", "id": os.environ["COUNTERSIGN_TOKEN"]}
BILLING = {"type": "tool", "id": "billing"}


class Evaluation(unittest.TestCase):
    def setUp(self):
        self.gate = Client(URL, token=os.environ["COUNTERSIGN_GATE"])

    def test_a_run_may_do_what_the_policy_allows_and_nothing_else(self):
        for subject in (RUN, CREDENTIAL):
            allowed = self.gate.evaluate(subject, "refund", BILLING)
            self.assertTrue(allowed.allowed)
            self.assertEqual(allowed.context["reason"]["code"], "ALLOWED_BY_RULE")
            denied = self.gate.evaluate(subject, "erase", BILLING)
            self.assertFalse(denied.allowed)
            self.assertIn("403", denied.context["reason_user"])

    def test_rules_read_the_context_and_the_parameters_of_the_action(self):
        for amount, allowed in ((50_000, True), (50_001, False)):
            by_context = self.gate.evaluate(RUN, "charge", BILLING, context={"amount_cents": amount})
            by_action = self.gate.evaluate(RUN, {"name": "charge", "properties": {"amount_cents": amount}}, BILLING)
            self.assertEqual((by_context.allowed, by_action.allowed), (allowed, allowed))

    def test_what_is_no_evaluation_raises(self):
        for client, subject, status in (
            (Client(URL, token="csk_wrong"), RUN, 401),
            (Client(URL, token=CREDENTIAL["id"]), {"type": "user", "id": "alice"}, 403),
            (self.gate, {"type": "instance", "id": "alice"}, 400),
            (self.gate, {"type": "instance"}, 400),
        ):
            with self.assertRaises(DecernError) as raised:
                client.evaluate(subject, "refund", BILLING)
            self.assertEqual(raised.exception.status_code, status)
            self.assertTrue(raised.exception.body)


if __name__ == "__main__":
    unittest.main()
