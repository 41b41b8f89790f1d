// How long outages last: columns by length, stacked by cause, with the figures.

import { CAUSES } from "./history.js";
import { byId, drawn, element, length } from "./make.js";

const EDGES = [25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000, 60_000, Infinity];
const MARKS = ["25 ms", "50", "100", "250", "500", "1 s", "2.5 s", "5 s", "15 s", "1 min", "more"];
const TALL = 120;

let told;

export function drawHistogram(outages) {
  const lengths = outages.map((outage) => ({ ms: outage.end - outage.start, cause: outage.cause }));
  const wide = Math.max(240, byId("histogram").clientWidth);
  const step = wide / EDGES.length;
  const key = JSON.stringify([wide, lengths]);
  if (key === told) return;
  told = key;
  const columns = EDGES.map((edge, place) => lengths.filter(({ ms }) => ms <= edge && ms > (EDGES[place - 1] ?? -1)));
  const most = Math.max(1, ...columns.map((column) => column.length));
  const names = EDGES.map((edge) => (edge === Infinity ? "more" : `≤ ${length(edge).replace(".0 ", " ")}`));
  const picture = drawn("svg", { width: wide, height: TALL + 44, role: "img", "aria-label": `Outages by length: ${columns.map((column, place) => `${names[place]}: ${column.length}`).join("; ")}` });
  picture.append(drawn("line", { class: "base", x1: 0, x2: wide, y1: TALL + 20.5, y2: TALL + 20.5 }));
  const gap = Math.min(6, step / 8);
  columns.forEach((column, place) => {
    let top = TALL + 20;
    const x = place * step + gap;
    for (const cause of Object.keys(CAUSES)) {
      const number = column.filter((one) => one.cause === cause).length;
      if (number === 0) continue;
      const height = (number / most) * TALL;
      top -= height;
      picture.append(drawn("rect", { class: `bar ${cause}`, x, y: top, width: step - 2 * gap, height }));
      picture.append(drawn("rect", { fill: `url(#weave-${cause})`, x, y: top, width: step - 2 * gap, height }));
    }
    const middle = x + (step - 2 * gap) / 2;
    if (column.length > 0) picture.append(drawn("text", { x: middle, y: top - 5, "text-anchor": "middle", class: "count" }, column.length));
    // Where there is little room every second one must do.
    if (step < 36 && place % 2 === 1) return;
    picture.append(drawn("text", { x: place === 0 ? Math.max(middle, 17) : middle, y: TALL + 37, "text-anchor": "middle", class: "edge" }, MARKS[place]));
  });
  byId("histogram").replaceChildren(picture);
  const sorted = lengths.map(({ ms }) => ms).sort((one, other) => one - other);
  const rank = (percent) => sorted[Math.ceil((sorted.length * percent) / 100) - 1];
  const figures = { outages: String(sorted.length), median: rank(50), "95 of 100 within": rank(95), longest: sorted.at(-1) };
  byId("figures").replaceChildren(...Object.entries(figures).map(([name, value]) => {
    const said = value === undefined ? "–" : typeof value === "number" ? length(value) : value;
    return element("div", {}, [element("dt", {}, name), element("dd", {}, said)]);
  }));
}
