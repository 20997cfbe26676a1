// Reads leaves and bundles as strictly as the server does (docs/custody-leaf.md, docs/proofs.md), by the tables in
// forms.json: members in the order in which they are hashed, the form of each value, what each kind of event states.

const need = (holds, what) => { if (!holds) throw new Error(what); };
const matches = (value, pattern) => typeof value === "string" && pattern.test(value);
const isDecimal = (value) => matches(value, /^(0|[1-9][0-9]{0,19})$/) && BigInt(value) < 1n << 64n;
const isTime = (value) => {
  if (!matches(value, /^(19[7-9]|[2-9][0-9]{2})[0-9]-.{5}T.{8}\.[0-9]{6}Z$/)) return false;
  // Writing it again checks the days of the month, and leap seconds.
  const time = new Date(`${value.slice(0, 19)}Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 19) === value.slice(0, 19);
};
const upTo = (most) => (value) => Number.isInteger(value) && value >= 0 && value <= most;
const TYPES = {
  decimal: isDecimal, time: isTime, flag: (value) => typeof value === "boolean",
  u8: upTo(255), u16: upTo(65535), u32: upTo(4294967295),
  hash: (value) => matches(value, /^[0-9a-f]{64}$/),
  kind: (value) => typeof value === "string" && Object.hasOwn(FORMS.kinds, value),
  trace: (value) => matches(value, /^(?!0+$)[0-9a-f]{32}$/), span: (value) => matches(value, /^(?!0+$)[0-9a-f]{16}$/),
  ...Object.fromEntries(Object.entries(FORMS.words).map(([type, words]) => [type, (value) => words.includes(value)])),
};
const SHAPES = Object.fromEntries(
  Object.entries(FORMS.shapes).map(([type, [pattern, wanted]]) => [type, { pattern: new RegExp(pattern), wanted }]));
// A member is "name:type", with "!" for ":" where it is required, and "*" behind the type of a list's entries.
const PARTS = Object.fromEntries(Object.entries(FORMS.parts).map(([part, members]) => [part, members.map((member) => {
  const [, name, sign, type, star] = /^(\w+)([:!])(\w+)(\*?)$/.exec(member);
  return { name, type, required: sign === "!", list: star === "*" };
})]));

// Why a value is not of its type; `member` is where.
class Malformed extends Error {
  constructor(member, missing) {
    super("an unknown, repeated or missing member, a value of the wrong type, or an unknown word");
    Object.assign(this, { member, missing });
  }
}

// A value of a type, its members in order. What only has a wrong form is added to `faults`, because whether it is of
// its type comes first.
function readPart(type, value, path, faults) {
  const good = (fits) => { if (!fits) throw new Malformed(path); };
  if (Object.hasOwn(SHAPES, type)) {
    // Half a surrogate pair cannot be written as UTF-8.
    good(typeof value === "string" && value.isWellFormed());
    if (!SHAPES[type].pattern.test(value)) faults.push(`${path} must be ${SHAPES[type].wanted}`);
    return value;
  }
  if (!Object.hasOwn(PARTS, type)) return good(TYPES[type](value)), value;
  good(typeof value === "object" && value !== null && !Array.isArray(value));
  const at = (name) => (path === "" ? name : `${path}.${name}`);
  const unknown = Object.keys(value).find((name) => !PARTS[type].some((member) => member.name === name));
  if (unknown !== undefined) throw new Malformed(at(unknown));
  const read = {};
  for (const { name, type: inner, required, list } of PARTS[type]) {
    const found = Object.hasOwn(value, name) ? value[name] : undefined;
    if (found === undefined && required) throw new Malformed(path, name);
    if (list && found !== undefined) {
      if (!Array.isArray(found)) throw new Malformed(at(name));
      const entries = found.map((entry, nth) => readPart(inner, entry, `${at(name)}[${nth}]`, faults));
      if (Object.hasOwn(FORMS.lists, name)) checkList(at(name), entries, FORMS.lists[name], faults);
      // An optional list that is empty, and an optional value that is null, are written as no member.
      if (required || entries.length > 0) read[name] = entries;
    } else if (found !== undefined && (found !== null || required)) {
      read[name] = readPart(inner, found, at(name), faults);
    }
  }
  checkPart(type, read, (fits, field, wanted) => fits || faults.push(`${field} must be ${wanted}`));
  return read;
}

function checkList(where, entries, [keys, most], faults) {
  if (most !== null && entries.length > most) faults.push(`${where} must be a list of at most ${most} entries`);
  const keyOf = (entry) => (keys.length === 0 ? entry : keys.map((key) => entry[key] ?? "").join("\0"));
  const sorted = entries.every((entry, nth) => nth === 0 || keyOf(entries[nth - 1]) < keyOf(entry));
  if (!sorted) faults.push(`${where} must be sorted, and name each once`);
}

// Rules about several members of a part, and about a value whose form depends on another.
function checkPart(type, read, ensure) {
  if (type === "change") ensure(read.after ?? read.before, "changes", "entries with a value before, after or both");
  if (type === "leaf") ensure(!read.trace_id === !read.span_id, "trace_id", "stated together with span_id");
  if (type === "rollout") {
    ensure((read.bucket ?? 0) < 10000, "rollout.bucket", "0 to 9999");
    for (const name of ["percent", "percent_before"]) ensure((read[name] ?? 0) <= 100, `rollout.${name}`, "0 to 100");
  }
  if (type === "attribute") {
    const integer = (text) => /^(0|-?[1-9][0-9]{0,18})$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
    const [fits, wanted] = {
      boolean: [/^(true|false)$/.test(read.value), "true or false"],
      integer: [integer(read.value), "a signed 64-bit integer as a string of decimal digits"],
      word: [SHAPES.token.pattern.test(read.value), SHAPES.token.wanted],
    }[read.type];
    ensure(fits, "context.value", wanted);
  }
}

// The members of the leaf whose bytes are the UTF-8 of `leaf`. Throws an Error with the refusal's words if it is none.
function readLeaf(leaf) {
  const no = (why) => need(false, `not a countersign.custody.v1 leaf: ${why}`);
  const { length } = new TextEncoder().encode(leaf);
  need(length <= 16384, `a leaf is at most 16384 bytes, not ${length}`);
  const faults = [];
  let read;
  try {
    read = readPart("leaf", JSON.parse(leaf), "", faults);
  } catch (error) {
    if (!(error instanceof Malformed)) no("no JSON");
    if (error.missing) no(`missing field \`${error.missing}\``);
    no("an unknown field, a value of the wrong type, or an unknown word");
  }
  // A form is the same for every entry of a list.
  need(faults.length === 0, faults[0]?.replace(/\[\d+\]/g, ""));
  // An event without a rollout lacks that, and not a member of it.
  const lacks = (path) => path.split(".").reduce((of, name) => of?.[name], read) === undefined;
  const { states } = FORMS.kinds[read.kind];
  const missing = states.find((path) => lacks(path) && !(path.includes(".") && lacks(path.split(".")[0])));
  need(missing === undefined, `a ${read.kind} event must state ${missing}`);
  // What the parser smoothed over shows here: a member twice, members out of order, 1e0 for 1.
  need(JSON.stringify(read) === leaf, "the leaf is not in its canonical form");
  return read;
}
