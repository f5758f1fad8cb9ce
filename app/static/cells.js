// A square of the heat map is read out with all that its colour and its glyph say. Only those that changed are
// told anew, between two frames and not in one: nobody sees it. What a mouse shows is made when it comes.
import { onChange } from "./changes.js";
import { inIdleTime } from "./idle.js";
import { at, taskIdOf } from "./page.js";
import { tasks } from "./pausing.js";

const LATEST = 1000; // ms after which it is done whether there is time or not
const squads = at("squads", HTMLElement);

/** The words of templates/_brief.html's cell. @param {any} task */
function label(task) {
  const marks = [task.is_manager && "manager", task.arm === "on" && "armed", task.frozen && "frozen"].filter(Boolean);
  return [`${task.name}, slot ${task.slot} of ${task.alias}`, task.state, task.freshness, `score ${task.score}`, ...marks].join(", ");
}

/** @param {Element} cell */
const taskOf = (cell) => tasks()[taskIdOf(cell)];

/** @param {Element} cell */
function tell(cell) {
  const task = taskOf(cell);
  if (task && cell.firstElementChild) cell.firstElementChild.setAttribute("aria-label", label(task));
}

/** Who is to be told anew. @type {Set<string>} */
const untold = new Set();
const soon = inIdleTime(untold, (id) => {
  untold.delete(id);
  const cell = document.getElementById(`task-${id}`);
  if (cell?.classList.contains("cell")) tell(cell);
}, LATEST);

onChange((ids) => {
  // All lists have one density, and the first is found at once: a look for squares where there are none takes in all.
  if (squads.querySelector(".tiles")?.getAttribute("data-density") !== "heat") return untold.clear();
  for (const id of ids ?? [...squads.querySelectorAll(".tile.cell")].map(taskIdOf)) untold.add(id);
  soon();
});

squads.addEventListener("pointerover", (event) => {
  const cell = /** @type {Element} */ (event.target).closest(".tile.cell");
  const task = cell && taskOf(cell);
  if (task) cell.setAttribute("title", `${label(task)}, on ${task.node}`);
});
