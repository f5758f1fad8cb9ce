// A square of the heat map is read out with all that its colour and its glyph say. Only those that changed are
// told anew; what a mouse shows is made when it comes.
import { onChange } from "./changes.js";
import { at } from "./page.js";
import { tasks } from "./pausing.js";

/** The words of templates/_brief.html's cell. @param {any} task */
function label(task) {
  const marks = [task.is_manager && "manager", task.arm === "on" && "armed", task.frozen && "frozen"].filter(Boolean);
  return [`${task.name}, slot ${task.slot} of ${task.alias}`, task.state, task.freshness, `score ${task.score}`, ...marks].join(", ");
}

/** @param {Element} cell */
const taskOf = (cell) => tasks()[cell.id.slice("task-".length)];

/** @param {Element} cell */
function tell(cell) {
  const task = taskOf(cell);
  if (task && cell.firstElementChild) cell.firstElementChild.setAttribute("aria-label", label(task));
}

onChange((ids) => {
  if (ids === null) {
    for (const cell of document.querySelectorAll(".tile.cell")) tell(cell);
    return;
  }
  for (const id of ids) {
    const cell = document.getElementById(`task-${id}`);
    if (!cell) continue;
    if (!cell.classList.contains("cell")) return; // another density: there are none
    tell(cell);
  }
});

at("squads", HTMLElement).addEventListener("pointerover", (event) => {
  const cell = /** @type {Element} */ (event.target).closest(".tile.cell");
  const task = cell && taskOf(cell);
  if (task) cell.setAttribute("title", `${label(task)}, on ${task.node}`);
});
