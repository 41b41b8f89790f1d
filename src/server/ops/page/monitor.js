// The monitor: a stream of events and a look at the server every second, drawn as tables, lanes and columns.
// Everything that came from outside is put in as text, never as markup.

const CAUSES = ["reset", "silence", "restart", "refused", "replaced", "unknown"];
const OUTAGES_MAX = 2000;
const ROWS_MAX = 100;
const LANE = 22;
const LEFT = 130;

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

let outages = [];
let lost = new Map();
let users = new Map();
let runs = [];
let streaming = false;
let reachable = false;
let ready = false;

function element(name, attributes = {}, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawn(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const known = (cause) => (CAUSES.includes(cause) ? cause : "unknown");
const clock = (at) => new Date(at).toISOString().slice(11, 19);

function length(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`;
}

// What an event changes.
function take(event) {
  if (event.user && event.session) users.set(event.session, event.user);
  if (event.event === "link-lost") lost.set(event.session, { at: event.at, cause: event.cause === "closed" ? "reset" : event.cause });
  if (event.event === "login-ok" || event.event === "resumed") lost.delete(event.session);
  if (event.event === "outage") {
    lost.delete(event.session);
    outages.push(event);
    if (outages.length > OUTAGES_MAX) outages.shift();
  }
  if (event.event === "server-started") {
    // Nobody has a link to a server that has just begun.
    lost.clear();
    const last = runs.at(-1);
    if (last && !last.ended) last.ended = event.last_run === "well" ? "ended well" : "failed";
    runs.push({ boot: event.boot, at: event.at, sessions: event.sessions, matches: event.matches, ended: "" });
  }
  if (event.event === "server-stopping" && runs.length > 0) runs.at(-1).ended = "asked to stop";
}

function say(outage) {
  const more = outage.at_least ? "at least " : "";
  const dials = outage.attempts === undefined
    ? "dials and waits are in the log of the player's client"
    : `${outage.attempts} dials, waits ${outage.waits_ms} ms`;
  return `${outage.user}: ${more}${length(outage.length_ms)}, ${outage.cause}, ${outage.ended}; ${clock(outage.at)}; ${dials}`;
}

function timeline() {
  const span = Number($("span").value) * 1000;
  const now = Date.now();
  const from = now - span;
  const shown = outages.filter((outage) => outage.at >= from);
  const lanes = [...new Set([...shown.map((outage) => outage.session), ...lost.keys()])];
  const width = Math.max(600, $("timeline").clientWidth - 20);
  const height = Math.max(2, lanes.length + 1) * LANE + 24;
  const x = (at) => LEFT + ((Math.max(at, from) - from) / span) * (width - LEFT - 10);
  const picture = drawn("svg", { width, height, role: "group", "aria-label": "outages by session" });
  for (let mark = 0; mark <= 6; mark += 1) {
    const at = from + (span * mark) / 6;
    picture.append(drawn("text", { x: Math.min(x(at), width - 56), y: height - 6 }, clock(at)));
  }
  for (const run of runs.filter((run) => run.at >= from)) {
    const line = drawn("line", { class: "server", x1: x(run.at), x2: x(run.at), y1: 0, y2: height - 20 });
    line.append(drawn("title", {}, `run ${run.boot} of the server started at ${clock(run.at)}`));
    picture.append(line);
  }
  lanes.forEach((session, lane) => {
    const y = lane * LANE + 4;
    picture.append(drawn("text", { x: 0, y: y + 13 }, (users.get(session) ?? session).slice(0, 18)));
    picture.append(drawn("line", { class: "lane", x1: LEFT, x2: width - 10, y1: y + 16, y2: y + 16 }));
    const bar = (start, end, cause, words, open) => {
      const size = Math.max(3, x(end) - x(start));
      const made = drawn("rect", { class: `${known(cause)}${open ? " open" : ""}`, x: Math.min(x(start), width - 13), y, width: size, height: 14, rx: 2, tabindex: 0, role: "img", "aria-label": words });
      made.append(drawn("title", {}, words));
      picture.append(made);
    };
    for (const outage of shown.filter((outage) => outage.session === session)) {
      bar(outage.at - outage.length_ms, outage.at, outage.cause, say(outage), false);
    }
    const gone = lost.get(session);
    if (gone) bar(gone.at, now, gone.cause, `${users.get(session) ?? session}: away for ${length(now - gone.at)}, ${gone.cause}`, true);
  });
  if (lanes.length === 0) picture.append(drawn("text", { x: LEFT, y: 24 }, "no outage in this time"));
  // A bar that somebody is at keeps the focus.
  const at = [...$("timeline").querySelectorAll("rect")].indexOf(document.activeElement);
  $("timeline").replaceChildren(picture);
  if (at >= 0) $("timeline").querySelectorAll("rect")[at]?.focus();
}

function histogram() {
  const edges = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15000, 60000, Infinity];
  const counts = edges.map((edge, place) => outages.filter((outage) => outage.length_ms <= edge && (place === 0 || outage.length_ms > edges[place - 1])).length);
  const most = Math.max(1, ...counts);
  const words = edges.map((edge, place) => `${edge === Infinity ? "longer" : `up to ${length(edge)}`}: ${counts[place]}`).join("; ");
  const picture = drawn("svg", { viewBox: "0 0 480 140", width: "100%", role: "img", "aria-label": `outages by length. ${words}` });
  counts.forEach((count, place) => {
    const tall = (count / most) * 90;
    picture.append(drawn("rect", { class: "column", x: place * 40 + 3, y: 110 - tall, width: 34, height: tall }));
    if (count > 0) picture.append(drawn("text", { x: place * 40 + 20, y: 106 - tall, "text-anchor": "middle" }, count));
    const name = edges[place] === Infinity ? "more" : length(edges[place]).replace(".0 ", " ");
    picture.append(drawn("text", { x: place * 40 + 20, y: 126, "text-anchor": "middle", class: "small" }, name));
  });
  $("histogram").replaceChildren(picture);
}

function rows(id, list, empty) {
  const made = list.slice(0, ROWS_MAX).map((cells) => {
    const row = element("tr");
    row.append(...cells.map((cell) => element("td", {}, String(cell))));
    return row;
  });
  if (made.length === 0) {
    const row = element("tr");
    row.append(element("td", { colspan: 6 }, empty));
    made.push(row);
  }
  $(id).replaceChildren(...made);
}

function tables(now) {
  const numbers = { connections: now.connections, "sessions live": now.live, "sessions away": now.away, "matches in play": now.active, suspended: now.suspended, "to be told": now.decided, "facts in the journal": now.facts, "mean sync": now.mean_sync_ms == null ? "–" : `${now.mean_sync_ms.toFixed(2)} ms` };
  $("numbers").replaceChildren(...Object.entries(numbers).map(([name, value]) => {
    const box = element("div");
    box.append(element("dt", {}, name), element("dd", {}, String(value ?? "–")));
    return box;
  }));
  rows("sessions", (now.sessions ?? []).map((row) => [row.user, row.live ? "live" : "away", row.match?.slice(0, 8) ?? "", row.session.slice(0, 8)]), "nobody is logged in");
  rows("matches", (now.matches ?? []).map((row) => [row.match.slice(0, 8), row.x, row.o, row.game, row.ply, row.state]), "nothing is played");
}

function draw() {
  timeline();
  histogram();
  rows("outages", outages.toReversed().map((outage) => [clock(outage.at), outage.user, outage.cause, `${outage.at_least ? "at least " : ""}${length(outage.length_ms)}`, outage.session.slice(0, 8)]), "none yet");
  $("runs").replaceChildren(...runs.toReversed().slice(0, ROWS_MAX).map((run) => element("li", {}, `run ${run.boot}, ${new Date(run.at).toISOString().slice(0, 19).replace("T", " ")}: recovered: sessions ${run.sessions}, matches ${run.matches}${run.ended ? `; ${run.ended}` : ""}`)));
}

function tell() {
  const words = streaming && reachable ? (ready ? "live" : "the server is not ready") : "the server cannot be reached; trying again";
  if ($("state").textContent !== words) $("state").textContent = words;
  $("state").classList.toggle("bad", words !== "live");
}

function stream() {
  const source = new EventSource("/api/events");
  source.addEventListener("begin", () => {
    // What follows is all that is remembered, so what was known before goes.
    [outages, lost, runs] = [[], new Map(), []];
    streaming = true;
    tell();
  });
  source.onmessage = (message) => {
    take(JSON.parse(message.data));
    later();
  };
  source.onerror = () => {
    streaming = false;
    tell();
    // Some answers make a browser give up.
    if (source.readyState === EventSource.CLOSED) setTimeout(stream, 1000);
  };
}

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    draw();
  }, 100);
}

async function look() {
  try {
    const now = await (await fetch("/api/now")).json();
    [reachable, ready] = [true, now.ready];
    tables(now);
  } catch {
    reachable = false;
  }
  tell();
  timeline();
  setTimeout(look, 1000);
}

$("legend").replaceChildren(...CAUSES.map((cause) => {
  const entry = element("li");
  const box = drawn("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
  box.append(drawn("rect", { class: cause, width: 10, height: 10 }));
  entry.append(box, document.createTextNode(cause));
  return entry;
}));
$("span").addEventListener("change", timeline);
draw();
stream();
look();
