import canonicalize from "canonicalize";

import { auditLogSchema } from "../gen/audit-log-schema.js";
import { isObject } from "./keywords.js";
import { NotALeaf } from "./not-a-leaf.js";
import { each, order } from "./rules.js";
import { compileSchema } from "./schema.js";

/** The fields of a leaf: strings, integers, booleans, and arrays and objects of them. */
export type Leaf = Record<string, unknown>;

/** Longest leaf, bytes. */
const MAX_BYTES = 16_384;
/** What an export holds beside the leaf, in valid places: the schema describes a leaf in its exported form. */
const AROUND = { leaf_hash: "0".repeat(64), log_index: "0" };
/** The keys of an export that are not the leaf's. */
const NON_LEAF_KEYS = [
  "context_salt",
  "context_text",
  "identity",
  "identity_salt",
  "leaf_hash",
  "log_index",
  "on_behalf_of",
  "on_behalf_of_salt",
  "purpose",
  "purpose_salt",
  "reason_salt",
  "reason_text",
];

const check = compileSchema(auditLogSchema, each, order);

/**
 * The fields of the leaf whose bytes are `data`. Accepts exactly the bytes that the log can hold: written again, the
 * fields give the same bytes. Throws `NotALeaf`.
 */
export function readLeaf(data: Uint8Array): Leaf {
  if (data.length > MAX_BYTES) throw new NotALeaf("leaf", `at most ${MAX_BYTES} bytes`);
  if (!data.every(isVisible)) throw new NotALeaf("leaf", "visible ASCII without white space and backslashes");
  const text = new TextDecoder().decode(data);
  const leaf = parse(text);
  // What the parser smoothed over shows here: a key twice, keys out of order, 1e0 for 1.
  if (canonicalText(leaf) !== text) throw new NotALeaf("leaf", "in its canonical form (RFC 8785)");
  return leaf as Leaf;
}

/** The bytes of the leaf with these fields. Throws `NotALeaf` where the fields are not those of a leaf. */
export function encode(leaf: unknown): Uint8Array {
  const data = new TextEncoder().encode(canonicalText(leaf));
  if (data.length > MAX_BYTES) throw new NotALeaf("leaf", `at most ${MAX_BYTES} bytes`);
  return data;
}

function canonicalText(leaf: unknown): string {
  if (!isObject(leaf)) throw new NotALeaf("leaf", "one JSON object");
  const around = NON_LEAF_KEYS.find((key) => Object.hasOwn(leaf, key));
  if (around !== undefined) throw new NotALeaf(around, "absent");
  const refusal = check({ ...leaf, ...AROUND }, "");
  if (refusal) throw new NotALeaf(refusal.field, refusal.wanted);
  // Only now: what fits the schema is nested three deep at most, and holds no number that has two forms.
  return canonicalize(leaf) as string;
}

/** Every byte of a leaf is visible ASCII, and no backslash: no string is escaped, and no text has two spellings. */
function isVisible(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && byte !== 0x5c;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new NotALeaf("leaf", "one JSON object");
  }
}
