// The bundles of clients/conformance/evidence-refused.json, made from the one that holds.
import { createHash } from "node:crypto";

import { json, vectors } from "./verifier.mjs";

const text = Buffer.from(vectors("evidence.json")).toString();

/** The file of a bundle, with a hash at its end that fits. */
export function seal({ sha256: _, ...bundle }) {
  const body = JSON.stringify(bundle).slice(0, -1);
  return Buffer.from(`${body},"sha256":"${createHash("sha256").update(body).digest("hex")}"}\n`);
}

/** The part of `bundle` that holds the member of a JSON pointer, and the member. */
function find(bundle, pointer) {
  const names = pointer.split("/").slice(1);
  return [names.slice(0, -1).reduce((of, name) => of[name], bundle), names.at(-1)];
}

function edited({ text: words, sealed, remove = [], set = {} }) {
  const bytes = words ? text.replace(words[0], () => words[1]) : text;
  if (!sealed) return Buffer.from(bytes);
  const bundle = JSON.parse(bytes);
  for (const [of, name] of remove.map((pointer) => find(bundle, pointer))) {
    if (Array.isArray(of)) of.splice(name, 1);
    else delete of[name];
  }
  for (const [pointer, value] of Object.entries(set)) {
    const [of, name] = find(bundle, pointer);
    of[name] = value;
  }
  return seal(bundle);
}

/** Each case: its name, the file, and how it is refused. */
export const forgeries = () =>
  json("evidence-refused.json").cases.map((one) => ({ name: one.name, bytes: edited(one), refused: one.refused }));
