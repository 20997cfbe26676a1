import { createHash } from "node:crypto";

import { NotALeaf } from "./not-a-leaf.js";

/** Length of a salt, bytes. */
const SALT_BYTES = 16;

/** The leaf hash of RFC 6962: SHA-256(0x00 || data), 64 lower-case hexadecimal digits. */
export function leafHash(data: Uint8Array): string {
  return createHash("sha256").update(Uint8Array.of(0)).update(data).digest("hex");
}

/**
 * SHA-256(salt || text), 64 lower-case hexadecimal digits; `salt` is 16 bytes, `text` is hashed as UTF-8. Throws
 * `NotALeaf` where the salt has another length or the text holds half of a surrogate pair.
 */
export function commitment(salt: Uint8Array, text: string): string {
  if (salt.length !== SALT_BYTES) throw new NotALeaf("salt", `${SALT_BYTES} bytes`);
  // An encoder would write U+FFFD in its place, and two texts would have one commitment. With the flag u a surrogate
  // matches only where it has no other half.
  if (/\p{Surrogate}/u.test(text)) throw new NotALeaf("text", "text that UTF-8 can hold");
  return createHash("sha256").update(salt).update(text, "utf8").digest("hex");
}
