// Tiles keep their places while somebody looks, whatever becomes of their scores. Where the order on the page
// is no longer the one asked for, a button offers to sort again.
import { onChange } from "./changes.js";
import { at, taskIdOf } from "./page.js";
import { tasks } from "./pausing.js";

const EVERY = 2000; // ms between two checks
const again = at("sort-again", HTMLElement);
const sort = at("view-sort", HTMLSelectElement);
let timer = 0;

/** By what each order sorts before the slot (app/view.py). A task's slot, name and node never change. */
const FIRST = /** @type {Record<string, ((task: any) => number | string) | undefined>} */ ({
  score: (task) => -task.score,
  state: (task) => task.state,
});

/** @param {any} task @returns {(number | string)[]} */
const rest = (task) => [task.service, task.slot, task.id];

/** Whether `b` may stand after `a`. @param {any} a @param {any} b @param {(task: any) => number | string} first */
function inOrder(a, b, first) {
  const [x, y] = [[first(a), ...rest(a)], [first(b), ...rest(b)]];
  const at = x.findIndex((value, n) => value !== y[n]);
  return at < 0 || x[at] < y[at];
}

function sorted() {
  const first = FIRST[sort.value];
  if (!first) return true;
  const known = tasks();
  for (const list of document.querySelectorAll("#squads .tiles")) {
    let last = null;
    for (const tile of list.children) {
      const task = known[taskIdOf(tile)];
      if (task && last && !inOrder(last, task, first)) return false;
      last = task ?? last;
    }
  }
  return true;
}

function check() {
  timer = 0;
  again.hidden = sorted();
}

onChange((ids) => {
  if (ids === null) again.hidden = true; // just drawn; what changed since is seen at the next check
  if (!timer) timer = setTimeout(check, EVERY);
});
again.addEventListener("click", () => {
  again.hidden = true;
  sort.focus(); // the button is about to go
  htmx.trigger(at("squads", HTMLElement), "claw:squads");
});
