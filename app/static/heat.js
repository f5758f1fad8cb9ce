// The squares of the heat map as one picture a list: a browser paints a canvas in a fraction of the time that it
// takes for thousands of elements, of which some have changed in nearly every row (docs/adr/0015-heat-map.md).
//
// The elements are there all the same, each a button with its words, without anything to be painted: they have the
// focus, the pointer and what is read out (cells.js), and the browser lays them out, which this only reads. What it
// draws follows the records, and how a square looks, the stylesheet (squares.js). Without scripts the elements show
// it all themselves.
import { onChange } from "./changes.js";
import { at, taskIdOf } from "./page.js";
import { tasks } from "./pausing.js";
import { FACTS, onTheme, square } from "./squares.js";

const TALLEST = 1024; // px of a canvas: what is far from the screen has none, and no canvas is larger than it may be
const NEAR = 400; // px from the screen from which on there is one
const squads = at("squads", HTMLElement);

/** Some rows of a list. @typedef {{canvas: HTMLCanvasElement, ink: CanvasRenderingContext2D | null, from: number, to: number}} Strip */
/**
 * One list's picture: whose squares there are in their order, and where they lie, in px.
 * @typedef {{list: HTMLElement, map: HTMLElement, ids: string[], columns: number, wide: number, high: number, gap: number, rows: number, strips: Strip[]}} Sheet
 */
/** @type {Sheet[]} */
let sheets = [];
/** @type {Map<string, [Sheet, number]>} */
const places = new Map();

/** Whole pixels of the screen, so that no edge is blurred. @param {number} px */
const whole = (px) => Math.round(px * devicePixelRatio) / devicePixelRatio;

// -- elements ----------------------------------------------------------------------------------------------

/** What the elements of a list showed is drawn from here on. @param {HTMLElement} list */
function takeOver(list) {
  list.setAttribute("data-drawn", "");
  for (const cell of list.querySelectorAll(".cell[data-state]")) {
    for (const name of FACTS) cell.removeAttribute(`data-${name}`);
    cell.firstElementChild?.replaceChildren();
  }
}

// -- where squares lie -------------------------------------------------------------------------------------

/** @param {HTMLElement} list @returns {Sheet | null} */
function sheetOf(list) {
  const map = list.previousElementSibling;
  if (!(map instanceof HTMLElement) || !map.classList.contains("map")) return null;
  const { gridTemplateColumns, gridAutoRows, columnGap } = getComputedStyle(list);
  const tracks = gridTemplateColumns.split(" ").map(parseFloat);
  const [wide, high, gap] = [tracks[0], parseFloat(gridAutoRows), parseFloat(columnGap) || 0];
  if (!(wide > 0 && high > 0)) return null;
  const ids = [];
  for (const cell of list.children) if (!(/** @type {HTMLElement} */ (cell).hidden)) ids.push(taskIdOf(cell));
  const rows = Math.max(1, Math.floor(TALLEST / (high + gap)));
  return { list, map, ids, columns: tracks.length, wide, high, gap, rows, strips: [] };
}

/** @param {Sheet} sheet */
function cut(sheet) {
  const { map, ids, columns, high, gap, rows } = sheet;
  const each = rows * columns;
  const count = Math.ceil(ids.length / each);
  while (map.childElementCount > count) {
    observer.unobserve(/** @type {Element} */ (map.lastElementChild));
    map.lastElementChild?.remove();
  }
  for (let n = 0; n < count; n += 1) {
    let canvas = /** @type {HTMLCanvasElement | undefined} */ (map.children[n]);
    if (!canvas) {
      map.append((canvas = document.createElement("canvas")));
      observer.observe(canvas);
    }
    const [from, to] = [n * each, Math.min(ids.length, (n + 1) * each)];
    canvas.style.top = `${n * rows * (high + gap)}px`;
    canvas.style.height = `${Math.ceil((to - from) / columns) * (high + gap)}px`;
    sheet.strips.push({ canvas, ink: null, from, to });
  }
  // What css/view.css guesses for a list that is not laid out yet.
  sheet.list.style.containIntrinsicBlockSize = `auto ${Math.ceil(ids.length / columns) * (high + gap) - gap}px`;
}

/** Look anew at every list on the page, and draw what is on the screen. */
function layOut() {
  const lists = /** @type {NodeListOf<HTMLElement>} */ (squads.querySelectorAll('.tiles[data-density="heat"]'));
  places.clear();
  for (const { list } of sheets) if (!list.isConnected) sizes.unobserve(list);
  lists.forEach(takeOver);
  sheets = [...lists].map(sheetOf).filter((sheet) => sheet !== null);
  for (const sheet of sheets) {
    cut(sheet);
    sheet.ids.forEach((id, n) => places.set(id, [sheet, n]));
    sizes.observe(sheet.list);
  }
  for (const sheet of sheets) {
    for (const strip of sheet.strips) {
      if (isNear(strip.canvas)) draw(sheet, strip);
      else clear(strip);
    }
  }
}

/** @param {Element} canvas */
function isNear(canvas) {
  const { top, bottom } = canvas.getBoundingClientRect();
  return bottom > -NEAR && top < innerHeight + NEAR;
}

// -- drawing -----------------------------------------------------------------------------------------------

/** All of a strip. @param {Sheet} sheet @param {Strip} strip */
function draw(sheet, strip) {
  const { canvas, from, to } = strip;
  canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
  canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
  strip.ink = canvas.getContext("2d");
  strip.ink?.scale(devicePixelRatio, devicePixelRatio);
  const known = tasks();
  for (let n = from; n < to; n += 1) one(sheet, strip, n, known[sheet.ids[n]]);
}

/** @param {Sheet} sheet @param {Strip} strip @param {number} n @param {any} task */
function one({ columns, wide, high, gap, rows }, { ink, from }, n, task) {
  if (!ink || !task) return;
  const x = whole((n % columns) * (wide + gap)), right = whole((n % columns) * (wide + gap) + wide);
  const row = Math.floor((n - from) / columns) % rows;
  const y = whole(row * (high + gap)), bottom = whole(row * (high + gap) + high);
  square(ink, task, x, y, right - x, bottom - y);
}

/** A strip that has left the screen's neighbourhood needs no memory. @param {Strip} strip */
function clear(strip) {
  strip.ink = null;
  strip.canvas.width = strip.canvas.height = 0;
}

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    for (const sheet of sheets) {
      const strip = sheet.strips.find(({ canvas }) => canvas === target);
      if (strip && isIntersecting && !strip.ink) draw(sheet, strip);
      else if (strip && !isIntersecting) clear(strip);
    }
  }
}, { rootMargin: `${NEAR}px` });

const sizes = new ResizeObserver(() => {
  if (sheets.some(({ list, columns, wide }) => {
    const tracks = getComputedStyle(list).gridTemplateColumns.split(" ");
    return tracks.length !== columns || parseFloat(tracks[0]) !== wide;
  })) layOut();
});

/** @param {Set<string>} ids */
function redraw(ids) {
  const known = tasks();
  if ([...ids].some((id) => places.has(id) && !known[id])) return layOut(); // somebody has left, and the others close up
  for (const id of ids) {
    const place = places.get(id);
    if (!place) continue;
    const [sheet, n] = place;
    one(sheet, sheet.strips[Math.floor(n / (sheet.rows * sheet.columns))], n, known[id]);
  }
}

onChange((ids) => {
  if (ids === null) layOut();
  else if (sheets.length) redraw(ids);
});
document.addEventListener("claw:sifted", () => { if (sheets.length) layOut(); });
onTheme(layOut);
