// Draws the bundle of this page, and says what its check found. Every text of the bundle becomes a text node: none is
// ever read as HTML.

const byId = (id) => document.getElementById(id);
// Control characters, and those that are invisible or turn the direction of writing, would hide what a text says.
const visible = (value) =>
  String(value).replace(
    /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu,
    (char) => `[U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
  );
const element = (tag, classes, ...children) => {
  const made = Object.assign(document.createElement(tag), { className: classes });
  made.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
};
const put = (id, ...children) =>
  byId(id).replaceChildren(
    ...children.map((child) => (child instanceof Node ? child : document.createTextNode(visible(child)))),
  );
const link = (index) => Object.assign(element("a", "id", `#${index}`), { href: `#entry-${index}` });
const instant = (time) => String(time).replace(/^([^T]{10})T(.{8})(?:\.0{6}|(\.\d{6}))Z$/, "$1 $2$3");

const member = (leaf, path) => path.split(".").reduce((of, name) => of?.[name] ?? undefined, leaf);
// A value in words: lists with commas, the members of a part with their names.
function words(value) {
  if (Array.isArray(value)) return value.map(words).join(typeof value[0] === "object" ? "; " : ", ");
  if (typeof value !== "object" || value === null)
    return /^.{10}T.{15}Z$/.test(value) ? `${instant(value)} UTC` : String(value);
  // A figure.
  if (Object.keys(value).join() === "name,value") return `${words(value.name)} ${words(value.value)}`;
  return Object.entries(value)
    .map(([name, inner]) => `${name} ${words(inner)}`)
    .join(", ");
}

// The sentence of forms.json for the kind of a leaf, and which members it used. "[...]" is left out where it lacks one.
function sentence(leaf) {
  const used = new Set(["kind", "schema", "received_time", "timestamp"]);
  const fill = (text) =>
    text.replace(/\{([\w.]+)\}/g, (_, path) => {
      used.add(path);
      const value = member(leaf, path);
      return value === undefined ? "(not stated)" : words(value);
    });
  const known = Object.hasOwn(FORMS.kinds, leaf.kind)
    ? FORMS.kinds[leaf.kind].says
    : `An entry of the unknown kind ${leaf.kind}.`;
  const lacks = (text) => [...text.matchAll(/\{([\w.]+)\}/g)].some(([, path]) => member(leaf, path) === undefined);
  return [fill(known.replace(/\[([^\]]*)\]/g, (_, text) => (lacks(text) ? "" : text))), used];
}

// Everything that a leaf states beside its sentence.
function others(leaf, used) {
  const lines = leaf.timestamp === leaf.received_time ? [] : [`happened at ${words(leaf.timestamp)}`];
  for (const [name, value] of Object.entries(leaf).filter(([member]) => !used.has(member))) {
    const isPart = typeof value === "object" && value !== null && !Array.isArray(value);
    const rest = isPart
      ? Object.fromEntries(Object.entries(value).filter(([inner]) => !used.has(`${name}.${inner}`)))
      : value;
    if (!isPart || Object.keys(rest).length > 0) lines.push(`${name}: ${words(rest)}`);
  }
  return lines.map((line) => element("div", "", line));
}

const LABELS = {
  purpose: "Purpose",
  reason_text: "Reason",
  identity: "Identity",
  context_text: "What was shown (attributes of the call)",
  on_behalf_of: "On behalf of",
};
// The texts of an event in the order of LABELS; `said` is undefined where one is not here.
const textsOf = ({ leaf, disclosed }) =>
  Object.entries(TEXTS)
    .filter(([, commitment]) => leaf[commitment] !== undefined)
    .map(([name]) => ({ label: LABELS[name], said: disclosed.find((text) => text.name === name)?.text }));
const MISSING = "erased or withheld";

// One event in the tree: its sentence, and its texts, shortened.
function line(event) {
  const [said] = sentence(event.leaf);
  const made = element("div", "line", link(event.index), ` ${instant(event.leaf.received_time)} `);
  made.append(element("span", String(event.leaf.effect ?? "").replace(/[^A-Z_]/g, ""), said));
  for (const { label, said: text } of textsOf(event)) {
    const short =
      text !== undefined && [...text].length > 300 ? `${[...text].slice(0, 300).join("")} … (shortened)` : text;
    const shown = short === undefined ? element("span", "missing", MISSING) : element("span", "said", short);
    made.append(element("div", "", element("span", "label", `${label}: `), shown));
  }
  return made;
}

// The tree: sponsors, below them instances by who started them, below these calls, with what belongs to each. Events
// come in the order of the log, so what an event belongs to is there before it.
function drawTree(events) {
  const lists = new Map();
  const add = (list, ...content) => {
    const item = element("li", "", ...content);
    list.append(item);
    return item;
  };
  const below = (key, parent, title) => {
    if (!lists.has(key)) {
      const list = element("ul", "");
      add(parent, ...title, list);
      lists.set(key, list);
    }
    return lists.get(key);
  };
  const top = byId("tree");
  const sponsor = (id) => below(`sponsor ${id}`, top, [element("span", "label", `Sponsor ${id ?? "(not stated)"}`)]);
  const instance = (leaf) => {
    const id = leaf.agent_instance_id;
    const parent = lists.get(`instance ${leaf.parent_agent_id}`) ?? sponsor(leaf.sponsor_id);
    const agent = leaf.grant?.agent === undefined ? "" : `, agent ${leaf.grant.agent}, role ${leaf.grant.role}`;
    return below(`instance ${id}`, parent, [element("span", "label", `Instance ${id}${agent}`)]);
  };
  const rest = [];
  for (const event of events) {
    const { leaf } = event;
    const call = lists.get(`decision ${leaf.policy_decision_id}`);
    if (leaf.kind === "decision") {
      const list = element("ul", "");
      add(instance(leaf), line(event), list);
      lists.set(`decision ${leaf.policy_decision_id}`, list);
    } else if (call && (leaf.kind === "tool_call" || String(leaf.kind).startsWith("approval_"))) {
      add(call, line(event));
    } else if (leaf.agent_instance_id !== undefined) {
      add(instance(leaf), line(event));
    } else if (leaf.sponsor_id !== undefined) {
      add(sponsor(leaf.sponsor_id), line(event));
    } else {
      rest.push(event);
    }
  }
  if (rest.length > 0)
    add(below("rest", top, [element("span", "label", "Entries of the log itself, of no sponsor")]), ...rest.map(line));
}

function drawFacts(bundle, events, found) {
  const facts = [];
  const fact = (name, value) => facts.push(element("dt", "", name), element("dd", "", value));
  const times = events.map(({ leaf }) => String(leaf.received_time)).sort();
  const kinds = {};
  for (const { leaf } of events) kinds[leaf.kind] = (kinds[leaf.kind] ?? 0) + 1;
  const { chain, sponsor } = bundle.selection ?? {};
  fact("Log", bundle.origin);
  if (chain) fact("Selection", `The chain of custody of ${chain.id}, ${chain.count} entries`);
  if (sponsor) {
    fact(
      "Selection",
      `All that the sponsor ${sponsor.sponsor_id} answered for from ${words(sponsor.from)} until before ` +
        `${words(sponsor.to)}; number of decisions: ${sponsor.count}`,
    );
  }
  fact(
    "Entries",
    `${events.length}: ${Object.entries(kinds)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(", ")}`,
  );
  fact(
    "Received",
    `${instant(times[0])} to ${instant(times.at(-1))} UTC; log indexes ${events[0]?.index} to ${events.at(-1)?.index}`,
  );
  if (found) {
    fact("Checkpoint", `The log had ${found.size} entries; the hash over all of them is ${found.root}`);
    const grown = `The log had ${found.earlierSize} entries then, and has only grown since`;
    fact("Earlier checkpoint", found.earlierSize === undefined ? "none in the file" : grown);
    fact("Cosignatures of witnesses", `${found.cosignatures}, not checked`);
    fact("Texts", `${found.disclosed} disclosed, ${found.undisclosed} erased or withheld`);
    fact("Policy documents", `${(bundle.policies ?? []).length}`);
    fact(
      "Signing keys missing",
      found.keysMissing.join(", ") || (bundle.signing_keys ? "none" : "the file has no key set"),
    );
    fact("Earlier entries that an ALLOW counted on and that are not here", `${found.groundsMissing}`);
  }
  const whole = found?.completeness;
  if (whole) {
    fact(
      "Completeness",
      `Entries of the sponsor from index ${whole.first} to ${whole.last}: ${whole.events}, as many as the ` +
        `log's manifests count (number of manifests: ${whole.manifests}); ` +
        `decisions in the time asked for: ${whole.decisions}`,
    );
    fact("Reports that never came", `${whole.missingReports}, over all reporters in that range`);
    fact("Calls without an outcome", `${whole.openDecisions}, when the last manifest was made, over the whole log`);
  }
  put("facts", ...facts);
}

function draw(bundle, events, found) {
  for (const id of ["tree", "entries", "texts", "policies", "checkpoints"]) put(id);
  put("key", bundle.log_key);
  drawFacts(bundle, events, found);
  drawTree(events);
  for (const event of events) {
    const [said, used] = sentence(event.leaf);
    const cells = [[event.index], [instant(event.leaf.received_time)], [said], others(event.leaf, used)];
    const row = element("tr", "", ...cells.map((cell) => element("td", "", ...cell)));
    row.id = `entry-${event.index}`;
    byId("entries").append(row);
    for (const { label, said: text } of textsOf(event)) {
      const shown = text === undefined ? element("p", "missing", MISSING) : element("pre", "", text);
      byId("texts").append(element("h3", "", `${label}, entry `, link(event.index)), shown);
    }
  }
  if (!byId("texts").firstChild) put("texts", "No entry of the file commits to a text.");
  for (const { hash, document: rules, cedar } of bundle.policies ?? []) {
    const versions = events.filter(({ leaf }) => leaf.policy_hash === hash).map(({ leaf }) => leaf.policy_version);
    const title = `Policy ${[...new Set(versions)].filter(Boolean).join(", ")}`;
    byId("policies").append(element("h3", "", title), element("p", "id", `SHA-256 ${hash}`), element("pre", "", rules));
    if (cedar !== "")
      byId("policies").append(element("h4", "", "In Cedar, beside the document"), element("pre", "", cedar));
  }
  if (!byId("policies").firstChild) put("policies", "No entry of the file names a policy document.");
  byId("checkpoints").append(element("pre", "", bundle.checkpoint));
  if (bundle.earlier)
    byId("checkpoints").append(element("h3", "", "The earlier one"), element("pre", "", bundle.earlier.checkpoint));
}

// What can be read of a bundle that does not hold, or that could not be checked.
function readUnproven(bytes) {
  const bundle = JSON.parse(new TextDecoder().decode(bytes));
  return [bundle, bundle.events.map(({ log_index: index, leaf }) => ({ index, leaf: JSON.parse(leaf) }))];
}

function show(state, strong, rest) {
  document.body.dataset.state = state;
  put("verdict", element("strong", "", strong), ` ${rest}`);
  // On top of every printed page. `strong` is always a text of ours.
  const { sheet } = document.querySelector("style");
  sheet.insertRule(`@page { @top-left { content: "${strong}"; font-size: 8pt; } }`, sheet.cssRules.length);
}

let latest = 0;
async function run(bytes, pasted) {
  const mine = (latest += 1);
  const key = pasted === "" ? undefined : pasted;
  const current = () => mine === latest;
  show("unchecked", "Not checked.", "The check is running.");
  let [outcome, bundle, events, found] = [];
  try {
    // A browser without Ed25519 must not look like a signature that does not hold.
    await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
    try {
      const fault =
        key &&
        (await readKey(key).then(
          () => undefined,
          (error) => error.message,
        ));
      if (fault) throw new Refusal("The key that was pasted", fault);
      const report = (at, all) => current() && put("extent", `Checking entry ${at} of ${all}.`);
      found = await verify(bytes, { key }, report);
      ({ bundle, events } = found);
      outcome = [
        "holds",
        "Everything that was checked holds.",
        key
          ? `It was checked against the key that you gave, ${key}.`
          : `It was checked against the key that the file names, ${bundle.log_key}; ` +
            "whether that is the log's key was not compared.",
      ];
    } catch (error) {
      outcome = ["refused", "This does not hold:", `${error.message}. Do not rely on what this page shows.`];
      if (!(error instanceof Refusal)) outcome[1] = "The check failed:";
    }
  } catch {
    outcome = [
      "unchecked",
      "Not checked.",
      "This browser cannot check Ed25519 signatures. Nothing that this page shows was " +
        "checked. Open it in a newer browser, or use: countersign evidence verify FILE",
    ];
  }
  if (!current()) return;
  show(...outcome);
  put(
    "compared",
    key
      ? found
        ? "Compared: it is the key of this file."
        : `Not found to be the key of this file: ${key}`
      : "Not compared: no key was given.",
  );
  put(
    "extent",
    {
      holds: "All of this was checked, in this order, and holds.",
      unchecked: "Nothing of this was checked.",
      refused:
        "The check stopped at the first thing that does not hold, which is named above. " +
        "What follows it was not checked.",
    }[outcome[0]],
  );
  try {
    if (!found) [bundle, events] = readUnproven(bytes);
    const texts = bundle.events.map(({ disclosed }) => disclosed ?? []);
    draw(
      bundle,
      events.map((event, nth) => ({ ...event, disclosed: texts[nth] })),
      found,
    );
  } catch {
    for (const id of ["facts", "tree", "entries", "texts", "policies", "checkpoints"]) put(id, "It cannot be read.");
  }
  document.body.dataset.done = mine;
}

function start() {
  let bytes = new Uint8Array();
  try {
    bytes = unbase64(byId("bundle").textContent);
  } catch {
    // An empty bundle is refused, with its reason.
  }
  byId("save").href = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
  byId("expected").addEventListener("change", ({ target }) => run(bytes, target.value.trim()));
  run(bytes, "");
}
start();
