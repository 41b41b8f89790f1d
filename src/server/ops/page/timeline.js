// The reconnection timeline: a lane for the server and one for each session; a line where there was a link, a bar where
// there was none. Arrow keys go from bar to bar.

import { CAUSES, dials, sentence } from "./history.js";
import { Children, byId, clock, count, drawn, element, length, say, set } from "./make.js";
import { swatch } from "./tables.js";

const LANE = 30;
const BAR = 16;
const TOP = 6;
const FOOT = 24;
const LANES_MAX = 24;
const words = { length, clock, count };

const space = byId("timeline");
const tip = byId("tip");
const picture = drawn("svg", { role: "group", "aria-roledescription": "timeline" });
const layers = {};
for (const name of ["gone", "grid", "names", "lines", "bars"]) {
  const layer = drawn("g", name === "bars" ? {} : { "aria-hidden": "true" });
  layers[name] = new Children(layer);
  picture.append(layer);
}
picture.prepend(weaves());
space.append(picture);

let bars = [];
let at;

// Patterns over the colours: a cause is told by its weave too.
function weaves() {
  const lines = {
    silence: "M0 2H6M0 5H6",
    restart: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5",
    refused: "M0 0L6 6M6 0L0 6",
    replaced: "M1.5 1.5h1.5v1.5h-1.5zM4.5 4.5h1.5v1.5h-1.5z",
    unknown: "M1 0V6M4 0V6",
  };
  const all = Object.entries(lines).map(([cause, d]) => {
    const pattern = drawn("pattern", { id: `weave-${cause}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(drawn("path", { d, class: "weave" }));
    return pattern;
  });
  all.push(drawn("pattern", { id: "weave-reset", width: 6, height: 6, patternUnits: "userSpaceOnUse" }));
  return drawn("defs", {}, all);
}

export function legend() {
  byId("legend").replaceChildren(...Object.keys(CAUSES).map((cause) => {
    const entry = element("li", { title: CAUSES[cause] });
    entry.append(swatch(cause), document.createTextNode(cause));
    return entry;
  }));
}

// The lanes: who was away in this time, then who else is there.
function lanes(history, from, sessions) {
  const latest = new Map();
  for (const outage of history.outages) if (outage.end >= from) latest.set(outage.session, outage.end);
  const listed = sessions ? new Set(sessions.map((row) => row.session)) : undefined;
  for (const session of history.lost.keys()) if (!listed || listed.has(session)) latest.set(session, latest.get(session) ?? 0);
  for (const session of listed ?? history.live) if (!latest.has(session)) latest.set(session, -1);
  const all = [...latest].sort(([, one], [, other]) => other - one);
  const name = (session) => history.users.get(session) ?? session;
  const shown = all.slice(0, LANES_MAX).map(([session]) => session).sort((one, other) => name(one).localeCompare(name(other)));
  return { shown, more: all.length - shown.length };
}

export function draw({ history, now, span, sessions, goneSince }) {
  const from = now - span;
  const { shown, more } = lanes(history, from, sessions);
  const width = Math.max(260, space.clientWidth);
  const left = width < 480 ? 74 : 120;
  const right = width - 6;
  const height = TOP + (shown.length + 1) * LANE + FOOT;
  const x = (moment) => left + ((Math.min(Math.max(moment, from), now) - from) / span) * (right - left);
  const line = (lane) => TOP + lane * LANE + LANE / 2;
  set(picture, { width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": `Outages of ${count(shown.length, "session")}` });

  Object.values(layers).forEach((layer) => layer.begin());
  grid({ from, now, span, x, left, right, height, width });
  if (goneSince !== undefined && goneSince < now) {
    const hidden = layers.gone.at("gone", () => drawn("rect", { class: "gone" }));
    set(hidden, { x: x(goneSince), y: 0, width: Math.max(2, right - x(goneSince)), height: height - FOOT });
  }
  name("server", "server", line(0), left, "strong");
  history.runs.forEach((run, place) => {
    const end = place === history.runs.length - 1 ? (goneSince ?? now) : run.end;
    if ((history.runs[place + 1]?.at ?? now) < from) return;
    segment(`run-${run.at}`, "run", x(run.at), x(end), line(0));
    const next = history.runs[place + 1]?.at ?? now;
    if (end < next) segment(`down-${run.at}`, "down", x(end), x(next), line(0));
    if (run.at >= from && !run.cut) {
      const mark = layers.grid.at(`start-${run.at}`, () => drawn("line", { class: "start" }));
      set(mark, { x1: x(run.at), x2: x(run.at), y1: 2, y2: height - FOOT });
    }
  });

  const drawnBars = [];
  shown.forEach((session, place) => {
    const y = line(place + 1);
    const user = history.users.get(session) ?? session;
    const lost = history.lost.get(session);
    name(session, user, y, left, "");
    const since = history.since.get(session) ?? from;
    const until = lost?.at ?? goneSince ?? now;
    if (until > from) segment(`link-${session}`, "link", x(since), x(until), y);
    const own = history.outages.filter((outage) => outage.session === session && outage.end >= from);
    for (const outage of own) drawnBars.push(bar(outage.key, { outage, x, y, open: false, lane: place }));
    if (lost) {
      const outage = { session, user, cause: lost.cause, start: lost.at, end: now, ended: "still away" };
      drawnBars.push(bar(`open-${session}`, { outage, x, y, open: true, lane: place }));
    }
  });
  Object.values(layers).forEach((layer) => layer.end());
  say(byId("timeline-more"), more > 0 ? `${count(more, "session")} more, with fewer outages, are not drawn` : "");
  bars = drawnBars;
  rove();
  if (at && !at.isConnected) hide();
  else if (at) show(at);
}

function grid({ from, now, span, x, left, right, height, width }) {
  const marks = width < 480 ? 2 : 6;
  for (let place = 0; place <= marks; place += 1) {
    const moment = from + (span * place) / marks;
    const rule = layers.grid.at(`rule-${place}`, () => drawn("line", { class: "rule" }));
    set(rule, { x1: x(moment), x2: x(moment), y1: 0, y2: height - FOOT });
    const label = layers.grid.at(`time-${place}`, () => drawn("text", { class: "time" }));
    const anchor = place === 0 ? "start" : place === marks ? "end" : "middle";
    set(label, { x: place === 0 ? left : place === marks ? right : x(moment), y: height - 7, "text-anchor": anchor });
    say(label, place === marks ? "now" : clock(moment));
  }
}

function name(key, text, y, left, kind) {
  const label = layers.names.at(key, () => drawn("text", { class: `name ${kind}` }));
  set(label, { x: 0, y: y + 4 });
  const room = Math.floor(left / 8);
  say(label, text.length > room ? `${text.slice(0, room - 1)}…` : text);
}

function segment(key, kind, x1, x2, y) {
  const made = layers.lines.at(key, () => drawn("line", { class: kind }));
  set(made, { x1, x2: Math.max(x2, x1 + 1), y1: y, y2: y });
}

function bar(key, { outage, x, y, open, lane }) {
  const made = layers.bars.at(key, () => {
    const group = drawn("g", { class: "outage", role: "img", tabindex: -1 });
    group.append(drawn("rect", { rx: 3, height: BAR }), drawn("rect", { rx: 3, height: BAR, class: "over" }));
    group.append(drawn("rect", { class: "target", height: LANE }));
    group.addEventListener("pointerenter", () => show(group));
    group.addEventListener("pointerleave", () => document.activeElement !== group && hide());
    group.addEventListener("focus", () => show(group));
    group.addEventListener("blur", hide);
    return group;
  });
  const start = x(outage.start);
  const wide = Math.max(6, x(outage.end) - start);
  const place = { x: Math.min(start, Math.max(0, x(outage.end) - wide)), y: y - BAR / 2, width: wide };
  const [colour, over, target] = made.children;
  set(colour, { ...place, class: `bar ${outage.cause}${open ? " open" : ""}` });
  set(over, { ...place, fill: `url(#weave-${outage.cause})` });
  set(target, { ...place, x: place.x - 2, width: wide + 4, y: y - LANE / 2 });
  set(made, { "data-cause": outage.cause, "data-user": outage.user, "data-open": open, "aria-label": sentence(outage, words) });
  return Object.assign(made, { outage, lane, open });
}

// One bar is reached by Tab, the others from it by arrows.
function rove(chosen) {
  const one = chosen ?? (bars.includes(document.activeElement) ? document.activeElement : bars.find((bar) => bar.getAttribute("tabindex") === "0") ?? bars.at(-1));
  for (const bar of bars) set(bar, { tabindex: bar === one ? 0 : -1 });
}

space.addEventListener("keydown", (press) => {
  const here = bars.indexOf(document.activeElement);
  if (press.key === "Escape") hide();
  if (here < 0) return;
  const bar = bars[here];
  const near = (step) => {
    const others = bars.filter((other) => Math.sign(other.lane - bar.lane) === step);
    const lane = others[step > 0 ? 0 : others.length - 1]?.lane;
    const apart = (other) => Math.abs(other.outage.end - bar.outage.end);
    return others.filter((other) => other.lane === lane).sort((one, other) => apart(one) - apart(other))[0];
  };
  const to = {
    ArrowRight: () => bars[here + 1],
    ArrowLeft: () => bars[here - 1],
    ArrowDown: () => near(1),
    ArrowUp: () => near(-1),
    Home: () => bars[0],
    End: () => bars.at(-1),
  }[press.key]?.();
  if (!to) return;
  press.preventDefault();
  rove(to);
  to.focus();
});

function show(bar) {
  at = bar;
  const { outage, open } = bar;
  const rows = [
    ["length", `${outage.at_least ? "at least " : ""}${length(outage.end - outage.start)}`],
    ["from", `${clock(outage.start)} to ${open ? "now" : clock(outage.end)}`],
    ["attempts", open ? "known when it is back" : outage.attempts === undefined ? "not told by the client" : count(outage.attempts, "dial")],
  ];
  if (outage.waits) rows.push(["waits", outage.waits.map((wait) => `${wait} ms`).join(", ") || "none"]);
  if (outage.found && outage.found !== outage.cause) rows.push(["client saw", outage.found]);
  rows.push(["ended", outage.ended]);
  const key = JSON.stringify([bar.getAttribute("aria-label"), rows]);
  if (tip.dataset.key !== key) {
    tip.dataset.key = key;
    const title = element("p", {}, [swatch(outage.cause), element("b", {}, outage.user), ` ${outage.cause}: ${CAUSES[outage.cause]}`]);
    tip.replaceChildren(title, element("dl", {}, rows.map(([name, value]) => element("div", {}, [element("dt", {}, name), element("dd", {}, value)]))));
  }
  tip.hidden = false;
  const box = bar.firstChild.getBoundingClientRect();
  const around = space.parentElement.getBoundingClientRect();
  const middle = box.left + box.width / 2 - around.left;
  tip.style.left = `${Math.max(0, Math.min(middle - tip.offsetWidth / 2, around.width - tip.offsetWidth))}px`;
  tip.style.top = `${box.bottom - around.top + 6}px`;
}

function hide() {
  at = undefined;
  tip.hidden = true;
}
