// What a square of the heat map looks like, and drawing one on a canvas. The stylesheet alone says how (css/heat.css):
// a probe, which nobody sees, is given a trooper's facts, and what the browser makes of them is drawn.
import { follow } from "./inks.js";

/** What the stylesheet goes by. */
export const FACTS = ["state", "freshness", "arm", "is_manager", "frozen", "band"];

/**
 * `corner`: how far the mark in the corner reaches, 0 for none; `glyph` stands in place of the score; `figures` and
 * `glyphs`: their fonts. Lengths in px.
 * @typedef {{ground: string, ink: string, round: number, corner: number, mark: string, glyph: string, figures: string, glyphs: string,
 *   edge: {wide: number, style: string, colour: string}}} Look
 */
/** By the facts that it is for: there are some dozens of looks, and thousands of squares. @type {Map<string, Look>} */
const looks = new Map();

const probe = document.createElement("span");
const inner = document.createElement("i");
probe.className = "cell";
probe.hidden = true;
inner.className = "open";
probe.append(inner);
document.body.append(probe);

/** A string of CSS without its quotes, its escapes put right; "" for none. @param {string} value */
const unquoted = (value) =>
  (/^["'](.*)["']/.exec(value.trim())?.[1] ?? "").replace(/\\([0-9a-f]{1,6}) ?/gi, (_, code) => String.fromCodePoint(parseInt(code, 16)));

/** @param {(string | boolean)[]} facts @returns {Look} */
function seen(facts) {
  FACTS.forEach((name, n) => { probe.dataset[name] = String(facts[n] ?? ""); });
  const cell = getComputedStyle(probe), open = getComputedStyle(inner), before = getComputedStyle(inner, "::before");
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  return {
    ground: cell.backgroundColor,
    ink: open.color,
    round: parseFloat(cell.borderTopLeftRadius) || 0,
    corner: cell.backgroundImage === "none" ? 0 : parseFloat(cell.getPropertyValue("--corner")) * rem,
    mark: /deg, (.+?\)) /.exec(cell.backgroundImage)?.[1] ?? open.color,
    glyph: unquoted(cell.getPropertyValue("--mark")),
    figures: `${open.fontWeight} ${open.fontSize} ${open.fontFamily}`,
    glyphs: `${before.fontWeight} ${before.fontSize} ${before.fontFamily}`,
    edge: { wide: parseFloat(cell.borderTopWidth) || 0, style: cell.borderTopStyle, colour: cell.borderTopColor },
  };
}

/** @param {Record<string, any>} task @returns {Look} */
function lookOf(task) {
  const facts = FACTS.map((name) => task[name]);
  const key = facts.join();
  const known = looks.get(key);
  if (known) return known;
  const look = seen(facts);
  looks.set(key, look);
  return look;
}

/** @param {CanvasRenderingContext2D} ink @param {Look} look @param {number} x @param {number} y @param {number} wide @param {number} high */
function edged(ink, { edge, round }, x, y, wide, high) {
  if (!edge.wide || edge.style === "none") return;
  // A double border is two lines of a third, as browsers draw it.
  const lines = edge.style === "double" ? [[0, edge.wide / 3], [(2 * edge.wide) / 3, edge.wide / 3]] : [[0, edge.wide]];
  ink.strokeStyle = edge.colour;
  ink.setLineDash(edge.style === "dashed" ? [3, 2] : []);
  for (const [from, thick] of lines) {
    const at = from + thick / 2;
    ink.lineWidth = thick;
    ink.beginPath();
    ink.roundRect(x + at, y + at, wide - 2 * at, high - 2 * at, Math.max(0, round - at));
    ink.stroke();
  }
}

/**
 * Draw a trooper's square over whatever was there.
 * @param {CanvasRenderingContext2D} ink @param {Record<string, any>} task
 * @param {number} x @param {number} y @param {number} wide @param {number} high
 */
export function square(ink, task, x, y, wide, high) {
  const look = lookOf(task);
  ink.clearRect(x, y, wide, high);
  ink.fillStyle = look.ground;
  ink.beginPath();
  ink.roundRect(x, y, wide, high, look.round);
  ink.fill();
  if (look.corner) {
    ink.fillStyle = look.mark;
    ink.beginPath();
    ink.moveTo(x + wide - look.corner, y);
    ink.lineTo(x + wide, y);
    ink.lineTo(x + wide, y + look.corner);
    ink.fill();
  }
  edged(ink, look, x, y, wide, high);
  ink.fillStyle = look.ink;
  ink.font = look.glyph ? look.glyphs : look.figures;
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  ink.fillText(look.glyph || String(task.score ?? ""), x + wide / 2, y + high / 2 + 0.5, wide);
}

/** Forget how squares look, and call `again`, whenever the theme is another one. @param {() => void} again */
export function onTheme(again) {
  let first = true;
  follow(() => {
    looks.clear();
    if (!first) again();
    first = false;
  });
}
