// Hides the tiles that a filter does not ask for, and says how many it does. At the stream's news only those
// whose record changed are looked at again; all of them, when the filter is another one or tiles were drawn.
import { onChange } from "./changes.js";
import { compile } from "./filter.js";
import { at } from "./page.js";
import { tasks } from "./pausing.js";

const TYPED = 250; // ms after the last key until it is said
const NEWS = 2000; // ms between two sayings while the troopers change
const said = at("q-said", HTMLElement);
const box = at("q", HTMLInputElement);
let filter = compile("");
/** Who is filtered out. @type {Set<string>} */
const out = new Set();
let timer = 0;

/** @param {Iterable<string>} ids @returns {Set<Element>} the lists in which a tile appeared or vanished */
function judge(ids) {
  const known = tasks();
  /** @type {Set<Element>} */
  const touched = new Set();
  for (const id of ids) {
    const record = known[id];
    const hide = Boolean(record) && !filter.matches(record);
    if (hide) out.add(id);
    else out.delete(id);
    const tile = document.getElementById(`task-${id}`);
    if (!tile || tile.hidden === hide) continue;
    tile.hidden = hide;
    if (tile.parentElement) touched.add(tile.parentElement);
  }
  if (touched.size) document.dispatchEvent(new Event("claw:sifted"));
  return touched;
}

/** A list of which nothing is left says so (css/view.css). @param {Iterable<Element>} lists */
function mark(lists) {
  for (const list of lists) {
    list.toggleAttribute("data-none", list.querySelector(".tile") !== null && list.querySelector(".tile:not([hidden])") === null);
  }
}

function judgeAll() {
  if (filter.empty && !out.size) return;
  judge([...Object.keys(tasks()), ...out]);
  mark(document.querySelectorAll("#squads .tiles"));
}

function words() {
  const total = Object.keys(tasks()).length;
  const shown = total - out.size;
  const count = filter.empty || !total ? [] : [`${shown} of ${total} troopers.`];
  return [...count, ...filter.problems, ...(shown || !filter.hint ? [] : [filter.hint])].join(" ");
}

function say() {
  timer = 0;
  const sentence = words();
  if (said.textContent !== sentence) said.textContent = sentence;
  box.setAttribute("aria-invalid", String(filter.problems.length > 0));
}

/** Show those only whom the text asks for. @param {string} text */
export function sift(text) {
  filter = compile(text);
  judgeAll();
  clearTimeout(timer);
  timer = setTimeout(say, TYPED);
}

onChange((ids) => {
  if (ids === null) judgeAll();
  else if (!filter.empty) mark(judge(filter.relative ? Object.keys(tasks()) : ids));
  if (!filter.empty && !timer) timer = setTimeout(say, ids === null ? TYPED : NEWS);
});

// What is hidden stays so while the list around it is morphed: `hidden` of a tile is nobody else's.
const callbacks = /** @type {any} */ (Idiomorph.defaults.callbacks);
const before = callbacks.beforeAttributeUpdated;
/** @param {string} name @param {Element} node @param {string} change */
callbacks.beforeAttributeUpdated = (name, node, change) =>
  !(name === "hidden" && node.classList.contains("tile")) && before(name, node, change);
