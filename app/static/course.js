// The rack's course: a sample every two seconds, at first as a replica saw it (history.js), then as the stream
// tells. Where nothing was seen there is a gap, and its reason: what was last known is not drawn on.
//
// A column is a list of numbers or nulls beside `at`. Whoever has more to show over the same time adds a name to
// COLUMNS and a way to read it in `known`.
import { swarm } from "./patcher.js";
import { recall } from "./history.js";

export const STEP = 2; // seconds between two samples, as the replica has it (clawbucket/core/history.py)
const MOST = 600;
const LATE = 3 * STEP; // a pause beyond this is a gap
export const COLUMNS = ["running", "desired", "not_alive", "score", "load_rate", "load_p95"];

/** @typedef {{from: number, to: number, reason: string}} Gap */

/** Seconds of `performance.now()`, which never goes back. */
const now = () => performance.now() / 1000;

/**
 * `at` is in seconds of this page's clock; plus `epoch` it is unix seconds of the replica that told the past.
 * `gap` has a reason beside each sample that is none, else "".
 * @type {{at: number[], gap: string[], columns: Record<string, (number | null)[]>, epoch: number, replica: string, since: string}}
 */
export const course = {
  at: [], gap: [], columns: Object.fromEntries(COLUMNS.map((name) => [name, []])),
  epoch: (performance.timeOrigin) / 1000, replica: "", since: "",
};

/** @param {number} at @param {Record<string, number | null> | string} seen values, or why there are none */
function push(at, seen) {
  course.at.push(at);
  course.gap.push(typeof seen === "string" ? seen : "");
  for (const name of COLUMNS) course.columns[name].push(typeof seen === "string" ? null : seen[name] ?? null);
  trim(course.at.length - MOST);
}

/** Let go of the oldest. @param {number} count */
function trim(count) {
  if (count > 0) for (const list of [course.at, course.gap, ...Object.values(course.columns)]) list.splice(0, count);
}

/** What the stream says now, or why that is nothing. */
function known() {
  const { state } = swarm;
  if (document.getElementById("live")?.dataset.phase !== "live") return "stream";
  if (state.unknown !== undefined || state.stale_seconds !== undefined) return "bus";
  const { running, desired, not_alive, score } = state.swarm;
  const told = state.snapshot_age_seconds === undefined && state.engine_error === undefined;
  // A load test tells its own figures (POST /api/load); no replica keeps them, so a page knows those it heard.
  const { rate = null, p95_ms = null } = state.load ?? {};
  return { running: told ? running : null, desired: told ? desired : null, not_alive, score, load_rate: rate, load_p95: p95_ms };
}

function sample() {
  if (!swarm.state) return;
  const at = now();
  const last = course.at.at(-1);
  if (last !== undefined) {
    if (at - last < STEP - 0.1) return;
    if (at - last > LATE) {
      push(last + STEP, "page"); // the browser held this page still; a replica knows more
      recall();
    }
  }
  push(at, known());
  document.dispatchEvent(new Event("claw:sample"));
}

/** Put what a replica saw in the place of what this page saw in that time. @param {import("./history.js").Past} past */
function begin({ since, replica, rack }) {
  const shift = now() - (rack.seconds.at(-1) ?? 0);
  course.epoch = Date.parse(since) / 1000 - shift;
  course.replica = replica;
  course.since = since;
  const first = (rack.seconds[0] ?? 0) + shift;
  const kept = course.at.filter((at) => at < first - STEP / 2).length;
  for (const list of [course.at, course.gap, ...Object.values(course.columns)]) list.splice(kept);
  const last = course.at.at(-1);
  if (last !== undefined && first - last > LATE) push(last + STEP, "page");
  const reasons = rack.seconds.map(() => "");
  for (const gap of rack.gaps) {
    rack.seconds.forEach((at, i) => {
      if (at >= gap.from_seconds && at <= gap.to_seconds && rack.score[i] === null) reasons[i] ||= gap.reason;
    });
  }
  rack.seconds.forEach((at, i) => {
    push(at + shift, reasons[i] || Object.fromEntries(COLUMNS.map((name) => [name, rack[name]?.[i] ?? null])));
  });
  document.dispatchEvent(new Event("claw:sample"));
}

/** Where nothing was seen, oldest first; one that lasts ends with the last sample. @returns {Gap[]} */
export function gaps() {
  /** @type {Gap[]} */
  const found = [];
  let open = false;
  course.gap.forEach((reason, i) => {
    const last = found.at(-1);
    if (open && last) last.to = course.at[i];
    if (!reason) open = false;
    else if (!open || last?.reason !== reason) {
      found.push({ from: course.at[i], to: course.at[i], reason });
      open = true;
    }
  });
  return found;
}

document.addEventListener("claw:history", (event) => begin(/** @type {CustomEvent} */ (event).detail));
document.addEventListener("claw:state", sample);
setInterval(sample, 1000);
