// Pages of `countersign evidence view`, opened in Chromium from file://. FOLDER has good.html, hostile.html and the
// texts of the latter.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { startChromium } from "./chromium.mjs";
import { forgeries } from "./forgeries.mjs";
import { vectors } from "./verifier.mjs";

const FOLDER = process.env.FOLDER;
const bundle = Buffer.from(vectors("evidence.json"));
const KEY = JSON.parse(bundle).log_key;
const html = readFileSync(join(FOLDER, "good.html")).toString();
const scratch = mkdtempSync(join(tmpdir(), "view-"));
let chromium;
before(async () => {
  chromium = await startChromium();
});
after(async () => {
  await chromium?.stop();
  rmSync(scratch, { recursive: true });
});

/** Opens a page, and waits until its check has ended. */
async function view(path, script) {
  const page = await chromium.open(pathToFileURL(path).href, script);
  await page.until("document.body?.dataset.done === '1'");
  page.text = (id) => page.evaluate(`document.getElementById(${JSON.stringify(id)}).textContent`);
  page.state = () => page.evaluate("document.body.dataset.state");
  return page;
}

/** The page of another bundle, or another page, from this one's text. */
async function changed(content, script) {
  const path = join(scratch, "changed.html");
  writeFileSync(path, content);
  return view(path, script);
}
/** The text of each page that is printed. */
async function printed(page) {
  const path = join(scratch, "page.pdf");
  writeFileSync(path, await page.print());
  return execFileSync("pdftotext", ["-layout", path, "-"]).toString().split("\f").slice(0, -1);
}
const withBundle = (bytes) => html.replace(bundle.toString("base64"), Buffer.from(bytes).toString("base64"));

test("a bundle that holds is shown with its key", async () => {
  const page = await view(join(FOLDER, "good.html"));
  assert.equal(await page.state(), "holds");
  const verdict = await page.text("verdict");
  assert.match(verdict, /^Everything that was checked holds\. It was checked against the key that the file names/);
  assert(verdict.includes(KEY) && verdict.endsWith("was not compared."), verdict);
  assert.equal(await page.text("key"), KEY);
  assert.match(await page.text("extent"), /^All of this was checked/);
  const facts = await page.text("facts");
  for (const fact of [
    "countersign.example/log",
    "The log had 12 entries",
    "had 4 entries then",
    "2 disclosed, 0 erased",
    "number of decisions: 1",
    "log indexes 0 to 11",
    "Reports that never came3",
  ])
    assert(facts.includes(fact), `${fact}: ${facts}`);
  const rows = await page.evaluate(
    "[...document.querySelectorAll('#entries tr')].map((row) => row.cells[0].textContent)",
  );
  assert.deepEqual(rows, ["0", "1", "3", "4", "5", "6", "7", "11"]);
  assert.match(await page.text("policies"), /permit — "support"/);
  assert((await page.text("checkpoints")).startsWith("countersign.example/log\n12\n"));
  assert.deepEqual(page.said, []);
  await page.close();
});

test("the tree goes from sponsor to outcome", async () => {
  const page = await view(join(FOLDER, "good.html"));
  // The entry of each line, and how deep it is.
  const lines = await page.evaluate(`[...document.querySelectorAll("#tree .line")].map((line) => {
    let depth = 0;
    for (let at = line; at.id !== "tree"; at = at.parentElement) depth += at.tagName === "UL";
    return [line.querySelector("a").textContent, depth];
  })`);
  const wanted = [
    ["#0", 1],
    ["#1", 1],
    ["#3", 2],
    ["#4", 3],
    ["#6", 3],
    ["#7", 4],
    ["#5", 1],
    ["#11", 1],
  ];
  assert.deepEqual(lines, wanted);
  await page.close();
});

test("the key that is pasted is compared", async () => {
  const page = await view(join(FOLDER, "good.html"));
  const paste = async (key, nth) => {
    await page.evaluate(`(() => {
      const input = document.getElementById("expected");
      input.value = ${JSON.stringify(key)};
      input.dispatchEvent(new Event("change"));
    })()`);
    await page.until(`document.body.dataset.done === "${nth}"`);
    return [await page.state(), await page.text("verdict")];
  };
  assert.deepEqual(await paste(` ${KEY}\n`, 2), [
    "holds",
    `Everything that was checked holds. It was checked against the key that you gave, ${KEY}.`,
  ]);
  assert.match(await page.text("compared"), /^Compared/);
  // RFC 8032's first key, under the same name.
  const other = process.env.OTHER_KEY;
  const [state, verdict] = await paste(other, 3);
  assert.equal(state, "refused");
  assert(verdict.startsWith(`This does not hold: log_key: the bundle is of the key ${KEY}, not of ${other}`), verdict);
  assert.match(
    (await paste("nonsense", 4))[1],
    /^This does not hold: The key that was pasted: a verifier key is a name/,
  );
  assert.equal((await paste("", 5))[0], "holds");
  assert.deepEqual(page.said, []);
  await page.close();
});

test("a flipped byte is named", async () => {
  for (const [at, member] of [
    [bundle.indexOf("twice charged"), "events[5].disclosed[0] (log index 6): "],
    [bundle.indexOf("rita"), "events[0].proof (log index 0): "],
    [bundle.indexOf("permit"), "policies[0]: "],
    [bundle.length - 40, "sha256: "],
    [0, "file: no JSON"],
  ]) {
    const flipped = Buffer.from(bundle);
    flipped[at] ^= 1;
    const page = await changed(withBundle(flipped));
    const verdict = await page.text("verdict");
    assert(verdict.startsWith(`This does not hold: ${member}`) && verdict.includes("was changed after"), verdict);
    assert(verdict.endsWith("Do not rely on what this page shows."), verdict);
    assert.equal(await page.state(), "refused");
    assert.match(await page.text("extent"), /stopped at the first thing/);
    const marks = await page.evaluate(
      "[...document.querySelectorAll('.content h2')].map((h) => getComputedStyle(h, '::after').content)",
    );
    assert(marks.length > 4 && marks.every((mark) => mark.includes("not shown to be true")), marks.join());
    assert.equal((await page.text("tree")) === "It cannot be read.", at === 0);
    assert.deepEqual(page.said, []);
    await page.close();
  }
  for (const content of ["", "no base64", "e30="]) {
    const page = await changed(html.replace(bundle.toString("base64"), content));
    assert.match(await page.text("verdict"), /^This does not hold: file: it does not end as a bundle ends/);
    await page.close();
  }
});

test("in the browser, every flipped byte and forgery is refused", async () => {
  const page = await view(join(FOLDER, "good.html"));
  const ask = (body) =>
    page.evaluate(`(async () => {
    const refusal = (bytes) => verify(bytes, {}).then(() => ({ what: "it was accepted" }), (error) => error);
    ${body}
  })()`);
  const wrong = await ask(`
    const bytes = unbase64(byId("bundle").textContent);
    const wrong = [];
    for (let at = 0; at < bytes.length; at += 1) {
      bytes[at] ^= 1 << at % 8;
      const error = await refusal(bytes);
      if (!error.damaged && error.member !== "file") wrong.push([at, String(error.what)]);
      bytes[at] ^= 1 << at % 8;
    }
    return wrong;`);
  assert.deepEqual(wrong, []);
  for (const { name, bytes, refused } of forgeries()) {
    const found = await ask(`
      const { member, what, damaged, logIndex } = await refusal(unbase64("${bytes.toString("base64")}"));
      return { damaged, log_index: logIndex?.toString() ?? null, member, what };`);
    assert.deepEqual(found, refused, name);
  }
  await page.close();
});

test("a page whose program was changed runs nothing", async () => {
  const path = join(scratch, "program.html");
  const changedPage = html.replace("\nstart();", "\nstart( );");
  assert.notEqual(changedPage, html);
  writeFileSync(path, changedPage);
  const page = await chromium.open(pathToFileURL(path).href);
  await page.until("document.readyState === 'complete' && document.getElementById('verdict')");
  assert.match(await page.evaluate("document.getElementById('verdict').textContent"), /^Not checked\./);
  assert(
    page.said.some((line) => line.includes("Content Security Policy")),
    page.said.join(),
  );
  await page.close();
});

test("a browser without Ed25519 says that nothing was checked", async () => {
  for (const script of [
    `const { importKey } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
      if (algorithm === "Ed25519") return Promise.reject(new DOMException("no", "NotSupportedError"));
      return importKey.call(this, format, key, algorithm, ...rest);
    };`,
    "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });",
  ]) {
    const page = await view(join(FOLDER, "good.html"), script);
    assert.equal(await page.state(), "unchecked");
    assert.match(
      await page.text("verdict"),
      /^Not checked\. This browser cannot check Ed25519.*countersign evidence verify FILE/s,
    );
    assert.match(await page.text("extent"), /^Nothing of this was checked/);
    await page.close();
  }
});

test("hostile texts are text", async () => {
  const texts = JSON.parse(readFileSync(join(FOLDER, "texts.json")));
  const page = await view(join(FOLDER, "hostile.html"));
  assert.equal(await page.state(), "holds", await page.text("verdict"));
  const shown = await page.evaluate("[...document.querySelectorAll('#texts pre')].map((text) => text.textContent)");
  const visible = (text) => text.replaceAll("\u202e", "[U+202E]").replaceAll("\0", "[U+0000]");
  assert.deepEqual(shown.toSorted(), texts.map(visible).toSorted());
  assert(texts.some((text) => text.length > 16000));
  // Nothing of a text became an element.
  const made = await page.evaluate("document.querySelectorAll('img, iframe, object, svg, form, base, script').length");
  assert.equal(made, 2, "the bundle and the program");
  const tree = await page.text("tree");
  for (const part of [
    "was asked to approve",
    "Operator olga approved appr_",
    "on the approval appr_",
    "What was shown",
    "erased or withheld",
    "(shortened)",
  ]) {
    assert(tree.includes(part), `${part}: ${tree}`);
  }
  assert(!tree.includes("\u202e"));
  assert.deepEqual(page.said, [], "nothing ran, nothing was asked for, and the page's policy blocked nothing");
  await page.close();
});

test("the policy of the page lets nothing else run", async () => {
  const page = await view(join(FOLDER, "good.html"));
  await page.evaluate(`(() => {
    const script = document.createElement("script");
    try { script.textContent = "window.ran = true"; document.body.append(script); } catch { /* Trusted Types */ }
    try { document.body.innerHTML = "<b>new</b>"; } catch { window.refused = true; }
    try { document.body.setAttribute("onclick", "window.ran = true"); document.body.click(); } catch { /* the same */ }
    new Image().src = "http://127.0.0.1:9/x.png";
    return fetch("http://127.0.0.1:9/").then(() => { window.ran = true; }, () => {});
  })()`);
  assert.deepEqual(
    await page.evaluate("[window.ran, window.refused]"),
    [undefined, true].map((value) => value ?? null),
  );
  assert(
    page.said.some((line) => line.includes("Content Security Policy")),
    page.said.join(),
  );
  await page.close();
});

test("what does not hold says so on every printed page", async () => {
  const flipped = Buffer.from(bundle);
  flipped[bundle.indexOf("twice charged")] ^= 1;
  const page = await changed(withBundle(flipped));
  const pages = await printed(page);
  assert(pages.length >= 4);
  for (const text of pages) assert.match(text, /^\s*This does not hold:/);
  await page.close();
});

test("it prints, with the verdict on every page", async () => {
  for (const [name, least] of [
    ["good.html", 4],
    ["hostile.html", 6],
  ]) {
    const page = await view(join(FOLDER, name));
    const pages = await printed(page);
    assert(pages.length >= least, `${pages.length} pages`);
    for (const [nth, text] of pages.entries()) {
      assert(text.includes("Everything that was checked holds."), `page ${nth + 1}: ${text}`);
      assert.match(text, new RegExp(`${nth + 1} ?/ ?${pages.length}\\s*$`));
    }
    const whole = pages.join("\n");
    for (const part of ["Which key", "What was not checked", "Appendix: policy documents", "Sponsor alice"])
      assert(whole.includes(part), part);
    await page.close();
  }
});

test("the bundle can be saved as it is", async () => {
  const page = await view(join(FOLDER, "good.html"));
  const saved = await page.evaluate("document.getElementById('save').href.startsWith('blob:')");
  assert(saved);
  const text = await page.evaluate("new Blob([unbase64(byId('bundle').textContent)]).text()");
  assert.equal(text, bundle.toString());
  await page.close();
});
