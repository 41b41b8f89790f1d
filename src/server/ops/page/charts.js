// What the server does, second by second, since this page was opened: charts by uPlot.

/* global uPlot */
import { byId, element, say } from "./make.js";

const SECONDS_MAX = 300;
const HEIGHT = 120;

const CHARTS = [
  {
    title: "Journal sync",
    lines: [{ name: "mean of a second", unit: "ms", colour: "--one", of: ({ syncs, sync_ms }) => (syncs > 0 ? sync_ms / syncs : null), digits: 2, points: true }],
  },
  {
    title: "Throughput",
    lines: [
      { name: "received", unit: "kB/s", colour: "--one", of: ({ bytes_in, seconds }) => bytes_in / seconds / 1000, digits: 1 },
      { name: "sent", unit: "kB/s", colour: "--two", dash: [5, 3], of: ({ bytes_out, seconds }) => bytes_out / seconds / 1000, digits: 1 },
    ],
  },
  {
    title: "Facts written",
    lines: [{ name: "facts", unit: "a second", colour: "--one", of: ({ facts, seconds }) => facts / seconds, digits: 1 }],
  },
  {
    title: "Waiting",
    lines: [
      { name: "handshakes", unit: "", colour: "--one", of: ({ handshakes }) => handshakes, digits: 0 },
      { name: "logins", unit: "", colour: "--two", dash: [5, 3], of: ({ logins_waiting }) => logins_waiting, digits: 0 },
    ],
  },
];

let last;
const times = [];
for (const chart of CHARTS) {
  chart.columns = chart.lines.map(() => []);
  const keys = chart.lines.map((line) => {
    line.value = element("b");
    return element("span", { class: `key ${line.dash ? "dashed" : ""} ${line.colour.slice(2)}` }, [`${line.name} `, line.value, ` ${line.unit}`]);
  });
  chart.box = element("div", { class: "plot", role: "img" });
  byId("charts").append(element("figure", {}, [element("figcaption", {}, [element("span", { class: "title" }, chart.title), ...keys]), chart.box]));
}

const COUNTERS = ["syncs", "sync_ms", "bytes_in", "bytes_out", "facts"];

// A look at the server, or nothing while it cannot be reached.
export function plot(now) {
  let changed;
  if (now && last && last.boot === now.boot && now.at > last.at) {
    changed = { seconds: (now.at - last.at) / 1000, handshakes: now.handshakes, logins_waiting: now.logins_waiting };
    for (const name of COUNTERS) changed[name] = now[name] - last[name];
  }
  last = now?.syncs === undefined ? undefined : now;
  times.push((now?.at ?? Date.now()) / 1000);
  if (times.length > SECONDS_MAX) times.shift();
  for (const chart of CHARTS) {
    chart.lines.forEach((line, place) => {
      const value = changed ? line.of(changed) : null;
      chart.columns[place].push(value);
      if (chart.columns[place].length > SECONDS_MAX) chart.columns[place].shift();
      say(line.value, value == null ? "–" : value.toFixed(line.digits));
    });
    chart.box.setAttribute("aria-label", `${chart.title}: ${chart.lines.map((line) => `${line.name} ${line.value.textContent} ${line.unit}`).join(", ")}`);
    chart.made?.setData([times, ...chart.columns]);
  }
}

function make() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), font: "11px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  for (const chart of CHARTS) {
    chart.made?.destroy();
    const most = (_, low, high) => [0, Math.max(high ?? 0, 0.1) * 1.15];
    chart.made = new uPlot({
      width: Math.max(200, chart.box.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: most } },
      axes: [{ ...axis, space: 80, size: 26, values: (_, all) => all.map((at) => new Date(at * 1000).toTimeString().slice(0, 8)) }, { ...axis, size: 44 }],
      series: [{}, ...chart.lines.map((line) => ({ label: line.name, stroke: colour(line.colour), width: 1.5, dash: line.dash, points: { show: line.points ?? false, size: 5, fill: colour(line.colour) } }))],
    }, [times, ...chart.columns], chart.box);
  }
}

make();
new ResizeObserver(() => {
  for (const { made, box } of CHARTS) made.setSize({ width: Math.max(200, box.clientWidth), height: HEIGHT });
}).observe(byId("charts"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
