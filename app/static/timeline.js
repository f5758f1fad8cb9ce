// The election timeline: reads the reigns from their tables (_timeline_reigns.html) and draws a lane a trooper.
//
// Drawn anew when a reign begins or ends, when the chart's width or what is asked for changes, and when the time
// has come to its right edge. In between, once a second, only the bar that goes on and the line of now are moved:
// time passes on this page's own clock, from the server's time in the fragment on. Far below the screen, under a
// thousand tiles, nothing is drawn until somebody comes near.
import { keep, kept } from "./address.js";
import { drawn } from "./timeline_chart.js";

/** @typedef {{task: string, name: string, color: string, slot: string, gone: boolean}} Lane */
/** @typedef {{task: string, name: string, epoch: string, began: number, ended: number, running: boolean, gap: string, told: string}} Reign */
/** @typedef {{alias: string, summary: string, more: number, vacant: number, lanes: Lane[], reigns: Reign[]}} Past */
/** @typedef {{start: number, end: number}} Span */

const FITTING = 8; // reigns that "as it fits" shows at least, where there are so many
const SHORTEST = 30_000; // ms that a chart spans at least
const AHEAD = 0.1; // of the span lies in the future, so that the bar that goes on has room
const NEAR = "1500px"; // from the screen; a wall of 4K is scrolled by two of its heights in some tenths of a second
const chart = /** @type {HTMLElement} */ (document.getElementById("timeline-chart"));
const frame = /** @type {HTMLElement} */ (chart.parentElement);
const fragment = /** @type {HTMLElement} */ (document.getElementById("timeline"));
const choice = /** @type {HTMLElement} */ (document.getElementById("timeline-choice"));
const which = /** @type {HTMLSelectElement} */ (document.getElementById("timeline-service"));
const width = /** @type {HTMLSelectElement} */ (document.getElementById("timeline-span"));

let ahead = -Infinity; // what the server's clock is ahead of this page's, ms
let wide = 0; // px that the chart has
let near = false; // whether it is on the screen, or soon
let late = false; // whether something is to be drawn as soon as it is
/** @type {{end: number, move: (now: number) => void} | null} */
let shown = null;

/** @param {string | undefined} text @returns {number} NaN where it was not told */
const time = (text) => (text === undefined ? NaN : Number(text));

/** @returns {number} the server's time, unix ms */
const now = () => ahead + performance.now();

/** @param {HTMLElement} section @returns {Past} */
function past(section) {
  /** @type {NodeListOf<HTMLElement>} */
  const lanes = section.querySelectorAll("[data-lane]");
  /** @type {NodeListOf<HTMLTableRowElement>} */
  const rows = section.querySelectorAll("[data-reign]");
  const { alias = "", more = "0", vacant } = section.dataset;
  return {
    alias,
    summary: section.querySelector(".summary")?.textContent ?? "",
    more: Number(more),
    vacant: time(vacant),
    lanes: [...lanes].map(({ dataset: lane }) => (
      { task: lane.lane ?? "", name: lane.name ?? "", color: lane.color ?? "", slot: lane.slot ?? "", gone: "gone" in lane }
    )),
    reigns: [...rows].reverse().map(({ dataset: reign, cells }) => ({
      task: reign.reign ?? "", name: cells[0].textContent ?? "", epoch: reign.epoch ?? "", gap: reign.gap ?? "",
      began: time(reign.began), ended: time(reign.ended), running: "running" in reign, told: cells[4].textContent ?? "",
    })),
  };
}

/** The span to draw: as asked for, or such that the latest reigns are in it. @param {Past} of @returns {Span} */
function spanOf({ reigns }) {
  const here = now();
  const asked = Number(width.value) * 1000;
  const begins = reigns.map((reign) => reign.began).filter((at) => at <= here).slice(-FITTING);
  const back = asked ? asked * (1 - AHEAD) : Math.max(SHORTEST, (here - Math.min(here, ...begins)) * 1.05);
  return { start: here - back, end: here + (back * AHEAD) / (1 - AHEAD) };
}

/** @returns {NodeListOf<HTMLElement>} */
const sections = () => fragment.querySelectorAll("[data-service]");

function offer() {
  const names = [...sections()].map(({ dataset }) => [dataset.service ?? "", dataset.alias ?? ""]);
  if ([...which.options].map((option) => option.value).join("\n") !== names.map(([name]) => name).join("\n")) {
    const before = which.value || kept("timeline");
    which.replaceChildren(...names.map(([name, alias]) => new Option(alias, name, false, name === before)));
  }
  choice.hidden = false;
  which.parentElement?.toggleAttribute("hidden", names.length < 2);
}

function draw() {
  late = !near;
  if (late) return;
  const section = [...sections()].find(({ dataset }) => dataset.service === which.value) ?? sections()[0];
  document.getElementById("timeline-key")?.toggleAttribute("hidden", !section);
  chart.hidden = !section;
  shown = null;
  if (!section) return chart.replaceChildren();
  const told = past(section);
  const span = spanOf(told);
  const { svg, move } = drawn(told, span, now(), wide);
  const words = document.createElement("p");
  words.className = "quiet";
  const gap = told.reigns.findLast((reign) => reign.gap);
  words.textContent = `${told.summary}${gap ? ` The last gap: about ${gap.gap} s without a manager, before ${gap.name}.` : ""}${told.more ? ` ${told.more} more replicas without a lane.` : ""}`;
  chart.replaceChildren(svg, words);
  shown = { end: span.end, move };
}

function arrived() {
  const of = fragment.querySelector("[data-now]");
  // A fragment that was kept for a while tells an older time; time never goes back here.
  if (of instanceof HTMLElement) ahead = Math.max(ahead, Number(of.dataset.now) - performance.now());
  offer();
  if (wide) draw();
}

function pass() {
  if (!near || !shown || document.hidden) return;
  if (now() > shown.end) draw();
  else shown.move(now());
}

function chose() {
  keep("timeline", which.selectedIndex > 0 ? which.value : null);
  keep("span", width.selectedIndex > 0 ? width.value : null);
  draw();
}

document.body.addEventListener("htmx:afterSettle", ({ target }) => { if (target === fragment) arrived(); });
choice.addEventListener("change", chose);
new ResizeObserver(([{ contentRect }]) => {
  if (Math.abs(contentRect.width - wide) < 1) return;
  wide = contentRect.width;
  draw();
}).observe(frame);
new IntersectionObserver((looks) => {
  near = looks[looks.length - 1].isIntersecting;
  if (late) draw();
  else pass();
}, { rootMargin: NEAR }).observe(frame);
setInterval(pass, 1000);

const span = kept("span");
if (span !== null && [...width.options].some((option) => option.value === span)) width.value = span;
document.getElementById("timeline-table")?.removeAttribute("open"); // it stands open where nothing is drawn
arrived();
