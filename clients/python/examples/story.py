"""The support assistant's story, against a running server.

A sponsor answers for a triage agent, which spawns a billing child. The child's refund is allowed, proven to the tool by
a receipt and recorded; its attempt at another tool is denied; the whole chain is read back; a policy starts its way
to everyone at 10 % and is rolled back.

COUNTERSIGN_ADDR is the server's host:port (127.0.0.1:8080), COUNTERSIGN_API_KEY an operator's key; a dev server on
loopback needs none.
"""

import os
import sys
import time
import uuid

import grpc
import jwt

from countersign import Enrolment, connect, error_reason, request_hash
from countersign.v1 import (
    credential_pb2 as credential,
    credential_pb2_grpc,
    custody_event_pb2 as event,
    custody_pb2 as custody,
    custody_pb2_grpc,
    decision_pb2 as decision,
    decision_pb2_grpc,
    policy_pb2 as policy,
    policy_pb2_grpc,
    rollout_pb2 as rollout,
    rollout_pb2_grpc,
)

URL = "http://" + os.environ.get("COUNTERSIGN_ADDR", "127.0.0.1:8080")
ARGUMENTS = {"ticket": 4711, "amount_cents": 1250}
RESULT = {"refunded": True}
DOCUMENT = """\
# {unique}
rules:
  - id: allow-support-billing
    role: support
    tool: billing
    allowed_actions: [charge, refund]
"""


class StoryError(Exception):
    """The server did not do what the story expects."""


def main() -> None:
    with connect(URL, token=os.environ.get("COUNTERSIGN_API_KEY")) as operator:
        root, child = start_agents(operator)
        with connect(URL, token=child.token) as agent:
            allowed = refund(agent)
            refuse_search(agent)
        check_chain(operator, root, child, allowed.policy_decision_id)
        try_rollout(operator, root.agent_instance_id)


def start_agents(
    operator: grpc.Channel,
) -> tuple[credential.IssueCredentialResponse, credential.DelegateCredentialResponse]:
    """Alice answers for a support assistant, which starts a narrower billing agent with its own credential."""
    root = credential_pb2_grpc.CredentialServiceStub(operator).IssueCredential(
        credential.IssueCredentialRequest(
            sponsor_id="alice",
            agent="support-assistant",
            role="support",
            tools=["billing", "search"],
            purpose="triage ticket 4711",
        )
    )
    with connect(URL, token=root.token) as assistant:
        child = credential_pb2_grpc.CredentialServiceStub(assistant).DelegateCredential(
            credential.DelegateCredentialRequest(agent="billing-agent", tools=["billing"])
        )
    expect(child.parent_agent_id, root.agent_instance_id, "the child's parent")
    return root, child


def refund(agent: grpc.Channel) -> decision.DecideResponse:
    """The child asks for a refund, shows the receipt to the tool, and says how the call ended."""
    answer = decision_pb2_grpc.DecisionServiceStub(agent).Decide(
        decision.DecideRequest(
            tool_id="billing", action="refund", request_hash=request_hash(ARGUMENTS), want_receipt=True
        )
    )
    expect_effect(answer, decision.EFFECT_ALLOW)
    if not answer.policy_decision_id.startswith("dec_"):
        raise StoryError(f"the decision's id is {answer.policy_decision_id!r}, not dec_...")
    verify_receipt(answer)
    custody_pb2_grpc.CustodyServiceStub(agent).RecordToolCall(
        custody.RecordToolCallRequest(
            policy_decision_id=answer.policy_decision_id,
            outcome=decision.TOOL_CALL_OUTCOME_SUCCESS,
            response_hash=request_hash(RESULT),
        )
    )
    return answer


def verify_receipt(answer: decision.DecideResponse) -> None:
    """What the billing tool does before it acts: it needs the server's public keys, and no call to the server."""
    keys = jwt.PyJWKClient(f"{URL}/.well-known/jwks.json", timeout=5)
    receipt = jwt.decode_complete(
        answer.receipt,
        keys.get_signing_key_from_jwt(answer.receipt),
        algorithms=["ES256"],
        audience="billing",
        leeway=5,
        options={"require": ["iss", "aud", "exp", "iat", "jti"]},
    )
    expect(receipt["header"]["typ"], "countersign-receipt+jwt", "the receipt's typ")
    expect(receipt["payload"]["policy_decision_id"], answer.policy_decision_id, "the receipt's policy_decision_id")


def refuse_search(agent: grpc.Channel) -> None:
    """The child tries a tool that it was not given."""
    answer = decision_pb2_grpc.DecisionServiceStub(agent).Decide(
        decision.DecideRequest(tool_id="search", action="delete")
    )
    expect_effect(answer, decision.EFFECT_DENY)


def check_chain(
    operator: grpc.Channel,
    root: credential.IssueCredentialResponse,
    child: credential.DelegateCredentialResponse,
    policy_decision_id: str,
) -> None:
    """From the decision alone: who ran, for whom, what was decided and how it ended."""
    chain = custody_pb2_grpc.CustodyServiceStub(operator).GetCustodyChain(
        custody.GetCustodyChainRequest(policy_decision_id=policy_decision_id)
    ).chain
    expect(chain.sponsor.sponsor_id, "alice", "the chain's sponsor")
    instances = {instance.agent_instance_id for instance in chain.instances}
    expect({root.agent_instance_id, child.agent_instance_id} - instances, set(), "instances missing from the chain")
    outcomes = [one.outcome for one in chain.decisions if one.policy_decision_id == policy_decision_id]
    expect(outcomes, [decision.TOOL_CALL_OUTCOME_SUCCESS], "outcomes of the decision in the chain")
    kinds = {one.kind for one in chain.events if one.policy_decision_id == policy_decision_id}
    expect({event.EVENT_KIND_DECISION, event.EVENT_KIND_TOOL_CALL} - kinds, set(), "event kinds missing from the chain")


def try_rollout(operator: grpc.Channel, root_instance_id: str) -> None:
    """A new policy version begins at 10 % and is rolled back, unless the open rollout is not ours."""
    candidate = policy_pb2_grpc.PolicyServiceStub(operator).CreatePolicy(
        policy.CreatePolicyRequest(document=DOCUMENT.format(unique=uuid.uuid4()), reason="story")
    ).policy.version
    rollouts = rollout_pb2_grpc.RolloutServiceStub(operator)
    rollout_id, ours = start_or_find_rollout(rollouts, candidate)
    current = rollouts.GetRollout(rollout.GetRolloutRequest(rollout_id=rollout_id)).rollout
    enrolment = Enrolment(current)
    print(f"rollout {rollout_id}: percent={enrolment.percent} is_enrolled={enrolment.is_enrolled(root_instance_id)}")
    if ours:
        expect(enrolment.percent, 10, "the rollout's percentage")
        rollouts.RollbackRollout(rollout.RollbackRolloutRequest(rollout_id=rollout_id, reason="story over"))


def start_or_find_rollout(rollouts: rollout_pb2_grpc.RolloutServiceStub, candidate: str) -> tuple[str, bool]:
    """The rollout that this program started, or the one that is open already; and whether it is this program's."""
    request = rollout.StartRolloutRequest(candidate=candidate, percent=10, reason="story")
    for _ in range(10):
        try:
            return rollouts.StartRollout(request).rollout.rollout_id, True
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION or error_reason(error) != "ROLLOUT_OPEN":
                raise
        running = rollouts.ListRollouts(rollout.ListRolloutsRequest(state=rollout.ROLLOUT_STATE_RUNNING)).rollouts
        if running:
            return running[0].rollout_id, False
        # It ended between the two calls: ours may start now.
        time.sleep(0.2)
    raise StoryError("a rollout is open and none is RUNNING; is one paused?")


def expect_effect(answer: decision.DecideResponse, effect: int) -> None:
    if answer.effect != effect:
        was, wanted = decision.Effect.Name(answer.effect), decision.Effect.Name(effect)
        raise StoryError(f"Decide answered {was}, expected {wanted}: {answer.reason.message} {answer.reason.remedy}")


def expect(was: object, wanted: object, what: str) -> None:
    if was != wanted:
        raise StoryError(f"{what}: {was!r}, expected {wanted!r}")


if __name__ == "__main__":
    try:
        main()
    except (StoryError, jwt.PyJWTError) as error:
        sys.exit(f"story failed: {error}")
    except grpc.RpcError as error:
        sys.exit(f"story failed: {error.code().name} {error_reason(error) or ''}: {error.details()}")
    print("story ok: python")
