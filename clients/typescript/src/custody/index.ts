/**
 * Reads the leaves of the custody log, byte for byte (docs/custody-leaf.md), offline.
 *
 * `readLeaf` reads the bytes of a leaf, `leafFromExport` gives the bytes of an exported event back and checks its hash
 * and its disclosed texts, `leafHash` and `commitment` are the two hashes of the format. What is no leaf is refused
 * with `NotALeaf`.
 */
export { leafFromExport } from "./export.js";
export { commitment, leafHash } from "./hashes.js";
export { type Leaf, readLeaf } from "./leaf.js";
export { NotALeaf } from "./not-a-leaf.js";
