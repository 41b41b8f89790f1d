// One match in depth: the board at any move, who is known to hold what, and what has happened to its players' links.

import { byId, clock, element, length, say, short } from "./make.js";
import { known } from "./history.js";

const dialog = byId("match");
const step = byId("match-ply");

let open;
let depth;
let follow = true;
let story;

export function openMatch(id, history) {
  [open, depth, follow] = [id, undefined, true];
  delete byId("match-path").dataset.key;
  say(byId("match-title"), `Match ${short(id)}`);
  say(byId("match-state"), "asking the server");
  for (const part of ["match-board", "match-keepers", "match-moves", "match-path"]) byId(part).replaceChildren();
  dialog.showModal();
  refresh(history);
}

step.addEventListener("input", () => {
  follow = Number(step.value) === depth?.plays.length;
  if (depth) board();
});
byId("match-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => (open = undefined));

// With every look at the server, while it is open.
export async function refresh(history) {
  if (!open) return;
  story = history;
  const id = open;
  try {
    const answer = await fetch(`/api/match/${id}`);
    if (id !== open) return;
    if (answer.status === 404 || answer.status === 410) return over(await answer.text());
    depth = await answer.json();
  } catch {
    if (id === open) say(byId("match-state"), "the server cannot be reached; this is what it said last");
    return;
  }
  tell();
}

// The server has no more to show than a sentence.
function over(sentence) {
  path();
  say(byId("match-state"), sentence.trim());
}

function tell() {
  const [x, o] = depth.names;
  say(byId("match-title"), `${x} (X) against ${o} (O)`);
  const name = { X: x, O: o };
  const untold = [x, o].filter((_, seat) => !depth.told[seat]);
  const rest = depth.filed ? "over, and in the archive" : `to be told to ${untold.join(" and ")}`;
  const state = depth.verdict
    ? `${depth.verdict.winner ? `${name[depth.verdict.winner]} has won` : "nobody has won"} (${depth.verdict.why}); ${rest}`
    : depth.filed ? "left unfinished for so long that it was filed in the archive"
    : `${depth.active ? "in play" : "suspended"}; ${name[depth.turn] ?? "nobody"} is to move`;
  say(byId("match-state"), `${depth.game}, ${state}${depth.recovering ? "; the server has lost state and waits for what both hold" : ""}`);
  keepers();
  moves();
  path();
  step.max = String(depth.plays.length);
  if (follow) step.value = step.max;
  board();
}

function board() {
  const ply = Number(step.value);
  const play = depth.plays[ply - 1];
  const rows = play?.board ?? depth.start;
  const words = play ? `after move ${ply} of ${depth.plays.length}: ${play.seat} ${where(play)}` : "before the first move";
  say(byId("match-at"), words);
  step.setAttribute("aria-valuetext", words);
  const table = element("table", { class: "board", "aria-label": `The board ${words}` });
  const wide = [...(rows[0] ?? "")].length;
  table.append(element("thead", {}, [element("tr", {}, [element("td"), ...Array.from({ length: wide }, (_, col) => element("th", { scope: "col" }, String(col + 1)))])]));
  table.append(element("tbody", {}, rows.map((row, y) => element("tr", {}, [
    element("th", { scope: "row" }, String(y + 1)),
    ...[...row].map((cell, col) => {
      const last = play?.cell && play.cell[0] === y + 1 && play.cell[1] === col + 1;
      return element("td", { class: `cell ${cell === "." ? "" : cell}${last ? " last" : ""}` }, cell === "." ? "" : cell);
    }),
  ]))));
  byId("match-board").replaceChildren(table);
}

const where = (play) => (play.cell ? `${play.cell[0]} ${play.cell[1]}` : "gives up");

function keepers() {
  const all = depth.plays.length;
  const rows = depth.names.map((name, seat) => [
    `${name} (${"XO"[seat]})`,
    depth.here[seat] ? "has a link" : "away",
    `${depth.known[seat]} of ${all}`,
    depth.verdict ? (depth.told[seat] ? "on disk" : "not yet") : "–",
    depth.here[seat] ? (depth.addresses[seat] > 0 ? `${depth.addresses[seat]} told` : "none told") : "–",
  ]);
  rows.push(["the server", "–", `${depth.kept} of ${all}`, depth.verdict ? "given" : "–", "–"]);
  byId("match-keepers").replaceChildren(...rows.map(([name, ...cells]) => element("tr", {}, [element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell))])));
}

function moves() {
  const yes = (is) => element("td", { class: is ? "yes" : "no" }, is ? "✓ yes" : "· not known");
  byId("match-moves").replaceChildren(...depth.plays.map((play, ply) => {
    const seat = "XO".indexOf(play.seat);
    return element("tr", {}, [
      element("th", { scope: "row" }, String(ply + 1)),
      element("td", {}, `${depth.names[seat]} (${play.seat})`),
      element("td", {}, where(play)),
      element("td", { class: "number" }, clock(play.at)),
      yes(true),
      yes(depth.known[1 - seat] > ply),
      yes(depth.kept > ply),
    ]);
  }));
}

// What the log remembers of this match and of its players' links since it began.
function path() {
  const mine = story.events.filter((event) => event.match_id === open);
  const start = mine.find((event) => event.event === "match-started")?.at ?? mine[0]?.at ?? 0;
  const players = new Set(depth?.names ?? []);
  const links = story.events.filter((event) => event.at >= start && !event.match_id && players.has(event.user) && event.event in LINKS);
  const servers = story.events.filter((event) => event.at >= start && event.event in SERVERS);
  const all = [...mine, ...links, ...servers].sort((one, other) => one.at - other.at).slice(-60);
  const words = all.map((event) => `${clock(event.at)} ${(MATCH[event.event] ?? LINKS[event.event] ?? SERVERS[event.event] ?? ((it) => it.event))(event)}`);
  if (byId("match-path").dataset.key === words.join()) return;
  byId("match-path").dataset.key = words.join();
  byId("match-path").replaceChildren(...words.map((word) => element("li", {}, word)));
}

const MATCH = {
  "match-started": (event) => `begun: ${event.x} from ${event.x_ip}, ${event.o} from ${event.o_ip}`,
  "match-rejoined": (event) => `${event.user} is back at the board, from ${event.ip}`,
  "match-suspended": (event) => `suspended by ${event.by}`,
  "match-resumed": () => "gone on with",
  "match-settled": (event) => `settled after ${event.plies} moves${event.winner ? `, ${event.winner} has won` : ""}`,
  regranted: (event) => `a seat has another key, epoch ${event.epoch}`,
};
const LINKS = {
  "link-lost": (event) => `${event.user} has lost the link to the server (${known(event.cause) === "unknown" ? event.cause : known(event.cause)})`,
  outage: (event) => `${event.user} has a link again after ${event.at_least ? "at least " : ""}${length(event.length_ms)} (${event.cause})`,
  "login-ok": (event) => `${event.user} has logged in from ${event.ip}`,
};
const SERVERS = {
  "server-started": (event) => `run ${event.boot} of the server began; the one before ${event.last_run === "well" ? "had ended well" : "had failed"}`,
  "server-stopping": () => "the server was asked to stop",
};
