import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { commitment, type Leaf, leafFromExport, leafHash, NotALeaf, readLeaf } from "@countersign/client/custody";

interface Vectors {
  leaves: { name: string; fields: Leaf; leaf_bytes: string; leaf_hash: string }[];
  commitments: { salt: string; text: string; commitment: string }[];
  exports: { name: string; leaf_hash: string; export: Leaf }[];
  refused_exports: { why: string; export: Leaf }[];
  refused: { why: string; leaf_bytes: string }[];
}

const file = new URL("../../../conformance/custody-leaf.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const only = <T>(found: T | undefined): T => found ?? assert.fail("the vectors have one");
const manifest = only(vectors.leaves.find((vector) => vector.fields.kind === "manifest"));

/** The fields of a leaf; nothing where it is refused. */
function accepted(data: Uint8Array): Leaf | undefined {
  try {
    return readLeaf(data);
  } catch (error) {
    assert.ok(error instanceof NotALeaf, String(error));
    assert.equal(error.message, `${error.field} must be ${error.wanted}`);
    return undefined;
  }
}

/** As a leaf is written, also where it is none. */
function encoded(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(encoded).join(",")}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${encoded(member)}`).join(",")}}`;
}

function without(fields: Leaf, name: string): Leaf {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name));
}

/** Every object within `value`, itself first. */
function parts(value: unknown): Leaf[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value).flatMap(parts);
  return Array.isArray(value) ? inner : [value as Leaf, ...inner];
}

for (const vector of vectors.leaves) {
  test(`custody: ${vector.name}`, () => {
    const data = bytes(vector.leaf_bytes);
    assert.deepEqual(readLeaf(data), vector.fields);
    assert.equal(leafHash(data), vector.leaf_hash);
  });
}

for (const vector of vectors.refused) {
  test(`custody refuses ${vector.why}`, () => assert.throws(() => readLeaf(bytes(vector.leaf_bytes)), NotALeaf));
}

for (const vector of vectors.exports) {
  test(`custody export: ${vector.name}`, () => {
    const event = structuredClone(vector.export);
    const data = leafFromExport(event);
    assert.equal(leafHash(data), vector.leaf_hash);
    assert.deepEqual({ ...event, ...readLeaf(data) }, vector.export);
  });
}

for (const vector of vectors.refused_exports) {
  test(`custody export refuses ${vector.why}`, () => assert.throws(() => leafFromExport(vector.export), NotALeaf));
}

test("custody: commitments agree", () => {
  for (const vector of vectors.commitments) {
    assert.equal(commitment(Buffer.from(vector.salt, "hex"), vector.text), vector.commitment);
  }
});

test("custody: traps are refused", () => {
  const text = manifest.leaf_bytes;
  const raw = (within: number[]): Uint8Array =>
    Buffer.concat([bytes(text.slice(0, 20)), Uint8Array.from(within), bytes(text.slice(20))]);
  for (const data of [
    bytes(`${text}\n`),
    bytes(`${text}\r\n`),
    bytes(` ${text}`),
    bytes(`${text}\0`),
    bytes(`\u{feff}${text}`),
    Buffer.from(text, "utf16le"),
    raw([0xff]),
    raw([0xed, 0xa0, 0x80]),
    raw([0xc0, 0xae]),
    bytes("[".repeat(100_000)),
    bytes("[".repeat(16_384)),
    bytes(`${"[".repeat(8_192)}${"]".repeat(8_192)}`),
    bytes('{"action":'.repeat(1_600)),
    bytes(`{"action":${"9".repeat(16_000)}}`),
  ]) {
    assert.equal(accepted(data), undefined);
  }
});

test("custody: a leaf has at most 16,384 bytes", () => {
  const rules = [...Array<string>(121).fill("x".repeat(128)), "y".repeat(128), "z"];
  const fields: Leaf = { ...manifest.fields, rule_ids: rules };
  rules[122] = "z".repeat(1 + 16_384 - encoded(fields).length);
  assert.deepEqual(readLeaf(bytes(encoded(fields))), fields);
  rules[122] += "z";
  const wanted = { name: "NotALeaf", message: "leaf must be at most 16384 bytes" };
  assert.throws(() => readLeaf(bytes(encoded(fields))), wanted);
  const event = { ...fields, log_index: "0", leaf_hash: leafHash(bytes(encoded(fields))) };
  assert.throws(() => leafFromExport(event), wanted);
});

test("custody: a flipped bit is refused or another leaf", () => {
  for (const { leaf_bytes, fields } of vectors.leaves) {
    const same = encoded(fields);
    for (let place = 0; place < leaf_bytes.length; place++) {
      const other = bytes(leaf_bytes);
      other[place] = (other[place] ?? 0) ^ (1 << place % 8);
      const leaf = accepted(other);
      assert.ok(leaf === undefined || encoded(leaf) !== same);
    }
  }
});

test("custody: a removed field is missed or makes another leaf, an added one is refused", () => {
  for (const { fields } of vectors.leaves) {
    parts(fields).forEach((part, nth) => {
      const changed = (change: (part: Leaf) => void): Leaf => {
        const other = structuredClone(fields);
        change(only(parts(other)[nth]));
        return other;
      };
      for (const name of Object.keys(part)) {
        const other = changed((part) => delete part[name]);
        const leaf = accepted(bytes(encoded(other)));
        if (leaf !== undefined) assert.deepEqual(leaf, other);
        assert.equal(accepted(bytes(encoded(changed((part) => (part[name] = null))))), undefined);
      }
      for (const name of ["zz", "", "toString"]) {
        assert.equal(accepted(bytes(encoded(changed((part) => (part[name] = "x"))))), undefined);
      }
    });
    for (const name of ["event_id", "kind", "received_time", "schema", "timestamp"]) {
      assert.equal(accepted(bytes(encoded(without(fields, name)))), undefined);
    }
  }
});

test("custody: a number of an export is an integer", () => {
  const { export: event } = only(vectors.exports.find((vector) => "rollout" in vector.export));
  for (const percent of [30.5, NaN, -0, 30n, "30", true, null, undefined, [30]]) {
    const rollout = { ...(event.rollout as object), percent };
    assert.throws(() => leafFromExport({ ...event, rollout }), NotALeaf);
  }
  for (const other of [null, [], "x", new Map(), Object.create(event)]) {
    assert.throws(() => leafFromExport(other as Leaf), NotALeaf);
  }
});

test("custody: half of a surrogate pair has no commitment", () => {
  assert.throws(() => commitment(new Uint8Array(16), "a\ud800"), NotALeaf);
  assert.throws(() => commitment(new Uint8Array(15), "a"), NotALeaf);
  const { export: event } = only(vectors.exports.find((vector) => "purpose" in vector.export));
  assert.throws(() => leafFromExport({ ...event, purpose: "\udfff" }), /^NotALeaf: purpose must be/);
});

test("custody: a refusal never repeats the value", () => {
  const leaf = encoded({ ...manifest.fields, operator_id: "Alice" });
  assert.throws(() => readLeaf(bytes(leaf)), /^NotALeaf: operator_id must be an id that people choose: [^A]*$/);
});

test("custody: nothing of it is loaded with the client", () => {
  for (const name of ["index", "arguments", "connection", "errors", "rollout"]) {
    assert.doesNotMatch(readFileSync(new URL(`../../dist/${name}.js`, import.meta.url), "utf8"), /custody/);
  }
});
