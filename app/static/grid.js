// The tiles as one stop for a keyboard: arrows go from tile to tile as they lie on the screen, and Tab goes
// through the controls of the current tile alone ("roving tabindex", WAI-ARIA Authoring Practices).
//
// Nothing listens to a single tile, and nothing is measured but at the press of a key.
const CONTROLS = "button, select, input:not([type=hidden]), a[href]";
const SLACK = 4; // px by which tiles of one row may differ
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
const squads = /** @type {HTMLElement} */ (document.getElementById("squads"));
/** @typedef {{tile: HTMLElement, left: number, right: number, top: number, bottom: number, x: number, y: number}} Place */

/** @type {HTMLElement | null} */
let current = null;
let number = 0; // its place among the tiles, for when it is gone
let within = false; // whether the focus was in it
/** @type {number | null} */
let column = null; // where a walk up or down began

/** The tile that has the focus. @returns {HTMLElement | null} */
export function focused() {
  return current?.contains(document.activeElement) ? current : null;
}

/** @returns {HTMLElement[]} */
const tiles = () => [...squads.querySelectorAll(/** @type {"li"} */ (".tile"))];

/** @param {HTMLElement} tile @param {number} to */
function stop(tile, to) {
  for (const control of tile.querySelectorAll(CONTROLS)) control.setAttribute("tabindex", String(to));
}

/** @param {HTMLElement} tile */
function choose(tile) {
  if (current && current !== tile) stop(current, -1);
  current = tile;
  stop(tile, 0);
}

// Tiles that were drawn anew come with controls that Tab would stop at, each of them, or that it would never stop at
// (_brief.html), those of the current one too.
function settle() {
  for (const control of squads.querySelectorAll(`.tile :is(${CONTROLS}):not([tabindex])`)) control.setAttribute("tabindex", "-1");
  if (current?.isConnected) stop(current, 0);
  keep();
}

/** There is a current tile, and one can see it. */
function keep() {
  if (current?.isConnected && current.checkVisibility()) return;
  const all = tiles().filter((tile) => tile.checkVisibility());
  const lost = within && document.activeElement === document.body;
  if (!all.length) {
    current = null;
    return;
  }
  choose(all[Math.min(number, all.length - 1)]);
  if (lost) focus({ preventScroll: true });
}

/** @param {FocusOptions} [how] */
function focus(how) {
  /** @type {HTMLElement | null | undefined} */
  const at = current?.querySelector(".open") ?? current?.querySelector(CONTROLS);
  at?.focus(how);
}

// -- walking -------------------------------------------------------------------------------------------

/** @returns {Place[]} where the tiles lie that one can see */
function places() {
  const found = [];
  for (const tile of tiles()) {
    const { left, right, top, bottom } = tile.getBoundingClientRect();
    if (right > left) found.push({ tile, left, right, top, bottom, x: (left + right) / 2, y: (top + bottom) / 2 });
  }
  return found;
}

/** The nearest to `x` in the row that lies next in that direction, `far` px away or more. @param {Place[]} all @param {Place} from @param {number} sign @param {number} x @param {number} far */
function vertical(all, from, sign, x, far) {
  const beyond = all.filter((at) => (at.y - from.y) * sign > SLACK && (sign > 0 ? at.top >= from.bottom - SLACK : at.bottom <= from.top + SLACK));
  if (!beyond.length) return from;
  const away = (/** @type {Place} */ at) => (at.top - from.top) * sign;
  const enough = beyond.filter((at) => away(at) >= far);
  const limit = enough.length ? Math.min(...enough.map(away)) : Math.max(...beyond.map(away));
  const row = beyond.filter((at) => Math.abs(away(at) - limit) <= SLACK);
  return row.reduce((best, at) => (Math.abs(at.x - x) < Math.abs(best.x - x) ? at : best));
}

/** The next one in the same row; at its end the next or last one there is. @param {Place[]} all @param {Place} from @param {number} sign */
function horizontal(all, from, sign) {
  const beside = all.filter((at) => (at.x - from.x) * sign > SLACK && at.top < from.bottom - SLACK && at.bottom > from.top + SLACK);
  if (beside.length) return beside.reduce((best, at) => ((at.x - best.x) * sign < 0 ? at : best));
  return all[all.indexOf(from) + sign] ?? from;
}

/** @param {string} key @param {Place[]} all @param {Place} from @returns {Place} */
function target(key, all, from) {
  const page = innerHeight * 0.8;
  const x = column ?? from.x;
  switch (key) {
    case "ArrowLeft": return horizontal(all, from, -1);
    case "ArrowRight": return horizontal(all, from, 1);
    case "ArrowUp": return vertical(all, from, -1, x, 0);
    case "ArrowDown": return vertical(all, from, 1, x, 0);
    case "PageUp": return vertical(all, from, -1, x, page);
    case "PageDown": return vertical(all, from, 1, x, page);
    case "Home": return all[0];
    default: return all[all.length - 1];
  }
}

squads.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !MOVES.includes(event.key)) return;
  const at = /** @type {Element} */ (event.target);
  const tile = /** @type {HTMLElement | null} */ (at.closest(".tile"));
  if (!tile || at.matches("select, input, textarea")) return;
  event.preventDefault();
  const all = places();
  const from = all.find((place) => place.tile === tile);
  if (!from) return;
  const upOrDown = /Up|Down/.test(event.key);
  if (upOrDown) column ??= from.x;
  const to = target(event.key, all, from);
  number = all.indexOf(to);
  choose(to.tile);
  const walked = column;
  focus();
  column = upOrDown ? walked : null;
  to.tile.scrollIntoView({ block: "nearest" });
});

squads.addEventListener("focusin", (event) => {
  const tile = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".tile"));
  within = Boolean(tile);
  column = null;
  if (!tile || tile === current) return;
  choose(tile);
  number = tiles().indexOf(tile);
});
// A tile that is taken away takes the focus along; whoever goes elsewhere takes it by a key or a press.
squads.addEventListener("focusout", (event) => { if (event.relatedTarget) within = false; });
document.addEventListener("pointerdown", () => { within = false; }, true);

// A filter may have hidden the current tile meanwhile; what Tab stops at is settled just before it goes there.
document.addEventListener("keydown", (event) => { if (event.key === "Tab") keep(); }, true);
document.addEventListener("claw:painted", () => { if (current && !current.isConnected) keep(); });
document.body.addEventListener("htmx:afterSettle", (event) => { if (event.target === squads) settle(); });
settle();
