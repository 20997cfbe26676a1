import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { bucket, Enrolment } from "@countersign/client";
import { RolloutSchema, RolloutState } from "@countersign/client/v1/rollout";

interface Case {
  salt: string;
  rollout_id: string;
  key: string;
  bucket: number;
  enrolled: Record<string, boolean>;
}

const vectors = new URL("../../../conformance/bucketing.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: Case[] };

test("buckets are those of the shared vectors", () => {
  assert.ok(cases.length > 0);
  for (const one of cases) {
    assert.equal(bucket(Buffer.from(one.salt, "hex"), one.rollout_id, one.key), one.bucket, JSON.stringify(one));
  }
});

test("enrolment is that of the shared vectors", () => {
  for (const one of cases.filter((one) => one.salt !== "")) {
    for (const [percent, expected] of Object.entries(one.enrolled)) {
      const rollout = create(RolloutSchema, {
        rolloutId: one.rollout_id,
        salt: Buffer.from(one.salt, "hex"),
        percent: Number(percent),
      });
      assert.equal(new Enrolment(rollout).percent, Number(percent));
      assert.equal(new Enrolment(rollout).isEnrolled(one.key), expected, `${percent} % of ${JSON.stringify(one)}`);
    }
  }
});

test("without the salt the percentage is told, and nobody's side", () => {
  const enrolment = new Enrolment(create(RolloutSchema, { rolloutId: "roll_1", percent: 100 }));
  assert.equal(enrolment.percent, 100);
  assert.throws(() => enrolment.isEnrolled("alice"), /without its salt/);
});

test("a rollout that was rolled back holds nobody", () => {
  const state = RolloutState.ROLLED_BACK;
  const rollout = create(RolloutSchema, { rolloutId: "roll_1", salt: new Uint8Array(32), percent: 100, state });
  assert.equal(new Enrolment(rollout).percent, 0);
  assert.equal(new Enrolment(rollout).isEnrolled("alice"), false);
});
