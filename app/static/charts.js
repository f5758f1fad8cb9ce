// The rack chart: how many run and should, how many are not alive, and everybody's score, over the last twenty
// minutes (course.js). Drawn by uPlot on a canvas; what it says is told in words beside it and, for whoever
// does not see it, in its label. SERIES is all there is to a line: another one is another entry. While a load
// test tells of itself (POST /api/load), its rate and how long it waits are drawn over them.
import { swarm } from "./patcher.js";
import { course, gaps, STEP } from "./course.js";
import { keyboard } from "./chart_keys.js";
import { colours, follow } from "./inks.js";

/** The library, which is fetched when the chart is first on the screen. @type {any} */
let uPlot = null;
const QUIETLY = 30_000; // ms between two new labels
const SHORTEST = 60; // seconds that the width stands for, at least
const TEXT = 16; // px of the text for which widths and dashes are meant
const OF_LOAD = "load_"; // columns of which nothing is shown until something is known
const HOLLOW = 5; // px between two strokes of a gap's hatching
/** Why there is a gap, as words of a sentence. @type {Record<string, string>} */
const REASONS = {
  bus: "the bus did not answer", unwatched: "the replica did not look", stream: "this page was cut off", page: "nobody looked",
};

/**
 * `id` is a column of course.js and a colour of css/chart.css (.series-<id>). No two have the same dashes: colour
 * alone tells nothing. A scale without an axis of its own is told by the legend.
 * @type {{id: string, name: string, scale: string, width: number, dash: number[]}[]}
 */
const SERIES = [
  { id: "running", name: "running", scale: "troopers", width: 2.5, dash: [] },
  { id: "desired", name: "desired", scale: "troopers", width: 1.5, dash: [7, 4] },
  { id: "not_alive", name: "suspect or missing", scale: "troopers", width: 2, dash: [2, 3] },
  { id: "score", name: "total score, at the right", scale: "points", width: 1.5, dash: [10, 3, 2, 3] },
  { id: "load_rate", name: "load test, requests a second", scale: "rate", width: 1.5, dash: [1, 2] },
  { id: "load_p95", name: "load test, p95 in ms", scale: "ms", width: 1.5, dash: [6, 2, 1, 2, 1, 2] },
];

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(`rack-${id}`));
const [plot, empty, legend, moment, since, told] = ["plot", "empty", "series", "moment", "since", "gaps"].map(at);
/** @type {Map<string, {entry: HTMLElement, mark: SVGElement, value: HTMLElement}>} */
const entries = new Map();
/** @type {any} */
let chart = null;
let inks = /** @type {Record<string, string>} */ ({});
let seen = false; // on the screen
let size = { width: 0, height: 0 };
let letters = 0; // px of the page's text, of which the axes' is made
let labelledAt = -Infinity;

// -- words -------------------------------------------------------------------------------------------------

const clock = (/** @type {number} */ unix) => `${new Date(unix * 1000).toISOString().slice(11, 19)} UTC`;
const number = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? "–" : String(value).replace("-", "\u2212"));

const keys = keyboard(plot, () => chart, values);

function makeLegend() {
  for (const { id, name, width, dash } of SERIES) {
    const entry = document.createElement("li");
    entry.className = `series-${id}`;
    entry.hidden = id.startsWith(OF_LOAD);
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("viewBox", "0 0 28 8");
    mark.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [key, value] of Object.entries({ d: "M0 4H28", "stroke-width": width, "stroke-dasharray": dash.join(" ") })) {
      line.setAttribute(key, String(value));
    }
    mark.append(line);
    const value = document.createElement("b");
    entry.append(mark, ` ${name} `, value);
    legend.append(entry);
    entries.set(id, { entry, mark, value });
  }
}

/** The values under the pointer, or the latest. @param {number | null | undefined} place */
function tell(place) {
  const last = course.at.length - 1;
  const i = place ?? last;
  moment.textContent = place === null || place === undefined || place > last ? "now" : clock(course.at[i] + course.epoch);
  for (const [id, { entry, value }] of entries) {
    if (id.startsWith(OF_LOAD)) entry.hidden = !course.columns[id].some((known) => known !== null);
    const text = number(course.columns[id][i]);
    if (value.textContent !== text) value.textContent = text;
  }
}

/** The values of a sample in words, as they are read out where the chart has the focus. @param {number} i */
function values(i) {
  const parts = SERIES.filter(({ id }) => !entries.get(id)?.entry.hidden).map(({ id, name }) => `${name} ${course.columns[id][i] === null ? "not known" : number(course.columns[id][i])}`);
  const gap = course.gap[i] && `, ${REASONS[course.gap[i]]}`;
  return `${clock(course.at[i] + course.epoch)}: ${parts.join(", ")}${gap}`;
}

function tellGaps() {
  const found = gaps();
  const last = found.at(-1);
  const lasts = course.gap.at(-1) !== "";
  const of = last && `from ${clock(last.from + course.epoch)} ${lasts ? "until now" : `for ${Math.round(last.to - last.from)} s`}: ${REASONS[last.reason]}`;
  const text = !of ? "No gap." : found.length === 1 ? `One gap, ${of}.` : `${found.length} gaps, the last ${of}.`;
  if (told.textContent !== text) told.textContent = text;
  return text;
}

/** @param {string} gapsTold */
function label(gapsTold) {
  if (performance.now() - labelledAt < QUIETLY) return;
  labelledAt = performance.now();
  const minutes = Math.max(1, Math.round((course.at[course.at.length - 1] - course.at[0]) / 60));
  const parts = SERIES.filter(({ id }) => !entries.get(id)?.entry.hidden).map(({ id, name }) => {
    const known = course.columns[id].filter((value) => value !== null);
    return known.length ? `${name} ${number(course.columns[id].at(-1))}, between ${number(Math.min(...known))} and ${number(Math.max(...known))}` : `${name} unknown`;
  });
  plot.setAttribute("aria-label", `Line chart of the last ${minutes} min. Now ${parts.join("; ")}. ${gapsTold}`);
  if (!keys.holds()) keys.slide();
}

// -- chart -------------------------------------------------------------------------------------------------

const data = () => [course.at.map((second) => second + course.epoch), ...SERIES.map(({ id }) => course.columns[id])];

/** Hatch the gaps, from the last sample before each: nobody takes a missing line for a zero. @param {any} u */
function hatch(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  for (const gap of gaps()) {
    const [from, to] = [gap.from - STEP, gap.to].map((second) => Math.max(bbox.left, u.valToPos(second + course.epoch, "x", true)));
    ctx.rect(from, bbox.top, to - from, bbox.height);
  }
  ctx.clip();
  ctx.beginPath();
  const apart = HOLLOW * devicePixelRatio;
  for (let x = bbox.left - bbox.height; x < bbox.left + bbox.width; x += apart) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.strokeStyle = inks.axis;
  ctx.lineWidth = devicePixelRatio;
  ctx.stroke();
  ctx.restore();
}

/** @param {string} scale @param {number} side @param {boolean} grid */
function axis(scale, side, grid) {
  const stroke = () => inks.axis;
  const font = `${Math.round(letters * 0.75)}px system-ui, sans-serif`;
  return {
    scale, side, stroke, font, size: letters * 2.5, gap: 4, space: letters * 2,
    grid: { show: grid, stroke: () => inks.grid, width: 1 },
    ticks: { show: false },
    incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
    values: (/** @type {any} */ _u, /** @type {number[]} */ splits) => splits.map(number),
  };
}

/** A time of day, with its seconds where ticks are less than a minute apart. */
const times = (/** @type {any} */ _u, /** @type {number[]} */ splits, /** @type {any} */ _i, /** @type {any} */ _s, /** @type {number} */ apart) =>
  splits.map((unix) => new Date(unix * 1000).toISOString().slice(11, apart < 60 ? 19 : 16));

/** From nothing up, with room above. */
const upwards = (/** @type {any} */ _u, /** @type {number | null} */ _low, /** @type {number | null} */ high) => [0, Math.max(1, (high ?? 0) * 1.15)];

function build() {
  const thick = letters / TEXT;
  chart?.destroy();
  const bottom = { ...axis("x", 2, false), incrs: [5, 10, 15, 30, 60, 120, 300, 600], space: letters * 5, size: letters * 1.6, values: times };
  chart = new uPlot({
    ...size,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    tzDate: (/** @type {number} */ unix) => uPlot.tzDate(new Date(unix * 1000), "Etc/UTC"),
    scales: {
      x: { range: (/** @type {any} */ _u, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(low, high - SHORTEST), high] },
      troopers: { range: (/** @type {any} */ _u, /** @type {any} */ _low, /** @type {number | null} */ high) => [0, Math.max(2, Math.ceil((high ?? 0) * 1.15))] },
      rate: { range: upwards }, ms: { range: upwards },
      points: { range: (/** @type {any} */ _u, /** @type {number | null} */ low, /** @type {number | null} */ high) => [Math.min(0, low ?? 0) - 2, Math.max(0, high ?? 0) + 2] },
    },
    axes: [bottom, axis("troopers", 3, true), axis("points", 1, false)],
    series: [{}, ...SERIES.map(({ id, scale, width, dash }) => ({
      scale, width: width * thick, dash: dash.map((length) => length * thick), stroke: () => inks[id], points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
    }))],
    hooks: { drawClear: [hatch], setCursor: [(/** @type {any} */ u) => tell(u.cursor.idx)] },
  }, data(), plot);
}

function draw() {
  if (swarm.paused) return;
  const ready = course.at.length > 1;
  empty.hidden = ready;
  if (!course.at.length) return;
  const gapsTold = tellGaps();
  if (!chart?.cursor.left || chart.cursor.left < 0) tell(null);
  if (!ready) return;
  label(gapsTold);
  if (!uPlot || !seen || !size.width || document.hidden) return;
  if (chart) chart.setData(data());
  else build();
  keys.point();
}

function dye() {
  inks = { ...colours(Object.fromEntries([...entries].map(([id, { mark }]) => [id, mark]))), ...colours({ axis: since, grid: plot }) };
  chart?.redraw(false);
}

/** Once; to read and start it takes a twentieth of a second, in which a first visit has better things to show. */
function fetchLibrary() {
  if (document.getElementById("uplot")) return;
  const script = Object.assign(document.createElement("script"), { id: "uplot", src: new URL("vendor/uPlot.iife.min.js", import.meta.url).href });
  script.addEventListener("load", () => {
    uPlot = /** @type {any} */ (globalThis).uPlot;
    draw();
  });
  document.head.append(script);
}

makeLegend();
follow(dye);
document.addEventListener("claw:history", () => {
  since.textContent = `As seen by ${course.replica} since ${clock(Date.parse(course.since) / 1000)}.`;
  empty.textContent = `${course.replica} watches since ${clock(Date.parse(course.since) / 1000)}; the first points come in a few seconds.`;
});
document.addEventListener("claw:sample", draw);
document.addEventListener("visibilitychange", draw);
new IntersectionObserver((found) => {
  seen = found.some((entry) => entry.isIntersecting);
  if (seen) fetchLibrary();
  draw();
}, { rootMargin: "200px" }).observe(plot);
new ResizeObserver(([{ contentRect: { width, height } }]) => {
  size = { width: Math.floor(width), height: Math.floor(height) };
  const now = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const grown = now !== letters;
  letters = now;
  if (chart && grown) build();
  else chart?.setSize(size);
  draw();
}).observe(plot);
