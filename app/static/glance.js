// The rack at a glance: counts the round down, and says how it goes in one sentence, not too often.
//
// The countdown is this browser's own: from when it heard that the round had changed, on a clock that nobody
// sets (performance.now). Before it has heard that once it does not know, and says how often a round comes.
import { swarm } from "./patcher.js";

const EVERY = 10_000; // ms between two sentences, at least: a screen reader reads out each
const LATE = 2; // s after which a round that does not come is called late
const said = /** @type {HTMLElement} */ (document.getElementById("countdown-said"));
const bar = /** @type {HTMLProgressElement} */ (document.getElementById("countdown-bar"));
const summary = /** @type {HTMLElement} */ (document.getElementById("summary"));

/** @type {number | undefined} */
let round; // as last heard
/** @type {number | undefined} */
let changedAt; // when it was first heard, where the one before was, too
let saidAt = -Infinity;
let waiting = 0; // the timer of a sentence that is not to be said yet

/** @param {HTMLElement} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function hear() {
  const now = swarm.state?.rps?.round;
  if (now === round) return;
  changedAt = round === undefined || now === undefined ? undefined : performance.now();
  round = now;
}

/**
 * What the countdown says, and how much of the round is left, from 0 to 1; null: nobody can tell.
 * @param {{choice?: string, interval_seconds?: number}} rps
 * @param {number | undefined} elapsed seconds since the round began
 * @returns {[string, number | null]}
 */
export function told(rps, elapsed) {
  const interval = rps.interval_seconds;
  if (!interval) return ["–", null];
  if (!rps.choice) return ["nobody throws", null];
  if (elapsed === undefined) return [`every ${interval} s`, null];
  const left = Math.ceil(interval - elapsed);
  if (left >= 0) return [left > 0 ? `in ${left} s` : "now", Math.max(0, 1 - elapsed / interval)];
  return [-left > LATE ? `${-left} s late` : "now", 0];
}

function count() {
  if (document.hidden || !swarm.state?.rps) return;
  const cut = swarm.state.stale_seconds !== undefined || document.getElementById("live")?.dataset.phase !== "live";
  const elapsed = changedAt === undefined ? undefined : (performance.now() - changedAt) / 1000;
  /** @type {[string, number | null]} */
  const [text, share] = cut ? ["not known", null] : told(swarm.state.rps, elapsed);
  write(said, text);
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
}

function say() {
  waiting = 0;
  const sentence = `${swarm.state?.swarm?.summary ?? "Nothing is known about the troopers yet"}.`;
  if (summary.textContent === sentence) return;
  summary.textContent = sentence;
  saidAt = performance.now();
}

function sayLater() {
  if (!waiting) waiting = window.setTimeout(say, Math.max(0, saidAt + EVERY - performance.now()));
}

document.addEventListener("claw:state", (event) => {
  const patch = /** @type {CustomEvent<any>} */ (event).detail;
  if (patch === null) changedAt = round = undefined; // who knows how long this page was cut off
  hear();
  if (patch === null || patch.swarm) sayLater();
});
document.addEventListener("claw:painted", count);
setInterval(count, 500);
