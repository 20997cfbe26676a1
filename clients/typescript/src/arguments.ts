/**
 * Canonical arguments: what a `requestHash` is the hash of (docs/verification.md).
 *
 * The arguments of a call are one JSON object, and their bytes are its RFC 8785 form, so that every language hashes the
 * same. A value that JSON cannot hold, or that another parser could read differently, is refused before anything is
 * sent. Nothing is ever coerced: not a `Date` to a string, not a `Map` to `{}`.
 */
import { createHash } from "node:crypto";

import canonicalize from "canonicalize";

/** Deepest nesting: an object that holds only scalars has depth 1. */
const MAX_DEPTH = 64;
/** Most bytes of the canonical form. */
const MAX_BYTES = 1 << 20;

/** The arguments have no canonical form. This is no denial: nothing was asked, and the call must not be made. */
export class UnhashableArguments extends Error {
  override readonly name = "UnhashableArguments";

  constructor(
    /** Where: `items[2].amount`. Empty: the arguments as a whole. */
    readonly path: string,
    /** What is wrong there. */
    readonly why: string,
  ) {
    super(path === "" ? why : `${path}: ${why}`);
  }
}

/**
 * The RFC 8785 form of `args`, a plain object of strings, finite numbers, booleans, null, arrays and plain objects.
 * Members that are `undefined` are absent. Throws `UnhashableArguments` where there is no such form.
 */
export function canonicalArguments(args: object): Uint8Array {
  if (!isPlain(args)) throw new UnhashableArguments("", `arguments are one plain object, not ${name(args)}`);
  const form = new TextEncoder().encode(canonicalize(copy(args, "", 1)));
  if (form.length > MAX_BYTES) throw new UnhashableArguments("", "they are longer than 1 MiB in canonical form");
  return form;
}

/** SHA-256 of the canonical form: what `DecideRequest.requestHash` takes. Throws `UnhashableArguments`. */
export function requestHash(args: object): Uint8Array {
  return new Uint8Array(createHash("sha256").update(canonicalArguments(args)).digest());
}

/** A copy that holds nothing but JSON: what is checked is what is hashed, whatever getters say a second time. */
function copy(value: unknown, path: string, depth: number): unknown {
  switch (typeof value) {
    case "boolean":
      return value;
    case "string":
      return text(value, path);
    case "number":
      return number(value, path);
    case "object":
      if (value === null) return value;
      if (depth > MAX_DEPTH) {
        throw new UnhashableArguments(path, `it is nested deeper than ${MAX_DEPTH}, or within itself`);
      }
      if (Array.isArray(value)) return items(value, path, depth);
      if (isPlain(value)) return members(value, path, depth);
  }
  throw new UnhashableArguments(path, `${name(value)} is not a JSON value; convert it yourself`);
}

function items(array: unknown[], path: string, depth: number): unknown[] {
  if (Object.getPrototypeOf(array) !== Array.prototype || Reflect.ownKeys(array).length !== array.length + 1) {
    throw new UnhashableArguments(path, "it is an array with holes, or with members beside its items");
  }
  return array.map((item, nth) => copy(item, `${path}[${nth}]`, depth + 1));
}

function members(object: object, path: string, depth: number): object {
  const copied: object = Object.create(null);
  for (const key of Reflect.ownKeys(object)) {
    if (typeof key === "symbol") throw new UnhashableArguments(path, "a key is a symbol; JSON has strings only");
    const below = path === "" ? key : `${path}.${key}`;
    if (!Object.prototype.propertyIsEnumerable.call(object, key)) {
      throw new UnhashableArguments(below, "it is a member that is not enumerable, which would be left out");
    }
    text(key, path);
    const member: unknown = Reflect.get(object, key);
    if (member === undefined) continue;
    const value = copy(member, below, depth + 1);
    Object.defineProperty(copied, key, { value, enumerable: true });
  }
  return copied;
}

function number(value: number, path: string): number {
  if (!Number.isFinite(value)) throw new UnhashableArguments(path, "it is not a finite number");
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new UnhashableArguments(path, "it is a number beyond 2^53-1, which other parsers round; send it as a string");
  }
  return value;
}

function text(value: string, path: string): string {
  // With the flag u a surrogate matches only where it has no other half.
  if (/\p{Surrogate}/u.test(value)) {
    throw new UnhashableArguments(path, "it holds half of a surrogate pair, which is no text");
  }
  return value;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function name(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : `a ${typeof value}`;
  return Array.isArray(value) ? "an array" : `a ${value.constructor?.name ?? "class instance"}`;
}
