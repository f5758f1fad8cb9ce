// News of tiles that nobody sees waits until the browser has nothing else to do, or until its tile is about to be
// seen. Of a thousand tiles a screen shows some fifty, and to write into all the others was most of a frame.
//
// What is not drawn is still read: by a search in the page and by whoever listens to it. So it waits for no longer
// than LATEST, and only where there is so much news that it would be felt.
import { bindings, show } from "./bindings.js";
import { inIdleTime } from "./idle.js";
import { taskIdOf } from "./page.js";

const FEW = 40; // records with news that are written at once, seen or not
const LATEST = 400; // ms after which it is written however busy the page is; the stream brings news twice a second

/** Of this painting's news, the paths of those troopers whose tile the browser does not draw. @type {Set<string>} */
export const skipped = new Set();
/** Paths of troopers whose tile is behind, each with its changed fields (null: all). @type {Map<string, Set<string> | null>} */
const behind = new Map();
const soon = inIdleTime(behind, catchUp, LATEST);

/** What is inside of a tile is skipped where the browser does not draw it, and hidden where a filter hides it. @param {string} path */
function unseen(path) {
  const first = bindings.get(path)?.[0];
  if (first?.kind === "drawn" || !first?.element.matches(".tile")) return false;
  return first.element.firstElementChild?.checkVisibility({ contentVisibilityAuto: true }) === false;
}

/**
 * Show what is new of these records: now, or of tiles that nobody sees, soon.
 * @param {Map<string, Set<string> | null>} news
 */
export function showAll(news) {
  // All are asked before the first is written, since then the browser knows the answer without another layout.
  skipped.clear();
  for (const path of news.keys()) if (unseen(path)) skipped.add(path);
  for (const path of news.size > FEW ? skipped : []) {
    put(path, news.get(path) ?? null);
    news.delete(path);
  }
  for (const [path, changed] of news) {
    if (behind.has(path)) catchUp(path);
    show(path, changed);
  }
  soon();
}

/** @param {string} path @param {Set<string> | null} changed */
function put(path, changed) {
  const before = behind.get(path);
  if (before && changed) for (const field of changed) before.add(field);
  else if (before !== null) behind.set(path, changed);
}

/** @param {string} path */
function catchUp(path) {
  const changed = behind.get(path);
  behind.delete(path);
  if (changed !== undefined) show(path, changed);
}

/** Write all that waits, before the records go on without the page. */
export function showBehind() {
  for (const path of behind.keys()) catchUp(path);
}

document.addEventListener("contentvisibilityautostatechange", ({ target }) => {
  if (behind.size && target instanceof HTMLElement && target.matches(".tile")) catchUp(`tasks/${taskIdOf(target)}`);
}, true);
document.addEventListener("claw:sifted", showBehind);
