// Numbers, sessions, matches and outages as text.

import { dials } from "./history.js";
import { Children, byId, clock, count, drawn, element, length, say, set, short } from "./make.js";

const ROWS_MAX = 100;

const numbers = new Children(byId("numbers"));
const bodies = new Map();

function rows(id, list, columns, empty) {
  const body = byId(id);
  if (!bodies.has(id)) bodies.set(id, new Children(body));
  const known = bodies.get(id);
  known.begin();
  if (list.length === 0) {
    known.at("none", () => {
      const row = element("tr", { class: "none" });
      row.append(element("td", { colspan: columns.length }, empty));
      return row;
    });
  }
  const wanted = list.map(({ key, item }) => {
    const row = known.at(key, () => {
      const made = element("tr");
      made.append(...columns.map((column) => element(column.head ? "th" : "td", column.head ? { scope: "row" } : { class: column.class })));
      return made;
    });
    columns.forEach((column, place) => column.fill(row.children[place], item));
    return row;
  });
  known.end();
  // In the order of the list; what stands right is not moved, for it would lose the focus.
  let place = body.firstElementChild;
  for (const row of wanted) {
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
}

const text = (of) => (cell, item) => say(cell, String(of(item)));

// A mark by shape and colour, and the word.
function state(word) {
  return (cell, item) => {
    const is = word(item);
    if (cell.dataset.state === is) return;
    cell.dataset.state = is;
    cell.replaceChildren(element("span", { class: `mark ${is}`, "aria-hidden": "true" }), document.createTextNode(is));
  };
}

export function swatch(cause) {
  const box = drawn("svg", { class: "swatch", viewBox: "0 0 14 10", "aria-hidden": "true" });
  box.append(drawn("rect", { class: `bar ${cause}`, width: 14, height: 10, rx: 2 }));
  box.append(drawn("rect", { fill: `url(#weave-${cause})`, width: 14, height: 10, rx: 2 }));
  return box;
}

export function tellNumbers(now) {
  const told = {
    "sessions with a link": now.live,
    "sessions away": now.away,
    "matches in play": now.active,
    "matches suspended": now.suspended,
    "results to be told": now.decided,
    "facts in the journal": now.facts,
    memory: now.resident_bytes == null ? "–" : `${(now.resident_bytes / 1e6).toFixed(1)} MB`,
  };
  numbers.begin();
  for (const [name, value] of Object.entries(told)) {
    const box = numbers.at(name, () => element("div", {}, [element("dt", {}, name), element("dd")]));
    say(box.lastChild, String(value ?? "–"));
  }
  numbers.end();
}

export function tellSessions(now) {
  const sessions = now.sessions ?? [];
  const list = sessions.slice(0, ROWS_MAX).map((item) => ({ key: item.session, item }));
  rows("sessions", list, [
    { head: true, fill: text((item) => item.user) },
    { fill: state((item) => (item.live ? "live" : "away")) },
    { class: "id", fill: text((item) => (item.match ? short(item.match) : "–")) },
    { class: "id", fill: text((item) => short(item.session)) },
  ], "Nobody is logged in.");
  const all = (now.live ?? 0) + (now.away ?? 0);
  say(byId("sessions-more"), all > list.length ? `${all - list.length} more are not shown` : "");
}

// Those that are open, and behind them the last ones that were settled.
export function tellMatches(now, ended, open) {
  const matches = now.matches ?? [];
  const isOpen = new Set(matches.map((item) => item.match));
  const over = ended.filter((item) => !isOpen.has(item.match));
  const list = [...matches.slice(0, ROWS_MAX), ...over].map((item) => ({ key: item.match, item }));
  rows("matches", list, [
    {
      head: true,
      fill: (cell, item) => {
        if (cell.firstChild) return;
        const button = element("button", { type: "button", class: "open", "aria-haspopup": "dialog" }, short(item.match));
        button.setAttribute("aria-label", `Open match ${short(item.match)}, ${item.x} against ${item.o}`);
        button.addEventListener("click", () => open(item.match));
        cell.append(button);
      },
    },
    { fill: text((item) => item.x) },
    { fill: text((item) => item.o) },
    { fill: text((item) => item.game) },
    { class: "number", fill: text((item) => item.ply) },
    { fill: state((item) => item.state) },
  ], "Nothing is played.");
  const all = (now.active ?? 0) + (now.suspended ?? 0) + (now.decided ?? 0);
  const shown = list.length - over.length;
  say(byId("matches-more"), all > shown ? `${all - shown} more are not shown` : "");
}

export function tellOutages(outages) {
  const list = outages.slice(-ROWS_MAX).toReversed().map((item) => ({ key: item.key, item }));
  rows("outages", list, [
    { fill: text((item) => clock(item.end)) },
    { head: true, fill: text((item) => item.user) },
    {
      fill: (cell, item) => {
        if (!cell.firstChild) cell.append(swatch(item.cause), item.cause);
      },
    },
    { class: "number", fill: text((item) => `${item.at_least ? "≥ " : ""}${length(item.end - item.start)}`) },
    { class: "number", fill: text((item) => item.attempts ?? "–") },
    { class: "waits", fill: (cell, item) => {
      const waits = item.waits ? item.waits.join(", ") : "–";
      say(cell, waits.length > 40 ? `${waits.slice(0, 40)} …` : waits);
      set(cell, { "aria-label": item.waits ? dials(item, count) : "not told" });
    } },
  ], "None yet. Kill the server or a client, and watch.");
}
