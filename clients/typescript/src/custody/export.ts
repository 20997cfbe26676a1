import { commitment, leafHash } from "./hashes.js";
import { isObject, type JsonObject } from "./keywords.js";
import { encode } from "./leaf.js";
import { NotALeaf } from "./not-a-leaf.js";
import { MAX_U64 } from "./rules.js";

/** The disclosed texts: key of the text, of its salt, and of the leaf's commitment to it. */
const TEXTS = [
  ["purpose", "purpose_salt", "purpose_commitment"],
  // `reason` is the leaf's own reason code.
  ["reason_text", "reason_salt", "reason_commitment"],
  ["identity", "identity_salt", "identity_commitment"],
  // `context` is the leaf's own list of recorded attributes.
  ["context_text", "context_salt", "context_commitment"],
  ["on_behalf_of", "on_behalf_of_salt", "on_behalf_of_commitment"],
] as const;

/**
 * The bytes of the leaf of an exported event, as `JSON.parse` reads one line of an export.
 *
 * Throws `NotALeaf` where what is left without the keys around the leaf is no leaf, where its hash is not the event's
 * `leaf_hash`, and where a disclosed text is not the one that the leaf commits to.
 */
export function leafFromExport(event: Readonly<Record<string, unknown>>): Uint8Array {
  if (!isObject(event)) throw new NotALeaf("export", "one JSON object");
  const fields: JsonObject = { ...event };
  const openings = TEXTS.map(([text, salt, committed]) => ({ text, committed, opened: opening(fields, text, salt) }));
  const index = take(fields, "log_index");
  if (typeof index !== "string" || !/^(0|[1-9][0-9]{0,19})$/.test(index) || BigInt(index) > MAX_U64) {
    throw new NotALeaf("log_index", "a 64-bit integer as a string of decimal digits");
  }
  const stated = take(fields, "leaf_hash");
  const data = encode(fields);
  if (stated !== leafHash(data)) throw new NotALeaf("leaf_hash", "the hash of this leaf");
  for (const { text, committed, opened } of openings) {
    if (opened !== undefined && opened !== fields[committed]) {
      throw new NotALeaf(text, "the text that the leaf commits to");
    }
  }
  return data;
}

/** Takes a text and its salt out of `fields` and gives their commitment; nothing where neither is there. */
function opening(fields: JsonObject, textKey: string, saltKey: string): string | undefined {
  if (!Object.hasOwn(fields, textKey) && !Object.hasOwn(fields, saltKey)) return undefined;
  const text = take(fields, textKey);
  const salt = take(fields, saltKey);
  if (typeof text !== "string" || typeof salt !== "string") {
    throw new NotALeaf(textKey, "a string, with its salt beside it");
  }
  if (!/^[0-9a-f]{32}$/.test(salt)) throw new NotALeaf(saltKey, "32 lower-case hexadecimal digits");
  try {
    return commitment(Buffer.from(salt, "hex"), text);
  } catch (error) {
    throw error instanceof NotALeaf ? new NotALeaf(textKey, error.wanted) : error;
  }
}

function take(fields: JsonObject, key: string): unknown {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  delete fields[key];
  return value;
}
