/**
 * The support assistant's story, against a running server.
 *
 * A sponsor answers for a triage agent, which spawns a billing child. The child's refund is allowed, proven to the tool
 * by a receipt and recorded; its attempt at another tool is denied; the whole chain is read back; a policy starts its
 * way to everyone at 10 % and is rolled back.
 *
 * COUNTERSIGN_ADDR is the server's host:port (127.0.0.1:8080), COUNTERSIGN_API_KEY an operator's key; a dev server on
 * loopback needs none.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { connect, Enrolment, errorReason, requestHash } from "@countersign/client";
import {
  CredentialService,
  type DelegateCredentialResponse,
  type IssueCredentialResponse,
} from "@countersign/client/v1/credential";
import { CustodyService } from "@countersign/client/v1/custody";
import { EventKind } from "@countersign/client/v1/custody_event";
import { type DecideResponse, DecisionService, Effect, ToolCallOutcome } from "@countersign/client/v1/decision";
import { PolicyService } from "@countersign/client/v1/policy";
import { RolloutService, RolloutState } from "@countersign/client/v1/rollout";
import { createRemoteJWKSet, jwtVerify } from "jose";

const URL_OF_SERVER = `http://${process.env["COUNTERSIGN_ADDR"] ?? "127.0.0.1:8080"}`;
const ARGUMENTS = { ticket: 4711, amount_cents: 1250 };
const RESULT = { refunded: true };
const DOCUMENT = `rules:
  - id: allow-support-billing
    role: support
    tool: billing
    allowed_actions: [charge, refund]
`;

/** The server did not do what the story expects. */
class StoryError extends Error {}

async function main(): Promise<void> {
  const operator = connect(URL_OF_SERVER, { token: process.env["COUNTERSIGN_API_KEY"] });
  const { root, child } = await startAgents(operator);
  const agent = connect(URL_OF_SERVER, { token: child.token });
  const allowed = await refund(agent);
  await refuseSearch(agent);
  await checkChain(operator, root, child, allowed.policyDecisionId);
  await tryRollout(operator, root.agentInstanceId);
}

/** Alice answers for a support assistant, which starts a narrower billing agent with its own credential. */
async function startAgents(
  operator: Transport,
): Promise<{ root: IssueCredentialResponse; child: DelegateCredentialResponse }> {
  const root = await createClient(CredentialService, operator).issueCredential({
    sponsorId: "alice",
    agent: "support-assistant",
    role: "support",
    tools: ["billing", "search"],
    purpose: "triage ticket 4711",
  });
  const assistant = connect(URL_OF_SERVER, { token: root.token });
  const child = await createClient(CredentialService, assistant).delegateCredential({
    agent: "billing-agent",
    tools: ["billing"],
  });
  expect(child.parentAgentId === root.agentInstanceId, `the child's parent is ${child.parentAgentId}`);
  return { root, child };
}

/** The child asks for a refund, shows the receipt to the tool, and says how the call ended. */
async function refund(agent: Transport): Promise<DecideResponse> {
  const answer = await createClient(DecisionService, agent).decide({
    toolId: "billing",
    action: "refund",
    requestHash: requestHash(ARGUMENTS),
    wantReceipt: true,
  });
  expectEffect(answer, Effect.ALLOW);
  expect(answer.policyDecisionId.startsWith("dec_"), `the decision's id is ${answer.policyDecisionId}, not dec_...`);
  await verifyReceipt(answer);
  await createClient(CustodyService, agent).recordToolCall({
    policyDecisionId: answer.policyDecisionId,
    outcome: ToolCallOutcome.SUCCESS,
    responseHash: requestHash(RESULT),
  });
  return answer;
}

/** What the billing tool does before it acts: it needs the server's public keys, and no call to the server. */
async function verifyReceipt(answer: DecideResponse): Promise<void> {
  const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", URL_OF_SERVER));
  const { payload } = await jwtVerify(answer.receipt, keys, {
    algorithms: ["ES256"],
    typ: "countersign-receipt+jwt",
    audience: "billing",
    clockTolerance: 5,
    requiredClaims: ["iss", "aud", "exp", "iat", "jti"],
  });
  const named = payload["policy_decision_id"];
  expect(named === answer.policyDecisionId, `the receipt names the decision ${String(named)}`);
}

/** The child tries a tool that it was not given. */
async function refuseSearch(agent: Transport): Promise<void> {
  expectEffect(await createClient(DecisionService, agent).decide({ toolId: "search", action: "delete" }), Effect.DENY);
}

/** From the decision alone: who ran, for whom, what was decided and how it ended. */
async function checkChain(
  operator: Transport,
  root: IssueCredentialResponse,
  child: DelegateCredentialResponse,
  policyDecisionId: string,
): Promise<void> {
  const { chain } = await createClient(CustodyService, operator).getCustodyChain({
    subject: { case: "policyDecisionId", value: policyDecisionId },
  });
  expect(chain?.sponsor?.sponsorId === "alice", `the chain's sponsor is ${chain?.sponsor?.sponsorId}`);
  for (const id of [root.agentInstanceId, child.agentInstanceId]) {
    expect(chain.instances.some((instance) => instance.agentInstanceId === id), `the chain lacks the instance ${id}`);
  }
  const decision = chain.decisions.find((one) => one.policyDecisionId === policyDecisionId);
  expect(decision?.outcome === ToolCallOutcome.SUCCESS, `the chain lacks ${policyDecisionId}, or its outcome`);
  for (const kind of [EventKind.DECISION, EventKind.TOOL_CALL]) {
    const found = chain.events.some((event) => event.kind === kind && event.policyDecisionId === policyDecisionId);
    expect(found, `the chain lacks the event ${EventKind[kind]} of ${policyDecisionId}`);
  }
}

/** A new policy version begins at 10 % and is rolled back, unless the open rollout is not ours. */
async function tryRollout(operator: Transport, rootInstanceId: string): Promise<void> {
  const created = await createClient(PolicyService, operator).createPolicy({
    document: `# ${randomUUID()}\n${DOCUMENT}`,
    reason: "story",
  });
  const rollouts = createClient(RolloutService, operator);
  const { rolloutId, ours } = await startOrFindRollout(rollouts, created.policy?.version ?? "");
  const { rollout } = await rollouts.getRollout({ rolloutId });
  expect(rollout !== undefined, `the server answered without the rollout ${rolloutId}`);
  const enrolment = new Enrolment(rollout);
  const { percent } = enrolment;
  console.log(`rollout ${rolloutId}: percent=${percent} isEnrolled=${enrolment.isEnrolled(rootInstanceId)}`);
  if (ours) {
    expect(percent === 10, `the rollout is at ${percent} %, not at 10 %`);
    await rollouts.rollbackRollout({ rolloutId, reason: "story over" });
  }
}

/** The rollout that this program started, or the one that is open already; and whether it is this program's. */
async function startOrFindRollout(
  rollouts: Client<typeof RolloutService>,
  candidate: string,
): Promise<{ rolloutId: string; ours: boolean }> {
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      const { rollout } = await rollouts.startRollout({ candidate, percent: 10, reason: "story" });
      return { rolloutId: rollout?.rolloutId ?? "", ours: true };
    } catch (error) {
      if (ConnectError.from(error).code !== Code.FailedPrecondition || errorReason(error) !== "ROLLOUT_OPEN") {
        throw error;
      }
    }
    const [running] = (await rollouts.listRollouts({ state: RolloutState.RUNNING })).rollouts;
    if (running) {
      return { rolloutId: running.rolloutId, ours: false };
    }
    // It ended between the two calls: ours may start now.
    await sleep(200);
  }
  throw new StoryError("a rollout is open and none is RUNNING; is one paused?");
}

function expectEffect(answer: DecideResponse, effect: Effect): void {
  const why = `${answer.reason?.message ?? ""} ${answer.reason?.remedy ?? ""}`;
  expect(answer.effect === effect, `Decide answered ${Effect[answer.effect]}, expected ${Effect[effect]}: ${why}`);
}

function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) {
    throw new StoryError(otherwise);
  }
}

try {
  await main();
  console.log("story ok: typescript");
  // Open connections would keep the program alive until they idle out.
  process.exit(0);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  console.error(`story failed: ${message} ${errorReason(error) ?? ""}`);
  process.exit(1);
}
