// The monitor page in a real browser, beside a real server and real players. Run by `cargo test --test it browser -- --ignored`, or
// `node monitor.mjs` with REJOIN naming the program. Prints what it has measured.

import assert from "node:assert/strict";
import { join } from "node:path";

import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

import { Player, Server, World, pair } from "./world.mjs";

const program = process.env.REJOIN ?? join(import.meta.dirname, "../../target/debug/rejoin");
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
// A kill is a bar within this time, the restart of the server and the way back of the client included.
const BAR_MS_MAX = 2000;
const KILLS = 3;

const told = (text) => process.stdout.write(`${text}\n`);

// What a page must not do: complain, ask elsewhere, break its own policy.
function watch(page, home) {
  const faults = [];
  page.on("console", (message) => {
    // While the server is dead the browser says so by itself.
    const expected = message.location().url.startsWith(home) && /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|ERR_FAILED/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !expected) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("request", (request) => request.url().startsWith(home) || faults.push(`asks elsewhere: ${request.url()}`));
  return faults;
}

const bars = (page, cause) => page.locator(`.outage[data-cause="${cause}"][data-open="false"]`);

async function waitForBars(page, cause, number, user) {
  const fits = ([cause, number, user]) => {
    const all = [...document.querySelectorAll(`.outage[data-cause="${cause}"][data-open="false"]`)];
    return all.filter((bar) => !user || bar.dataset.user === user).length >= number;
  };
  await page.waitForFunction(fits, [cause, number, user], { timeout: 20_000, polling: 20 });
}

async function axe(page, scheme, where) {
  await page.emulateMedia({ colorScheme: scheme });
  const { violations } = await new AxeBuilder({ page }).analyze();
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => `${node.html} ${node.failureSummary}`)]), [], `axe, ${scheme}, ${where}`);
  told(`axe: no violation, ${scheme}, ${where}`);
}

async function opens(page, server) {
  const answer = await page.goto(server.page);
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
  await page.getByText("Live, run 1").waitFor();
  await page.locator("#sessions th", { hasText: "alice" }).waitFor();
  await page.locator("#sessions th", { hasText: "bob" }).waitFor();
  assert.equal(await bars(page, "restart").count(), 0, "nothing has happened yet");
  assert.equal(await page.locator("#charts canvas").count(), 4);
}

// The page must live on: it is never loaded again.
async function killsAreBars(page, server, players) {
  await page.evaluate(() => (window.sameAsBefore = true));
  const [took, whole] = [[], []];
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const back = players.map((player) => player.back());
    const killed = server.kill();
    await page.waitForFunction((number) => document.querySelectorAll('.outage[data-cause="restart"]').length >= number, kill * players.length, { polling: 20 });
    took.push(Date.now() - killed);
    await Promise.all(back);
    await waitForBars(page, "restart", kill * players.length);
    whole.push(Date.now() - killed);
    await page.getByText(`Live, run ${kill + 1}`).waitFor();
  }
  told(`from kill -9 of the worker to the bars of all four players: ${took.join(", ")} ms; to their ends: ${whole.join(", ")} ms`);
  assert.ok(Math.min(...took) > 0 && Math.max(...took) < BAR_MS_MAX, `${took}`);
  assert.equal(await page.evaluate(() => window.sameAsBefore), true);
}

async function saysThatItIsDisconnected(page, server, players) {
  // Between the states the words change: a text that was there for an instant is caught.
  await page.evaluate(() => {
    window.states = [];
    new MutationObserver(() => window.states.push(document.getElementById("state").textContent)).observe(document.getElementById("state"), { childList: true, characterData: true, subtree: true });
  });
  const back = players.map((player) => player.back());
  server.child.kill("SIGSTOP");
  const worker = server.kill();
  assert.ok(worker);
  // Its parent is held, so nobody starts the next one.
  await page.getByText(/^Disconnected since \d\d:\d\d:\d\d; trying again by itself$/).waitFor();
  await page.locator("#since", { hasText: /^for \d+ s$/ }).waitFor();
  assert.match(await page.locator("#runs tr").first().textContent(), /no answer/);
  server.child.kill("SIGCONT");
  await page.getByText(/^Live, run \d+$/).waitFor();
  await Promise.all(back);
  await waitForBars(page, "restart", (KILLS + 1) * players.length);
  const states = await page.evaluate(() => window.states);
  assert.equal(states.filter((state) => state.startsWith("Disconnected")).length, 1, `a screen reader is told once: ${states}`);
}

async function attemptsAndWaits(page) {
  const newest = page.locator('.outage[tabindex="0"]');
  assert.equal(await newest.count(), 1, "one bar is reached by Tab");
  await page.locator("#span").focus();
  await page.keyboard.press("Tab");
  const tip = page.locator("#tip");
  for (let step = 0; step < 2; step += 1) {
    await tip.filter({ hasText: /attempts\d+ dials?waits\d+ ms/ }).waitFor();
    assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /\d+ dials? after waits of \d+/);
    await page.keyboard.press("ArrowLeft");
  }
  await page.keyboard.press("Escape");
  await tip.waitFor({ state: "hidden" });
  await page.locator("#span").focus();
  await page.locator("#span").selectOption("60");
  await bars(page, "restart").last().hover();
  await tip.waitFor({ state: "visible" });
  assert.match(await tip.textContent(), /attempts\d+ dials?waits\d+ ms/);
  await page.mouse.move(2, 2);
  await tip.waitFor({ state: "hidden" });
  told("hover and focus show cause, length, attempts and waits");
}

async function otherCauses(page, [x, o]) {
  const silent = o.back();
  process.kill(o.child.pid, "SIGSTOP");
  await page.locator(`.outage[data-cause="silence"][data-open="true"][data-user="${o.name}"]`).waitFor({ state: "attached" });
  process.kill(o.child.pid, "SIGCONT");
  await silent;
  await waitForBars(page, "silence", 1, o.name);
  x.child.kill("SIGKILL");
  await page.locator(`.outage[data-cause="reset"][data-open="true"][data-user="${x.name}"]`).waitFor({ state: "attached" });
  x.start();
  await x.until({ event: "link", state: "live" }, 0);
  await waitForBars(page, "reset", 1, x.name);
}

async function oneMatchByKeyboard(page, [x, o]) {
  await page.locator("#runs").scrollIntoViewIfNeeded();
  await page.locator("body").focus();
  for (let tab = 0; tab < 40; tab += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((name) => document.activeElement.matches(`button.open[aria-label*="${name}"]`), x.name)) break;
  }
  // The table is told anew every second, and leaves the focus where it is.
  const before = await page.locator("#since").textContent();
  await page.waitForFunction((before) => document.getElementById("since").textContent !== before, before);
  await page.keyboard.press("Enter");
  const dialog = page.locator("dialog#match");
  await dialog.locator("h2", { hasText: `${x.name} (X) against ${o.name} (O)` }).waitFor();
  await dialog.locator("#match-moves tr").nth(1).waitFor();
  assert.deepEqual(await dialog.locator("#match-moves tr").first().locator("th, td").allTextContents().then((cells) => [cells[0], cells[1], cells[2], ...cells.slice(4)]), ["1", `${x.name} (X)`, "1 1", "✓ yes", "✓ yes", "✓ yes"]);
  assert.equal(await dialog.locator(".board td.X").count(), 1);
  assert.equal(await dialog.locator(".board td.O").count(), 1);
  assert.match(await dialog.locator("#match-path").textContent(), /begun: .*is back at the board/s);
  await dialog.locator("#match-ply").focus();
  await page.keyboard.press("Home");
  await dialog.getByText("before the first move").waitFor();
  assert.equal(await dialog.locator(".board td.X, .board td.O").count(), 0);
  await axe(page, "light", "match");
  await axe(page, "dark", "match");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.ok(await page.evaluate(() => document.activeElement.matches("button.open")), "the focus is back where it was");
  told("one match is opened, read and closed by keyboard alone");
}

async function matchIsOver(page, [x, o]) {
  for (const [player, other, ply, place] of [[x, o, 2, "1 2"], [o, x, 3, "2 1"], [x, o, 4, "1 3"]]) {
    await player.done(`send ${place}`);
    await other.until({ event: "move", ply });
  }
  const row = page.locator("#matches tr", { has: page.locator(`button[aria-label*="${x.name}"]`), hasText: "over" });
  await row.locator("button").click();
  const dialog = page.locator("dialog#match");
  await dialog.getByText(`${x.name} has won (board); over, and in the archive`).waitFor();
  assert.equal(await dialog.locator("#match-moves tr").count(), 5);
  assert.equal(await dialog.locator(".board td.X").count(), 3);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  told("a match that is over is listed, and shown whole");
}

async function narrow(page) {
  await page.setViewportSize({ width: 320, height: 640 });
  await page.locator("#timeline svg[width='320'], #timeline svg").first().waitFor();
  await page.waitForFunction(() => document.documentElement.scrollWidth <= 320, undefined, { timeout: 5000 });
  for (const id of ["timeline", "histogram", "charts"]) {
    const right = await page.evaluate((id) => document.getElementById(id).getBoundingClientRect().right, id);
    assert.ok(right <= 320, `${id} ends at ${right}`);
  }
  await axe(page, "light", "320 px wide");
  told("320 px wide: nothing sticks out");
}

const world = new World(program);
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
try {
  const server = await Server.start(world);
  const board = await pair(world, server, ["alice", "bob"]);
  const players = [...board, ...(await pair(world, server, ["carol", "dave"]))];
  const [x, o] = board;
  await x.done("send 1 1");
  await o.until({ event: "move", ply: 0 });
  await o.done("send 2 2");
  await x.until({ event: "move", ply: 1 });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  const faults = watch(page, server.page);
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await opens(page, server);
  await killsAreBars(page, server, players);
  await saysThatItIsDisconnected(page, server, players);
  await attemptsAndWaits(page);
  await otherCauses(page, board);
  await axe(page, "light", "page");
  await axe(page, "dark", "page");
  await oneMatchByKeyboard(page, board);
  await matchIsOver(page, board);
  if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT, fullPage: true });
  await narrow(page);
  assert.deepEqual(await page.evaluate(() => window.violations), [], "nothing breaks the policy");
  assert.deepEqual(faults, []);
  told("no console error, no request to elsewhere, nothing against the policy");
} finally {
  await browser.close();
  await world.end();
}
