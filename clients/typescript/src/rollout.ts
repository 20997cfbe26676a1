/**
 * Which side of a rollout a caller is on, computed here exactly as the server computes it.
 *
 * Every language meets the same cases, clients/conformance/bucketing.json.
 */
import { createHmac } from "node:crypto";

import { type Rollout, RolloutState } from "./gen/countersign/v1/rollout_pb.js";

/** How many buckets there are; a bucket is a hundredth of a percent. */
const BUCKETS = 10_000n;

/**
 * The bucket of `key`, 0 to 9999.
 *
 * The first eight bytes of HMAC-SHA-256(salt, len(rolloutId) || rolloutId || len(key) || key), lengths in bytes as
 * big-endian u32, read as a big-endian u64 and scaled to 10000. The salt is a secret: who knows it can choose a key on
 * the side they like.
 */
export function bucket(salt: Uint8Array, rolloutId: string, key: string): number {
  const mac = createHmac("sha256", salt);
  for (const part of [Buffer.from(rolloutId, "utf8"), Buffer.from(key, "utf8")]) {
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    mac.update(length).update(part);
  }
  return Number((mac.digest().readBigUInt64BE() * BUCKETS) >> 64n);
}

/**
 * Who is inside a rollout, as one message from the server describes it. Read it again to see a change.
 *
 * The rollout's scope (tools, roles, sponsors, labels) is not looked at: the answer is for callers within it.
 */
export class Enrolment {
  /** The share of callers inside, 0 to 100. */
  readonly percent: number;
  readonly #rolloutId: string;
  readonly #salt: Uint8Array;

  constructor(rollout: Rollout) {
    this.#rolloutId = rollout.rolloutId;
    this.#salt = rollout.salt;
    // A rollout that was rolled back keeps the percentage it had; it enrols no one.
    this.percent = rollout.state === RolloutState.ROLLED_BACK ? 0 : rollout.percent;
  }

  /**
   * Whether the caller with this sticky key (by default its root instance's id) is inside.
   *
   * Throws where the message carries no salt: the server shows it only to operators with the role gate, policy-admin or
   * auditor.
   */
  isEnrolled(key: string): boolean {
    if (this.#salt.length === 0) {
      throw new Error(
        `rollout ${this.#rolloutId} came without its salt, so its sides cannot be computed; read it as an operator with ` +
          "the role gate, policy-admin or auditor",
      );
    }
    return bucket(this.#salt, this.#rolloutId, key) < this.percent * 100;
  }
}
