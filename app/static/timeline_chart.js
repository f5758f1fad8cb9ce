// One service's reigns as an SVG, made element by element: lanes, bars, gaps and a scale of time.
const SVG = "http://www.w3.org/2000/svg";
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200].map((s) => s * 1000);
const NARROW = 30; // rem under which a lane's name stands over it, not before it
const LEAST = 3; // px that a bar or a gap has at least, so that it is seen

/** @typedef {import("./timeline.js").Past} Past */
/** @typedef {import("./timeline.js").Reign} Reign */
/** @typedef {import("./timeline.js").Span} Span */

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {(Node | string)[]} children
 * @returns {SVGElement}
 */
function element(name, attributes = {}, ...children) {
  const made = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** @param {number} at unix ms @param {boolean} [seconds] @returns {string} */
const clock = (at, seconds = true) => new Date(at).toISOString().slice(11, seconds ? 19 : 16);

/** A reign in words. @param {Reign} reign @returns {string} */
function words({ name, epoch, began, ended, running, told }) {
  const from = Number.isNaN(began) ? "begin not told" : `from ${clock(began)}`;
  const to = running ? "to now" : Number.isNaN(ended) ? "end not told" : `to ${clock(ended)}`;
  return `${name}, epoch ${epoch}: ${from} ${to} UTC, ${told}`;
}

/**
 * Draw it `wide` px wide. `move` moves what moves with time, and nothing else.
 * @param {Past} past @param {Span} span @param {number} now unix ms @param {number} wide px
 * @returns {{svg: SVGElement, move: (now: number) => void}}
 */
export function drawn(past, span, now, wide) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const narrow = wide < NARROW * rem;
  const left = narrow ? 1 : 10.5 * rem;
  const [row, bar, top] = [(narrow ? 2.7 : 1.7) * rem, 1.1 * rem, 1.4 * rem];
  const bottom = top + row * past.lanes.length;
  const scale = (wide - left - 2) / (span.end - span.start);
  /** @param {number} at @returns {number} */
  const x = (at) => left + (Math.min(Math.max(at, span.start), span.end) - span.start) * scale;
  const svg = element("svg", { class: "lanes", role: "img", width: wide, height: bottom + 1.6 * rem });
  svg.setAttribute("aria-label", `Who led ${past.alias} when. ${past.summary} The table below has every reign.`);
  svg.append(hatch(rem));
  axis(svg, span, x, { top, bottom, wide, rem });
  floors(svg, past.lanes.length, { top, row, wide });

  /** @type {((now: number) => void)[]} */
  const moving = [];
  /** @type {Map<string, number>} */
  const place = new Map(past.lanes.map((lane, index) => [lane.task, top + index * row + (row - bar) - 0.3 * rem]));
  let labelled = -Infinity; // px up to which the line of gaps is written
  past.reigns.forEach((reign, index) => {
    const next = past.reigns[index + 1];
    const from = Number.isNaN(reign.began) ? span.start : reign.began;
    const until = reign.running ? now : Number.isNaN(reign.ended) ? next?.began || from : reign.ended;
    if (reign.gap) labelled = gapBefore(svg, reign, { x, top, bottom, span, labelled, rem });
    const y = place.get(reign.task);
    if (y === undefined || (until < span.start && !reign.running)) return;
    const vague = Number.isNaN(reign.began) || (Number.isNaN(reign.ended) && !reign.running);
    const rect = element("rect", { class: `reign${reign.running ? " running" : ""}${vague ? " vague" : ""}`, x: x(from), y, height: bar, rx: 3 });
    rect.append(element("title", {}, words(reign)));
    /** @param {number} to */
    const reach = (to) => rect.setAttribute("width", String(Math.max(LEAST, x(to) - x(from))));
    reach(until);
    svg.append(rect);
    if (x(until) - x(from) > 9.5 * rem) svg.append(element("text", { class: "epoch", x: x(from) + 0.4 * rem, y: y + bar * 0.75 }, `epoch ${reign.epoch}`));
    if (reign.running) moving.push(reach);
  });
  lanes(svg, past, { top, row, bar, left, wide, rem, narrow }); // over bars and gaps, to be read
  if (past.vacant) moving.push(vacancy(svg, past.vacant, now, { x, top, bottom }));
  const line = element("line", { class: "now", y1: top - 2, y2: bottom });
  svg.append(line);
  moving.push((at) => { line.setAttribute("x1", String(x(at))); line.setAttribute("x2", String(x(at))); });
  const move = (/** @type {number} */ at) => moving.forEach((one) => one(at));
  move(now);
  return { svg, move };
}

/** The pattern of gaps, since colour alone would say nothing. @param {number} rem @returns {SVGElement} */
function hatch(rem) {
  const size = rem / 2;
  const lines = element("path", { class: "hatch", d: `M0 ${size} L${size} 0` });
  return element("defs", {}, element("pattern", { id: "timeline-hatch", width: size, height: size, patternUnits: "userSpaceOnUse" }, lines));
}

/**
 * @param {SVGElement} svg @param {Span} span @param {(at: number) => number} x
 * @param {{top: number, bottom: number, wide: number, rem: number}} size
 */
function axis(svg, { start, end }, x, { top, bottom, wide, rem }) {
  const most = Math.max(2, Math.floor(wide / (7 * rem)));
  const step = STEPS.find((each) => (end - start) / each <= most) ?? 86_400_000;
  for (let at = Math.ceil(start / step) * step; at < end; at += step) {
    if (x(at) > wide - 2.5 * rem) break;
    svg.append(element("line", { class: "tick", x1: x(at), x2: x(at), y1: top, y2: bottom + 4 }));
    svg.append(element("text", { class: "time", x: x(at), y: bottom + 1.2 * rem }, clock(at, step < 60_000)));
  }
}

/** @param {SVGElement} svg @param {number} count @param {{top: number, row: number, wide: number}} size */
function floors(svg, count, { top, row, wide }) {
  for (let y = top + row; count > 0; count -= 1, y += row) svg.append(element("line", { class: "floor", x1: 0, x2: wide, y1: y, y2: y }));
}

/**
 * @param {SVGElement} svg @param {Past} past
 * @param {{top: number, row: number, bar: number, left: number, wide: number, rem: number, narrow: boolean}} size
 */
function lanes(svg, past, { top, row, bar, left, wide, rem, narrow }) {
  past.lanes.forEach((lane, index) => {
    const y = top + index * row;
    const base = narrow ? y + rem : y + row - bar + 0.5 * rem;
    const label = lane.gone ? `${lane.name} (gone)` : `${lane.name} · ${lane.slot}`;
    const inner = element("svg", { x: 0, y, width: narrow ? wide : left - 0.5 * rem, height: row });
    inner.append(
      element("circle", { class: "face", cx: 0.4 * rem, cy: base - y - 0.3 * rem, r: 0.35 * rem, fill: lane.color }),
      element("text", { class: "lane", x: rem, y: base - y }, label),
      element("title", {}, lane.gone ? `${lane.name} does not run any more` : `${lane.name} in slot ${lane.slot}`),
    );
    svg.append(inner);
  });
}

/**
 * Returns the px up to which the line over the lanes is written by now.
 * @param {SVGElement} svg @param {Reign} reign
 * @param {{x: (at: number) => number, top: number, bottom: number, span: Span, labelled: number, rem: number}} place
 * @returns {number}
 */
function gapBefore(svg, { gap, began, name }, { x, top, bottom, span, labelled, rem }) {
  const ended = began - Number(gap) * 1000;
  if (began < span.start) return labelled;
  gapBetween(svg, x(ended), x(began), { top, bottom }, `about ${gap} s without a manager, before ${name}`);
  if (x(began) < labelled) return labelled;
  svg.append(element("text", { class: "gap-told", x: x(began), y: top - 5 }, `${gap} s`));
  return x(began) + 3.2 * rem;
}

/** @param {SVGElement} svg @param {number} vacant @param {number} now
 *  @param {{x: (at: number) => number, top: number, bottom: number}} place @returns {(now: number) => void} */
function vacancy(svg, vacant, now, { x, top, bottom }) {
  const rect = gapBetween(svg, x(vacant), x(now), { top, bottom }, "nobody is known to lead since then");
  return (at) => rect.setAttribute("width", String(Math.max(LEAST, x(at) - x(vacant))));
}

/** @param {SVGElement} svg @param {number} from @param {number} to
 *  @param {{top: number, bottom: number}} place @param {string} title @returns {SVGElement} */
function gapBetween(svg, from, to, { top, bottom }, title) {
  const rect = element("rect", { class: "gap", x: from, y: top, width: Math.max(LEAST, to - from), height: bottom - top, fill: "url(#timeline-hatch)" });
  rect.append(element("title", {}, title));
  svg.append(rect);
  return rect;
}
