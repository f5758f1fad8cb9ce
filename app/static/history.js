// What happened before this page was opened: fetched once from a replica that watched, and again whenever the
// stream begins anew, since the page saw nothing meanwhile. Others hear of it by "claw:history" on `document`
// (detail: the answer of GET /api/history).
const SHORTEST = 2000; // ms between two requests
const LONGEST = 60_000; // ms between two requests that failed
const SPREAD = 1000; // ms over which the pages of one rack come back

/**
 * The answer, as app/answers.py has it.
 * @typedef {{since: string, replica: string, tasks: Record<string, number[]>, rack: {
 *   seconds: number[], every_seconds: number, gaps: {from_seconds: number, to_seconds: number, reason: string}[],
 *   [column: string]: any}}} Past
 */

let timer = 0;
let tries = 0;
let askedAt = -Infinity;

async function ask() {
  timer = 0;
  askedAt = performance.now();
  try {
    const answer = await fetch("/api/history");
    if (!answer.ok) throw new Error(`The answer was ${answer.status}.`);
    const past = /** @type {Past} */ (await answer.json());
    tries = 0;
    document.dispatchEvent(new CustomEvent("claw:history", { detail: past }));
  } catch {
    // No replica answers just now. The page goes on with what it sees itself.
    again(Math.min(SHORTEST * 2 ** tries++, LONGEST));
  }
}

/** Ask, but not now: not too often, and not all pages in one moment. @param {number} wait ms */
function again(wait) {
  if (!timer) timer = setTimeout(ask, wait + Math.random() * SPREAD);
}

/** Ask for the past again. */
export function recall() {
  again(Math.max(0, SHORTEST - (performance.now() - askedAt)));
}

document.addEventListener("claw:state", (event) => {
  if (/** @type {CustomEvent} */ (event).detail === null && performance.now() - askedAt > SHORTEST) recall();
});
ask();
