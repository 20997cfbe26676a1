// Checks an evidence bundle (docs/proofs.md), from the outside to the inside, and names the first thing that does not
// hold in the words of `countersign evidence verify`. Of the browser it trusts SHA-256, Ed25519 and P-256 of WebCrypto.

// The first thing that does not hold. `damaged`: the file's own hash does not fit either.
class Refusal extends Error {
  constructor(member, what, logIndex) {
    super();
    Object.assign(this, { member, what, logIndex, damaged: false });
  }

  get message() {
    const place = this.logIndex === undefined ? "" : ` (log index ${this.logIndex})`;
    return `${this.member}${place}: ${this.what}${this.damaged ? "; the file was changed after it was written" : ""}`;
  }
}

// hold(member)(condition, what) refuses what does not hold; holdEvent does so for a member of an event.
const hold = (member) => (holds, what) => { if (!holds) throw new Refusal(member, what); };
const holdEvent = ({ nth, index }, member) => (holds, what) => {
  if (!holds) throw new Refusal(`events[${nth}]${member}`, what, index);
};
// Does `work`; what it says against something is said against `member`.
const about = (member, work) => work().catch((error) => hold(member)(false, error.message));

const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const unbase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
// btoa writes the only spelling that a note may have.
const isBase64 = (text) => { try { return btoa(atob(text)) === text; } catch { return false; } };
async function sha256(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

const [SEAL, END] = [",\"sha256\":\"", "\"}\n"];
const MAX_BYTES = 67108864;
const MAX_SIZE = (1n << 63n) - 1n;
const MINUTE = 60000000n;

// Checks the file `bytes`. `expected.key` is the verifier key that the reader has from elsewhere, if there is one.
// Gives what was found, or throws a Refusal.
async function verify(bytes, expected = {}, progress = () => {}) {
  const holds = hold("file");
  holds(bytes.length <= MAX_BYTES, `a bundle is at most ${MAX_BYTES} bytes, not ${bytes.length}`);
  const [from, to] = [bytes.length - END.length - 64, bytes.length - END.length];
  const ascii = (start, end) => String.fromCharCode(...bytes.subarray(Math.max(start, 0), Math.max(end, 0)));
  const sealed = from >= SEAL.length && ascii(from - SEAL.length, from) === SEAL && ascii(to, bytes.length) === END;
  holds(sealed, "it does not end as a bundle ends: it is cut, or no bundle");
  const body = bytes.subarray(0, from - SEAL.length);
  const intact = hex(await sha256(body)) === ascii(from, to);
  try {
    const found = await check(readBundle(body), expected, progress);
    hold("sha256")(intact, "it is not the hash of what stands before it");
    return found;
  } catch (error) {
    throw error instanceof Refusal ? Object.assign(error, { damaged: !intact }) : error;
  }
}

function readBundle(body) {
  let [value, read] = [];
  try {
    value = JSON.parse(`${new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body)}}`);
  } catch {
    hold("file")(false, "no JSON");
  }
  try {
    read = readPart("bundle", value, "", []);
    if (Object.keys(read.selection).length !== 1) throw new Malformed("selection");
  } catch (error) {
    hold(error.member || "file")(!(error instanceof Malformed), error.message);
    throw error;
  }
  const again = utf8(JSON.stringify(read).slice(0, -1));
  const differs = again.findIndex((byte, nth) => byte !== body[nth]);
  const same = differs === -1 ? again.length : differs;
  hold("file")(same === body.length, `byte ${same + 1} is not as this form writes it`);
  return read;
}

async function check(bundle, expected, progress) {
  const key = await about("log_key", () => readKey(bundle.log_key));
  const wanted = expected.key ?? bundle.log_key;
  hold("log_key")(wanted === bundle.log_key, `the bundle is of the key ${bundle.log_key}, not of ${wanted}`);
  const open = (note) => openCheckpoint(note, key, bundle.origin);
  const { size, root, cosignatures } = await about("checkpoint", () => open(bundle.checkpoint));
  const { earlier } = bundle;
  const old = earlier && (await about("earlier.checkpoint", () => open(earlier.checkpoint)));
  const fault = old && (await consistency(old.size, old.root, size, root, earlier.proof));
  hold("earlier.proof")(!fault, `the log of the checkpoint does not continue that of the earlier one: ${fault}`);
  const events = await prove(bundle.events, size, root, progress);
  const texts = await checkTexts(bundle, events);
  const groundsMissing = checkReferences(events);
  const { chain, sponsor } = bundle.selection;
  const completeness = sponsor ? checkSponsor(sponsor, events) : checkChain(chain, events);
  await checkPolicies(bundle, events);
  const keysMissing = await checkKeys(bundle, events);
  const keyIsExpected = expected.key !== undefined;
  const earlierSize = old?.size;
  return { bundle, events, size, root, earlierSize, cosignatures, ...texts, groundsMissing, completeness, keysMissing,
    keyIsExpected };
}

const isName = (name) => name !== "" && !/[\p{White_Space}\x00-\x1f+]/u.test(name);

// A verifier key: `name+id+base64` (C2SP signed-note).
async function readKey(vkey) {
  const [, name, id, blob] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(vkey) ?? [];
  const form = "a verifier key is a name, 8 lower-case hexadecimal digits and base64, with plus signs between them";
  need(blob !== undefined && utf8(vkey).length <= 1024 && isBase64(blob), form);
  const bytes = unbase64(blob);
  need(bytes.length === 33 && bytes[0] === 1, "a verifier key must be of type 1 (Ed25519) and have 32 bytes");
  need(isName(name), "the name of a note's key is not empty and has no space, control character or plus sign");
  const hash = hex(await sha256(utf8(`${name}\n`), bytes));
  need(hash.slice(0, 8) === id, "the id of the verifier key is not the hash of its name and its public key");
  return { name, id, key: await crypto.subtle.importKey("raw", bytes.slice(1), "Ed25519", false, ["verify"]) };
}

// Reads a signed note, and checks the signature of `key` over its text.
async function openNote(note, { name, id, key }) {
  const bytes = utf8(note);
  need(bytes.length <= 65536, `a signed note is at most 65536 bytes, not ${bytes.length}`);
  const control = bytes.findIndex((byte) => byte < 0x20 && byte !== 0x0a);
  need(control === -1, `a signed note has no control character other than a line feed, and byte ${control} is one`);
  const end = note.lastIndexOf("\n\n") + 1;
  const form = "a signed note is a text, an empty line, and signature lines, each with a line feed at its end";
  need(end > 0 && note.length > end + 1 && note.endsWith("\n"), form);
  const signatures = note.slice(end + 1, -1).split("\n").map((line, nth) => {
    need(nth < 16, "a signed note has at most 16 signatures");
    const [, signer, blob] = /^\u2014 ([^ ]*) (.*)$/.exec(line) ?? [];
    const fits = blob !== undefined && isName(signer) && isBase64(blob) && atob(blob).length > 4;
    need(fits, `signature line ${nth + 1} is not an em dash, a key name and the base64 of a key id and a signature`);
    return { signer, id: hex(unbase64(blob).slice(0, 4)), signature: unbase64(blob).slice(4) };
  });
  const ours = signatures.filter((line) => line.signer === name && line.id === id);
  const said = note.slice(0, end);
  for (const { signature } of ours) {
    const signed = await crypto.subtle.verify("Ed25519", key, signature, utf8(said));
    need(signed, `the signature of key ${name} (${id}) does not hold for this text`);
  }
  need(ours.length > 0, "no known key signed this note");
  // A line of that length has the form of a witness's cosignature: a time and a signature. They are not verified.
  const cosignatures = signatures.filter((line) => !ours.includes(line) && line.signature.length === 72);
  return { said, cosignatures: cosignatures.length };
}

async function openCheckpoint(note, key, origin) {
  const { said, cosignatures } = await openNote(note, key).catch((error) =>
    need(false, `the checkpoint is not a note of the expected key: ${error.message}`));
  const lines = said.slice(0, -1).split("\n");
  const form = "a checkpoint has an origin, a size and a root, and no line of it is empty";
  need(lines.length >= 3 && !lines.includes(""), form);
  const [found, digits, root] = lines;
  const number = `the size of a checkpoint is a decimal number without leading zeros, at most ${MAX_SIZE}`;
  need(isDecimal(digits) && BigInt(digits) <= MAX_SIZE, number);
  need(isBase64(root) && atob(root).length === 32, "the root of a checkpoint is the base64 of 32 bytes");
  const [size, hash] = [BigInt(digits), hex(unbase64(root))];
  const empty = "the root of an empty log is SHA-256 of nothing, and this checkpoint states another";
  need(size > 0n || hash === hex(await sha256()), empty);
  need(found === origin, `the checkpoint is of the log ${found}, not of ${origin}`);
  return { size, root: hash, cosignatures };
}

// Walks a proof of RFC 6962 from the node at `at` of a level whose last node is `last` up to the top. `hashes` are what
// is computed: to the left of a sibling only the first. Gives the hashes, or undefined if the proof has a wrong length.
async function walk(hashes, at, last, proof) {
  const node = (left, right) => sha256(Uint8Array.of(1), left, right);
  let walked = hashes;
  for (const sibling of proof.map(unhex)) {
    if (last === 0n) return undefined;
    if (at % 2n === 1n || at === last) {
      walked = await Promise.all(walked.map((hash) => node(sibling, hash)));
      // The right edge: levels at which this node has no sibling are not in the proof.
      while (at % 2n === 0n && at !== 0n) [at, last] = [at / 2n, last / 2n];
    } else {
      walked = [await node(walked[0], sibling), ...walked.slice(1)];
    }
    [at, last] = [at / 2n, last / 2n];
  }
  return last === 0n ? walked.map(hex) : undefined;
}

const settle = (complete, equal) =>
  (complete ? (equal ? undefined : "the proof leads to another root") : "the proof has the wrong number of hashes");

// Why the leaf is not at `index` of the log; undefined if it is.
async function inclusion(hash, index, size, proof, root) {
  if (index >= size) return `leaf ${index} is not in a log of ${size} leaves`;
  const walked = await walk([hash], index, size - 1n, proof);
  return settle(walked, walked?.[0] === root);
}

// Why the log of `to` leaves does not continue that of `from` leaves; undefined if it does.
async function consistency(from, fromRoot, to, toRoot, proof) {
  if (from > to) return `a log of ${from} leaves cannot have grown into one of ${to}`;
  if (from === 0n || from === to) return settle(proof.length === 0, from === 0n || fromRoot === toRoot);
  // A full old tree is a subtree of the new one: the walk starts at its root.
  const full = (from & (from - 1n)) === 0n;
  if (!full && proof.length === 0) return settle(false);
  const start = unhex(full ? fromRoot : proof[0]);
  let [at, last] = [from - 1n, to - 1n];
  while (at % 2n === 1n) [at, last] = [at / 2n, last / 2n];
  const walked = await walk([start, start], at, last, full ? proof : proof.slice(1));
  return settle(walked, walked?.[0] === toRoot && walked?.[1] === fromRoot);
}

// Each leaf is a leaf, and in the log at its index.
async function prove(events, size, root, progress) {
  const many = `a bundle has 1 to 100000 events, not ${events.length}`;
  hold("events")(events.length > 0 && events.length <= 100000, many);
  const one = async (event, nth) => {
    const place = { nth, index: BigInt(event.log_index) };
    const rises = nth === 0 || BigInt(events[nth - 1].log_index) < place.index;
    holdEvent(place, ".log_index")(rises, "it is not above the one before");
    let leaf;
    try {
      leaf = readLeaf(event.leaf);
    } catch (error) {
      holdEvent(place, ".leaf")(false, error.message);
    }
    const hash = await sha256(Uint8Array.of(0), utf8(event.leaf));
    const fault = await inclusion(hash, place.index, size, event.proof, root);
    holdEvent(place, ".proof")(!fault, `the leaf is not in the log of the checkpoint: ${fault}`);
    return { ...place, hash: hex(hash), leaf };
  };
  const proven = [];
  for (let from = 0; from < events.length; from += 200) {
    progress(from, events.length);
    const some = events.slice(from, from + 200).map((event, nth) => one(event, from + nth).catch((error) => error));
    proven.push(...(await Promise.all(some)));
    const refused = proven.slice(from).find((result) => result instanceof Error);
    if (refused) throw refused;
  }
  return proven;
}

const TEXTS = {
  purpose: "purpose_commitment", reason_text: "reason_commitment", identity: "identity_commitment",
  context_text: "context_commitment", on_behalf_of: "on_behalf_of_commitment",
};

// Every disclosed text opens a commitment of its leaf. Counts them, and the commitments without a text.
async function checkTexts(bundle, events) {
  let [disclosed, commitments] = [0, 0];
  for (const event of events) {
    commitments += Object.values(TEXTS).filter((commitment) => event.leaf[commitment]).length;
    let last = -1;
    for (const [which, { name, salt, text }] of (bundle.events[event.nth].disclosed ?? []).entries()) {
      const holds = holdEvent(event, `.disclosed[${which}]`);
      const place = Object.keys(TEXTS).indexOf(name);
      holds(place > last, "its name is not one of a text, or stands in the wrong place, or twice");
      const form = `${name.replace("_text", "")}_salt must be 32 lower-case hexadecimal digits`;
      holds(/^[0-9a-f]{32}$/.test(salt), form);
      const opens = hex(await sha256(unhex(salt), utf8(text))) === event.leaf[TEXTS[name]];
      holds(opens, `${name} is not the text that the leaf commits to`);
      last = place;
      disclosed += 1;
    }
  }
  return { disclosed, undisclosed: commitments - disclosed };
}

// What an event must be that a leaf names by its hash.
function checkReference(field, leaf, named) {
  const grants = ({ kind }) => ["credential_issued", "delegated", "instance_accepted"].includes(kind);
  const same = (id) => leaf[id] === undefined || leaf[id] === named[id];
  const own = grants(named) && leaf.agent_instance_id === named.agent_instance_id;
  if (field === "decision_ref") {
    return [named.kind === "decision" && same("policy_decision_id"), "the decision with its policy_decision_id"];
  }
  if (field === "approval_ref") {
    return [named.kind === "approval_approved" && same("approval_id"), "the approval with its approval_id"];
  }
  if (leaf.kind === "delegated") {
    const parent = grants(named) && leaf.parent_agent_id === named.agent_instance_id;
    const sameRoot = named.root_instance_id === undefined || leaf.root_instance_id === named.root_instance_id;
    return [parent && sameRoot, "a grant of its parent, with the same root"];
  }
  if (grants(leaf)) {
    return [named.kind.startsWith("sponsor_") && named.sponsor_id === leaf.sponsor_id, "an event of its sponsor"];
  }
  // Of the other kinds some name a grant and some an event of a sponsor.
  const free = !["decision", "tool_call", "svid_issued"].includes(leaf.kind);
  return [own || (free && (!grants(named) || leaf.agent_instance_id === undefined)), "a grant of its instance"];
}

// Checks every reference. Gives the number of grounds that are not here.
function checkReferences(events) {
  const byHash = new Map(events.map((event) => [event.hash, event]));
  for (const event of events) {
    const holds = holdEvent(event, ".leaf");
    for (const field of ["decision_ref", "approval_ref", "custody_ref"].filter((name) => event.leaf[name])) {
      const named = byHash.get(event.leaf[field]);
      holds(named, `the event that ${field} names is not in the bundle`);
      holds(named.index < event.index, `the event that ${field} names is not earlier in the log`);
      const [fits, wanted] = checkReference(field, event.leaf, named.leaf);
      holds(fits, `the event that ${field} names (log index ${named.index}) is not ${wanted}`);
    }
  }
  return events.flatMap(({ leaf }) => leaf.grounds ?? []).filter((ground) => !byHash.has(ground)).length;
}

function checkChain({ id, count }, events) {
  const says = `it says ${count} events, and the bundle has ${events.length}`;
  hold("selection.chain.count")(BigInt(count) === BigInt(events.length), says);
  const is = ({ leaf }) => [leaf.event_id, leaf.policy_decision_id, leaf.agent_instance_id].includes(id);
  hold("selection.chain.id")(events.some(is), "no event of the bundle has this id");
}

const figure = (leaf, name) => {
  const found = leaf.figures?.find((one) => one.name === name);
  return found && BigInt(found.value);
};
const sum = (numbers) => numbers.reduce((all, one) => all + BigInt(one), 0n);
const compare = (a, b) => (a < b ? -1 : Number(a > b));

// The manifests of the bundle in the order of their ranges, each put together from its parts.
function readManifests(events) {
  const ranges = new Map();
  for (const event of events.filter(({ leaf }) => leaf.kind === "manifest")) {
    const holds = holdEvent(event, ".leaf");
    const [first, last] = ["first_index", "last_index"].map((name) => {
      holds(figure(event.leaf, name) !== undefined, `a manifest must state ${name} in its figures`);
      return figure(event.leaf, name);
    });
    holds(first <= last, "a manifest's range ends before it begins, or behind the manifest itself");
    holds(last < event.index, "a manifest speaks of what is before it only");
    const range = `${first} to ${last}`;
    ranges.set(range, { first, last, range, parts: [...(ranges.get(range)?.parts ?? []), event] });
  }
  return [...ranges.values()].sort((a, b) => compare(a.first, b.first) || compare(a.last, b.last)).map(joinManifest);
}

function joinManifest({ first, last, range, parts }) {
  const holds = holdEvent(parts[0], ".leaf");
  const leaves = parts.map(({ leaf }) => leaf);
  leaves.sort((a, b) => compare(figure(a, "part") ?? 1n, figure(b, "part") ?? 1n));
  const [head] = leaves;
  const count = figure(head, "parts") ?? 1n;
  const lacking = leaves.findIndex((leaf, nth) => (figure(leaf, "part") ?? 1n) !== BigInt(nth + 1));
  const missing = lacking === -1 ? leaves.length + 1 : lacking + 1;
  const whole = lacking === -1 && BigInt(leaves.length) === count;
  holds(whole, `the manifest of ${range} has ${count} parts, and part ${missing} is missing or there twice`);
  const open = figure(head, "open_decisions");
  holds(open !== undefined, "a manifest must state open_decisions in its figures");
  const counts = leaves.flatMap((leaf) => leaf.counts ?? []);
  const adds = (fits, what) => holds(fits, `the counts of the manifest of ${range} do not add up to its ${what}`);
  adds(sum(counts.map((one) => one.count)) === last - first + 1n, "range");
  for (const kind of Object.keys(FORMS.kinds)) {
    const all = sum(counts.filter((one) => one.kind === kind).map((one) => one.count));
    adds(all === (figure(head, kind) ?? 0n), `figure ${kind}`);
  }
  // Until when it counts: its range was whole then, however much later it was appended.
  const [time] = leaves.map((leaf) => leaf.timestamp).sort();
  return { first, last, counts, open, time, emitters: leaves.flatMap((leaf) => leaf.emitters ?? []) };
}

const micros = (time) => BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26));

// The sponsor's events are counted, and compared with what the log's manifests count.
function checkSponsor(wanted, events) {
  const [whole, from, to, number] = ["", ".from", ".to", ".count"].map((member) => hold(`selection.sponsor${member}`));
  const [first, last] = [BigInt(wanted.first_index), BigInt(wanted.last_index)];
  whole(wanted.from < wanted.to && first <= last, "its times or its indexes are in the wrong order");
  const manifests = readManifests(events);
  const within = [];
  for (let next = first; next <= last; next = within.at(-1).last + 1n) {
    const found = manifests.find((one) => one.first === next && one.last <= last);
    whole(found, `no manifest of the bundle counts what is in the log from index ${next} on`);
    within.push(found);
  }
  // Servers' clocks differ, and an event waits a moment for its place: the manifests reach a minute further.
  const before = manifests.find((one) => one.last === first - 1n);
  const begins = first === 0n || (before && micros(before.time) + MINUTE <= micros(wanted.from));
  from(begins, `no manifest shows that index ${first} was not received before it`);
  const ends = micros(within.at(-1).time) - MINUTE >= micros(wanted.to);
  to(ends, "the last manifest counts until less than a minute after it, or until before it");
  // Of each kind and tool: how many events the manifests count, and how many are here.
  const counted = {};
  const add = (kind, tool, there, here) => {
    const slot = (counted[`${kind}\0${tool ?? ""}`] ??= { kind, tool, there: 0n, here: 0n });
    [slot.there, slot.here] = [slot.there + there, slot.here + here];
  };
  const counts = within.flatMap((manifest) => manifest.counts).filter((one) => one.sponsor_id === wanted.sponsor_id);
  for (const one of counts) add(one.kind, one.tool_id, BigInt(one.count), 0n);
  const isTheirs = ({ index, leaf }) => first <= index && index <= last && leaf.sponsor_id === wanted.sponsor_id;
  const theirs = events.filter(isTheirs);
  for (const { leaf } of theirs) add(leaf.kind, leaf.tool_id, 0n, 1n);
  for (const key of Object.keys(counted).sort()) {
    const { kind, tool, there, here } = counted[key];
    const events = `${there} ${kind} events of sponsor ${wanted.sponsor_id}${tool ? ` on tool ${tool}` : ""}`;
    const range = `from index ${first} to ${last}`;
    whole(there === here, `the manifests count ${events} ${range}, and the bundle has ${here}`);
  }
  const inTime = ({ leaf }) => wanted.from <= leaf.received_time && leaf.received_time < wanted.to;
  const decisions = theirs.filter((event) => event.leaf.kind === "decision" && inTime(event)).length;
  const says = `it says ${wanted.count} decisions, and the bundle has ${decisions}`;
  number(BigInt(decisions) === BigInt(wanted.count), says);
  const missingReports = sum(within.flatMap(({ emitters }) => emitters).map((emitter) => emitter.missing));
  const openDecisions = within.at(-1).open;
  return { first, last, manifests: within.length, events: theirs.length, decisions, missingReports, openDecisions };
}

// The documents are exactly those that the leaves name.
async function checkPolicies(bundle, events) {
  const policies = bundle.policies ?? [];
  hold("policies")(policies.length <= 1000, "a bundle has at most 1000 policies");
  // Before each text stands its length in bytes, as 64 bits.
  const measured = (text) => [unhex(utf8(text).length.toString(16).padStart(16, "0")), utf8(text)];
  const named = new Set(events.map(({ leaf }) => leaf.policy_hash));
  for (const [nth, { hash, document: rules, cedar }] of policies.entries()) {
    const holds = hold(`policies[${nth}]`);
    const found = hex(await sha256(...measured(rules), ...measured(cedar)));
    holds(found === hash, "the document is not what its hash is over");
    holds(named.has(hash), "no leaf names this document");
    holds(nth === 0 || policies[nth - 1].hash < hash, "it stands in the wrong place, or twice");
  }
  const here = new Set(policies.map(({ hash }) => hash));
  const lacks = events.find(({ leaf }) => leaf.policy_hash !== undefined && !here.has(leaf.policy_hash));
  if (lacks) holdEvent(lacks, ".leaf")(false, "the policy document that it names is not in the bundle");
}

// Reads the key set. Gives the ids of keys that grants name and that it lacks.
async function checkKeys(bundle, events) {
  if (bundle.signing_keys === undefined) return [];
  const known = new Set();
  await about("signing_keys", async () => {
    for (const jwk of JSON.parse(bundle.signing_keys).keys) {
      const { alg, crv, kid, kty, use, x, y } = jwk;
      // 32 bytes in base64url: the last character has two bits of zero.
      need([x, y].every((number) => matches(number, /^[\w-]{42}[AEIMQUYcgkosw048]$/)) && jwk.d === undefined);
      const members = JSON.stringify({ crv: "P-256", kty: "EC", x, y });
      const thumbprint = btoa(String.fromCharCode(...(await sha256(utf8(members)))));
      const id = thumbprint.replaceAll("+", "-").replaceAll("/", "_").replace("=", "");
      need(`${alg} ${crv} ${kty} ${use} ${kid}` === `ES256 P-256 EC sig ${id}`);
      // Refuses what is no point of the curve.
      await crypto.subtle.importKey("jwk", { crv, kty, x, y }, { name: "ECDSA", namedCurve: crv }, false, ["verify"]);
      known.add(kid);
    }
  }).catch(({ member }) =>
    hold(member)(false, "it is not a JWK set of P-256 keys, each with its thumbprint as its id"));
  const named = events.map(({ leaf }) => leaf.grant?.key_id).filter((kid) => kid !== undefined && !known.has(kid));
  return [...new Set(named)].sort();
}
