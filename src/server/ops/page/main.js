// The monitor: what comes from the stream goes into the history, and from there to what is drawn.

import { plot } from "./charts.js";
import { drawHistogram } from "./histogram.js";
import { History } from "./history.js";
import { byId, clock, length, say } from "./make.js";
import { openMatch, refresh } from "./match.js";
import { drawRuns } from "./runs.js";
import { Stream } from "./stream.js";
import { tellMatches, tellNumbers, tellOutages, tellSessions } from "./tables.js";
import { draw, legend } from "./timeline.js";

const DRAW_MS = 500;

const history = new History();
// What the server's clock is ahead of this one.
let ahead = 0;
let last;
let wanted = false;

function later() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    drawAll();
  });
}

function drawAll() {
  const goneSince = stream.isLive ? undefined : stream.goneSince + ahead;
  const now = Date.now() + ahead;
  const span = Number(byId("span").value) * 1000;
  draw({ history, now, span, sessions: last?.sessions, goneSince });
  drawHistogram(history.outages);
  drawRuns(history.runs, now, goneSince);
  tellOutages(history.outages);
  tellState();
}

// The words change when the state does, so that a screen reader says it once; the clock beside them runs silently.
function tellState() {
  const boot = last?.boot ?? "";
  const words = !stream.isLive
    ? `Disconnected since ${clock(stream.goneSince)}; trying again by itself`
    : last === undefined ? "Connected" : last.ready ? `Live, run ${boot}` : `Run ${boot} is not ready`;
  say(byId("state"), words);
  byId("light").className = stream.isLive ? (last?.ready === false ? "waits" : "live") : "gone";
  const since = stream.isLive ? history.runs.at(-1)?.at : stream.goneSince + ahead;
  const now = Date.now() + ahead;
  say(byId("since"), since === undefined ? "" : `${stream.isLive ? "up" : "for"} ${length(Math.max(0, Math.floor((now - since) / 1000) * 1000)).replace(".0 ", " ")}`);
  document.title = stream.isLive ? "rejoin monitor" : "✕ rejoin monitor";
}

const stream = new Stream({
  begin: () => {
    history.clear();
    later();
  },
  event: (event) => {
    history.take(event);
    later();
  },
  look: (now) => {
    if (now.at) ahead = now.at - Date.now();
    last = now;
    history.look(now);
    tellNumbers(now);
    tellSessions(now);
    tellMatches(now, history.ended(), (id) => openMatch(id, history));
    plot(now);
    refresh(history);
    later();
  },
  changed: () => {
    if (!stream.isLive) {
      if (last) history.gone(last.boot, stream.goneSince + ahead);
      plot(undefined);
      refresh(history);
    }
    later();
  },
});

legend();
byId("span").addEventListener("change", later);
new ResizeObserver(later).observe(byId("timeline"));
setInterval(later, DRAW_MS);
later();
