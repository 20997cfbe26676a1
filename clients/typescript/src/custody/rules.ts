/** What a leaf must be beyond its schema, because JSON Schema cannot say it. By the name of the definition. */
import type { Check, JsonObject } from "./keywords.js";

export const MAX_U64 = 2n ** 64n - 1n;
const MIN_I64 = -(2n ** 63n);
const MAX_I64 = 2n ** 63n - 1n;

/** Checks of a value that fits its definition already. */
export const each: Readonly<Record<string, Check>> = {
  attribute: (value, path) => {
    const attribute = value as JsonObject;
    const wanted = "a signed 64-bit integer as a string of decimal digits";
    return attribute.type === "integer" && !within(attribute.value, MIN_I64, MAX_I64)
      ? { field: `${path}.value`, wanted }
      : undefined;
  },
  decimal: (value, path) => (within(value, 0n, MAX_U64) ? undefined : { field: path, wanted: `at most ${MAX_U64}` }),
  time: (value, path) => {
    // The schema leaves the days past the end of a month: 2026-02-30.
    const [year, month, day] = (value as string).slice(0, 10).split("-").map(Number) as [number, number, number];
    const last = new Date(Date.UTC(year, month, 0)).getUTCDate();
    return day <= last ? undefined : { field: path, wanted: "a day that exists" };
  },
};

/**
 * What lists of a definition are sorted by, each once. The only list of hashes is `grounds`. Every string that fits
 * its definition is ASCII, so JavaScript's order of UTF-16 is the order of the bytes.
 */
export const order: Readonly<Record<string, readonly string[]>> = {
  attribute: ["name"],
  change: ["field"],
  charge: ["meter", "key"],
  count: ["kind", "sponsor_id", "tool_id"],
  emitter: ["emitter_id"],
  figure: ["name"],
  hash: [],
};

function within(digits: unknown, least: bigint, most: bigint): boolean {
  const value = BigInt(digits as string);
  return value >= least && value <= most;
}
