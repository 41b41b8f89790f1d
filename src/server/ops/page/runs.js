// The runs of the server: a row each, with a bar on a common axis and how it ended.

import { byId, clock, day, drawn, element, length } from "./make.js";

const ROWS_MAX = 12;
const WIDE = 400;

const ENDS = {
  well: ["stopped", "asked to stop, all written"],
  failed: ["failed", "died or was killed"],
  now: ["running", "serving"],
  gone: ["no answer", "cannot be reached"],
};

let told;

export function drawRuns(runs, now, goneSince) {
  const shown = runs.slice(-ROWS_MAX);
  const first = shown[0]?.at ?? now;
  const span = Math.max(1000, now - first);
  const last = runs.at(-1);
  const how = (run) => (run === last ? (goneSince === undefined ? "now" : "gone") : (run.ended ?? "failed"));
  const key = JSON.stringify([shown.map((run) => [run.at, how(run)]), Math.floor(now / 1000)]);
  if (key === told) return;
  told = key;
  const rows = shown.toReversed().map((run) => {
    const end = run === last ? (goneSince ?? now) : run.end;
    const [word, sentence] = ENDS[how(run)];
    const x = ((run.at - first) / span) * WIDE;
    const wide = Math.max(3, ((end - run.at) / span) * WIDE);
    const picture = drawn("svg", { viewBox: `0 0 ${WIDE} 14`, preserveAspectRatio: "none", "aria-hidden": "true", class: "axis" });
    picture.append(drawn("line", { x1: 0, x2: WIDE, y1: 7, y2: 7, class: "rule" }));
    const begin = Math.min(x, WIDE - wide);
    picture.append(drawn("rect", { height: 8, y: 3, x: begin, width: wide, class: `ran ${how(run)}` }));
    // How it ended stands at its end.
    if (how(run) !== "now") picture.append(drawn("rect", { height: 14, y: 0, x: begin + wide - 2.5, width: 2.5, class: `cap ${how(run)}` }));
    const ended = element("td", { title: sentence }, [element("span", { class: `mark ${how(run)}`, "aria-hidden": "true" }), word]);
    const recovered = run.cut ? "–" : `${run.sessions} / ${run.matches}`;
    return element("tr", {}, [
      element("th", { scope: "row" }, String(run.boot ?? "earlier")),
      element("td", { class: "number" }, run.cut ? `before ${clock(run.at)}` : `${day(run.at)} ${clock(run.at)}`),
      element("td", { class: "number" }, `${run.cut ? "≥ " : ""}${length(end - run.at)}`),
      ended,
      element("td", { class: "number" }, recovered),
      element("td", { class: "plot" }, [picture]),
    ]);
  });
  byId("runs").replaceChildren(...rows);
}
