// Debian's Chromium, driven over its debugging pipe: what a person does with a page.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAM = process.env.CHROMIUM ?? "chromium";
const OPTIONS = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"];

/** A browser, with a profile of its own. `stop` ends it. */
export async function startChromium() {
  const profile = mkdtempSync(join(tmpdir(), "chromium-"));
  // Chromium's sandbox refuses root.
  const options = [...OPTIONS, `--user-data-dir=${profile}`, ...(process.getuid() === 0 ? ["--no-sandbox"] : [])];
  const program = spawn(PROGRAM, [...options, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  const failed = new Promise((_, reject) => {
    program.once("error", (error) => reject(new Error(`${PROGRAM} did not start: ${error.message}`)));
    program.once("exit", (code) => reject(new Error(`${PROGRAM} ended with ${code}`)));
  });
  failed.catch(() => {});
  const waiting = new Map();
  const listeners = new Set();
  let [rest, last] = ["", 0];
  program.stdio[4].setEncoding("utf8").on("data", (data) => {
    const messages = (rest + data).split("\0");
    rest = messages.pop();
    for (const { id, method, params, result, error, sessionId } of messages.map((message) => JSON.parse(message))) {
      if (id === undefined) for (const listener of listeners) listener({ method, params, sessionId });
      else if (error) waiting.get(id).reject(new Error(error.message));
      else waiting.get(id).resolve(result);
    }
  });
  const send = (method, params = {}, sessionId = undefined) => {
    last += 1;
    const answer = new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
    program.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    return Promise.race([answer, failed]);
  };
  const stop = async () => {
    const ended = new Promise((resolve) => program.once("exit", resolve));
    await send("Browser.close").catch(() => program.kill());
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { open: (address, before) => openPage(send, listeners, address, before), stop };
}

/**
 * Opens `address` in a new tab, with the script `before` run first. `said` is everything that the browser reported:
 * exceptions, console, blocked content, dialogs, requests.
 */
async function openPage(send, listeners, address, before) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const call = (method, params) => send(method, params, sessionId);
  const said = [];
  const reports = {
    "Runtime.exceptionThrown": ({ exceptionDetails }) =>
      said.push(`exception: ${exceptionDetails.exception?.description}`),
    "Runtime.consoleAPICalled": ({ args }) => said.push(`console: ${args.map((value) => value.value).join(" ")}`),
    "Log.entryAdded": ({ entry }) => said.push(`log: ${entry.text}`),
    "Page.javascriptDialogOpening": ({ message }) => said.push(`dialog: ${message}`),
    "Network.requestWillBeSent": ({ request }) => request.url !== address && said.push(`request: ${request.url}`),
  };
  const listener = (event) => event.sessionId === sessionId && reports[event.method]?.(event.params);
  listeners.add(listener);
  for (const domain of ["Page", "Runtime", "Log", "Network"]) await call(`${domain}.enable`);
  if (before) await call("Page.addScriptToEvaluateOnNewDocument", { source: before });
  await call("Page.navigate", { url: address });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  /** Waits until an expression is true in the page. */
  const until = async (expression) => {
    const end = Date.now() + 30000;
    // A page that is not there yet has no answer.
    while (!(await evaluate(expression).catch(() => false))) {
      if (Date.now() > end) throw new Error(`never true: ${expression}; ${said.join("; ")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const print = async () => Buffer.from((await call("Page.printToPDF", { preferCSSPageSize: true })).data, "base64");
  const close = async () => {
    listeners.delete(listener);
    await send("Target.closeTarget", { targetId });
  };
  return { evaluate, until, print, said, close };
}
