// The verifier of the HTML view against the vectors that the server's own is tested with.
import assert from "node:assert/strict";
import { test } from "node:test";

import { seal, forgeries } from "./forgeries.mjs";
import { json, readLeaf, Refusal, vectors, verify } from "./verifier.mjs";

const good = vectors("evidence.json");
const text = Buffer.from(good).toString();
const KEY = JSON.parse(text).log_key;

async function refusal(bytes, expected) {
  try {
    await verify(new Uint8Array(bytes), expected);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  return assert.fail("it was accepted");
}

const isPart = (value) => typeof value === "object" && value !== null;
/** Every value of a leaf that is no list and no part: what it is in, and its name. */
const places = (value) =>
  Object.entries(value).flatMap(([name, inner]) => (isPart(inner) ? places(inner) : [[value, name]]));
const sorted = (value) =>
  Array.isArray(value)
    ? value.map(sorted)
    : isPart(value)
      ? Object.fromEntries(
          Object.keys(value)
            .sort()
            .map((name) => [name, sorted(value[name])]),
        )
      : value;

test("the shared bundle holds", async () => {
  const found = await verify(good, { key: KEY });
  assert.deepEqual([found.size, found.earlierSize, found.keyIsExpected], [12n, 4n, true]);
  assert.deepEqual([found.disclosed, found.undisclosed, found.keysMissing, found.groundsMissing], [2, 0, [], 0]);
  const { decisions, events, manifests, missingReports, openDecisions } = found.completeness;
  assert.deepEqual([decisions, events, manifests, missingReports, openDecisions], [1, 2, 1, 3n, 1n]);
  assert.equal((await verify(good)).keyIsExpected, false);
  assert.deepEqual(Buffer.from(seal(JSON.parse(text))), Buffer.from(good));
});

test("every flipped byte is refused as damage", async () => {
  const flipped = Uint8Array.from(good);
  for (let at = 0; at < flipped.length; at += 1) {
    flipped[at] ^= 1 << (at % 8);
    const error = await refusal(flipped, { key: KEY });
    assert(error.damaged || error.member === "file", `byte ${at}: ${error.message}`);
    flipped[at] ^= 1 << (at % 8);
  }
});

test("every forgery is refused in the server's words", async () => {
  const all = forgeries();
  assert(all.length > 40);
  for (const { name, bytes, refused } of all) {
    const { member, what, damaged, logIndex } = await refusal(bytes);
    const found = { damaged, log_index: logIndex?.toString() ?? null, member, what };
    assert.deepEqual(found, refused, name);
  }
});

test("what is cut, empty or huge is refused", async () => {
  for (let cut = 0; cut < good.length; cut += 97) {
    assert.equal((await refusal(good.subarray(0, cut))).member, "file", `cut at ${cut}`);
  }
  const huge = await refusal(new Uint8Array(67108865));
  assert.equal(huge.message, "file: a bundle is at most 67108864 bytes, not 67108865");
  const end = Buffer.from(good.subarray(good.length - 78));
  for (const front of [
    "",
    "{",
    "[]",
    "null",
    '{"format":"countersign.evidence.v1"',
    "[".repeat(100000),
    '{"a":'.repeat(100000),
  ]) {
    await refusal(Buffer.concat([Buffer.from(front), end]));
  }
  await refusal(Buffer.concat([Buffer.alloc(100, 0xff), end]));
});

test("another spelling of the same values is refused", async () => {
  const bundle = JSON.parse(text);
  const half = structuredClone(bundle);
  half.events[5].disclosed[0].text = "\ud800";
  assert.match((await refusal(seal(half))).message, /^events\[5\]\.disclosed\[0\]\.text: an unknown, repeated/);
  const unknown = structuredClone(bundle);
  Object.defineProperty(unknown, "__proto__", { value: {}, enumerable: true });
  assert.match((await refusal(seal(unknown))).message, /^__proto__: an unknown/);
  for (const edit of [
    (b) => ({ ...b, earlier: null }),
    (b) => ({ origin: b.origin, ...b }),
    (b) => ({ ...b, events: b.events.map((event) => ({ disclosed: [], ...event })) }),
  ])
    assert.match((await refusal(seal(edit(bundle)))).message, /^file: byte \d+ is not as this form writes it$/);
});

test("another key than the expected one is refused", async () => {
  const { message } = await refusal(good, { key: "countersign.example/log+00000000+AAAA" });
  assert.equal(message, `log_key: the bundle is of the key ${KEY}, not of countersign.example/log+00000000+AAAA`);
});

test("leaves are read as the shared vectors say", () => {
  const { leaves, refused } = json("custody-leaf.json");
  // A list of one string is like that string in much of JavaScript.
  for (const { fields } of leaves) {
    for (const [of, name] of places(fields)) {
      const before = of[name];
      of[name] = [before];
      assert.throws(() => readLeaf(JSON.stringify(sorted(fields))), undefined, `${name} of a ${fields.kind}`);
      of[name] = before;
    }
  }
  for (const { leaf_bytes: leaf } of leaves) assert.equal(JSON.stringify(readLeaf(leaf)), leaf);
  for (const { leaf_bytes: leaf, why } of refused) {
    assert.throws(
      () => readLeaf(leaf),
      (error) => error.message.length > 10 && !error.message.includes("undefined"),
      why,
    );
  }
});
