// The verifier of the HTML view, as the page has it, without the page.
import { readFileSync } from "node:fs";

const read = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url));
const part = (name) => read(`server/src/custody/evidence_view/${name}`).toString();
const script = `"use strict"; const FORMS = ${part("forms.json")};\n${part("read.js")}\n${part("verify.js")}`;

export const { verify, readLeaf, Refusal } = new Function(`${script}\nreturn { verify, readLeaf, Refusal };`)();
export const vectors = (name) => new Uint8Array(read(`clients/conformance/${name}`));
export const json = (name) => JSON.parse(Buffer.from(vectors(name)));
