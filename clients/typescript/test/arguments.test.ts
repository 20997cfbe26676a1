import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { canonicalArguments, requestHash, UnhashableArguments } from "@countersign/client";

interface Case {
  name: string;
  json: string;
  sha256?: string;
  canonical?: string;
  path?: string;
  text_only?: boolean;
}

const vectors = new URL("../../../conformance/canonical.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: Case[] };
const refused = (value: unknown): UnhashableArguments => {
  try {
    requestHash(value as object);
  } catch (error) {
    if (error instanceof UnhashableArguments) return error;
    throw error;
  }
  throw new Error("it was hashed");
};

for (const one of cases.filter((one) => !one.text_only)) {
  test(`canonical arguments: ${one.name}`, () => {
    if (one.sha256 !== undefined) {
      const value = JSON.parse(one.json) as object;
      assert.equal(Buffer.from(requestHash(value)).toString("hex"), one.sha256);
      const form = Buffer.from(canonicalArguments(value)).toString();
      assert.equal(form, one.canonical ?? form);
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(one.json);
    } catch {
      return; // The language's own parser refuses the text.
    }
    const error = refused(value);
    assert.equal(error.path, one.path ?? error.path);
  });
}

class Money {
  cents = 1;
}
const cycle: Record<string, unknown> = {};
cycle["v"] = [cycle];
const holes: unknown[] = [1];
holes[2] = 3;
const withMember = Object.assign([1], { more: 2 });

for (const [what, value, path] of [
  ["bytes", { v: new Uint8Array([1]) }, "v"],
  ["a buffer", { v: Buffer.from("a") }, "v"],
  ["a date", { v: new Date(0) }, "v"],
  ["a map", { v: new Map([["a", 1]]) }, "v"],
  ["a set", { v: new Set([1]) }, "v"],
  ["a class instance", { v: new Money() }, "v"],
  ["a boxed number", { v: Object(1) }, "v"],
  ["a boxed string", { v: Object("a") }, "v"],
  ["a function", { v: () => 1 }, "v"],
  ["toJSON", { v: { toJSON: () => 1 } }, "v.toJSON"],
  ["a symbol", { v: Symbol("a") }, "v"],
  ["a symbol as a key", { v: { [Symbol("a")]: 1 } }, "v"],
  ["a hidden member", { v: Object.defineProperty({}, "w", { value: 1 }) }, "v.w"],
  ["a big integer", { v: 1n }, "v"],
  ["no number", { v: NaN }, "v"],
  ["infinity", { v: -Infinity }, "v"],
  ["beyond 2^53-1", { v: [0, { w: 2 ** 53 }] }, "v[1].w"],
  ["undefined in an array", { v: [undefined] }, "v[0]"],
  ["an array with holes", { v: holes }, "v"],
  ["an array with members", { v: withMember }, "v"],
  ["half a pair", { v: "\ud800" }, "v"],
  ["half a pair in a key", { v: { "\udc00": 1 } }, "v"],
  ["an array", [1], ""],
  ["null", null, ""],
  ["text", "x", ""],
  ["a map at the top", new Map(), ""],
] as const) {
  test(`nothing is coerced: ${what}`, () => assert.equal(refused(value).path, path));
}

test("undefined members are absent, nesting and length are bounded", () => {
  assert.equal(Buffer.from(canonicalArguments({ b: undefined, a: null })).toString(), '{"a":null}');
  assert.match(refused(cycle).why, /within itself/);
  assert.equal(canonicalArguments({ v: "x".repeat((1 << 20) - 8) }).length, 1 << 20);
  assert.match(refused({ v: "x".repeat((1 << 20) - 7) }).why, /1 MiB/);
});

test("what is checked is what is hashed, whatever a getter says a second time", () => {
  let asked = 0;
  const args = {
    get to(): string {
      asked += 1;
      return `reader ${asked}`;
    },
  };
  assert.equal(Buffer.from(canonicalArguments(args)).toString(), '{"to":"reader 1"}');
});
