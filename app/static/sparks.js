// Sparklines: each trooper's last scores as a step line over a line at zero, in the <svg data-spark="<task>">
// of its tile. They begin with what a replica saw (history.js) and go on with the stream. Only those on the
// screen are drawn, and only when their trooper's score has a new point.
import { taskIdOf } from "./page.js";
import { swarm } from "./patcher.js";
import "./history.js";
import { skipped } from "./unseen.js";

const MOST = 60; // scores kept of a trooper, as the replica has it (clawbucket/core/history.py)
const FEWEST = 20; // rounds that the width stands for, at least
const LOWEST = 4; // points that the height stands for, at least: a single one is no cliff
const WIDTH = 100, HEIGHT = 20, EDGE = 2; // of the viewBox
const SVG = "http://www.w3.org/2000/svg";

/**
 * A trooper's last scores: the first `count` of `kept`, which has room for all that are ever kept, so that a page
 * that watches for long needs no more memory than one that has just begun.
 * @typedef {{told: number, ahead: boolean, count: number, kept: Int32Array}} Line
 */
/** @type {Map<string, Line>} */
const lines = new Map();
/** @type {Set<string>} troopers with a point that is not drawn */
const fresh = new Set();
/** @type {Set<string>} of them those whose tile the browser does not draw just now (css/tile.css: content-visibility) */
const unseen = new Set();
/** @type {Map<string, SVGElement>} the tiles' lines by their trooper */
let drawn = new Map();

// -- scores ------------------------------------------------------------------------------------------------

/** @param {number} told @param {boolean} ahead @param {readonly number[]} scores @returns {Line} */
function lineOf(told, ahead, scores) {
  const last = scores.slice(-MOST);
  const kept = new Int32Array(MOST);
  kept.set(last);
  return { told, ahead, count: last.length, kept };
}

/** What is known of a trooper's latest scores, oldest first. @param {string} id @returns {number[]} */
export function scoresOf(id) {
  const line = lines.get(id);
  return line ? [...line.kept.subarray(0, line.count)] : [];
}

/** @param {Line} line @param {number} score */
function add(line, score) {
  if (line.count === MOST) line.kept.copyWithin(0, 1);
  else line.count += 1;
  line.kept[line.count - 1] = score;
}

/**
 * Take in a trooper's score. It is published before the round that made it, so a round that moves alone is a
 * draw, unless its score is here already.
 * @param {string} id
 */
function play(id) {
  const task = swarm.state.tasks[id];
  if (!task) return void lines.delete(id);
  const line = lines.get(id) ?? lineOf(-1, false, []);
  lines.set(id, line);
  const moved = task.round !== line.told;
  const same = line.count > 0 && task.score === line.kept[line.count - 1];
  const point = !same || (moved && !line.ahead);
  line.ahead = !moved && (line.ahead || !same);
  line.told = task.round;
  if (!point) return;
  add(line, task.score);
  fresh.add(id);
}

/** @param {Record<string, number[]>} tasks each one's scores, as a replica saw them */
function begin(tasks) {
  for (const [id, scores] of Object.entries(tasks)) {
    const line = lines.get(id);
    if (line && line.count > scores.length) continue; // this page has watched for longer
    const task = swarm.state?.tasks[id];
    lines.set(id, lineOf(task?.round ?? -1, task === undefined, scores));
    if (task) play(id);
    fresh.add(id);
  }
  draw();
}

document.addEventListener("claw:history", (event) => begin(/** @type {CustomEvent} */ (event).detail.tasks));
document.addEventListener("claw:state", (event) => {
  const patch = /** @type {CustomEvent} */ (event).detail;
  if (patch === null) {
    for (const id of lines.keys()) if (!swarm.state.tasks[id]) lines.delete(id);
    for (const id of Object.keys(swarm.state.tasks)) play(id);
  } else {
    for (const [id, fields] of Object.entries(patch.tasks ?? {})) {
      if (fields === null || "score" in fields || "round" in fields) play(id);
    }
  }
});

// -- drawing -----------------------------------------------------------------------------------------------

/** A step line through the scores, the newest at the right, and the line at zero. @param {readonly number[]} scores */
export function paths(scores) {
  let low = Math.min(0, ...scores), high = Math.max(0, ...scores);
  const more = Math.max(0, LOWEST - (high - low)) / 2;
  low -= more;
  high += more;
  const step = WIDTH / Math.max(scores.length, FEWEST);
  const y = (/** @type {number} */ score) => (HEIGHT - EDGE - ((score - low) / (high - low)) * (HEIGHT - 2 * EDGE)).toFixed(1);
  const x = (/** @type {number} */ i) => (WIDTH - (scores.length - i) * step).toFixed(1);
  const steps = scores.map((score, i) => `${i ? "V" : `M${x(0)} `}${y(score)}H${x(i + 1)}`);
  return { zero: `M0 ${y(0)}H${WIDTH}`, line: steps.join("") };
}

/** @param {SVGElement} svg */
function fill(svg) {
  const scores = scoresOf(svg.dataset.spark ?? "");
  if (!scores.length) return;
  for (const [name, d] of Object.entries(paths(scores))) {
    let path = svg.querySelector(`.${name}`);
    if (!path) {
      path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      svg.append(path);
    }
    path.setAttribute("d", d);
  }
}

/**
 * Draw those that are seen. The browser is asked about those with news alone: an observer of a thousand tiles costs
 * something in every frame.
 * @param {(id: string, svg: SVGElement) => boolean} isSeen
 */
function draw(isSeen = (_, svg) => svg.checkVisibility({ contentVisibilityAuto: true })) {
  const seen = [];
  for (const id of fresh) {
    const svg = drawn.get(id);
    if (!svg) continue;
    if (isSeen(id, svg)) seen.push(svg);
    else unseen.add(id);
  }
  fresh.clear();
  seen.forEach(fill);
}

/** Draw whose news was not drawn because nobody saw it. @param {Iterable<string>} ids */
function catchUp(ids) {
  for (const id of ids) if (unseen.delete(id)) fresh.add(id);
  draw();
}

/** Find the tiles' lines anew: a morph empties those that stay, and brings others. */
function find() {
  /** @type {NodeListOf<SVGElement>} */
  const found = document.querySelectorAll("svg[data-spark]");
  drawn = new Map([...found].map((svg) => [svg.dataset.spark ?? "", svg]));
  unseen.clear();
  for (const id of drawn.keys()) fresh.add(id);
  draw();
}

document.addEventListener("contentvisibilityautostatechange", (event) => {
  const { target } = event;
  if (unseen.size && target instanceof HTMLElement) catchUp([taskIdOf(target)]);
}, true);
document.addEventListener("claw:sifted", () => catchUp([...unseen]));
document.addEventListener("claw:painted", () => { if (fresh.size) draw((id) => !skipped.has(`tasks/${id}`)); });
document.body.addEventListener("htmx:afterSwap", (event) => { if (/** @type {Element} */ (event.target).id === "squads") find(); });
find();
