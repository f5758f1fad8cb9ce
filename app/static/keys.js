// Single keys, and the help that tells of them. They can be switched off there (WCAG 2.2, 2.1.4), and do nothing
// while somebody types or a dialog is open.
import { focused } from "./grid.js";
import { taskIdOf } from "./page.js";
import { swarm } from "./patcher.js";

const KEY = "claw-single-keys";
/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);
const [help, single, arm] = ["help", "single-keys", "key-arm"].map(at);

/** A browser may keep nothing; then the choice holds for as long as the page. */
function kept() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

single.checked = kept();
single.addEventListener("change", () => {
  try {
    localStorage.setItem(KEY, single.checked ? "on" : "off");
  } catch {
    // Nothing is kept then.
  }
});
window.addEventListener("storage", (event) => { if (event.key === KEY) single.checked = kept(); });

function toggleArm() {
  const tile = focused();
  if (!tile) return;
  /** @type {HTMLElement | null} */
  const own = tile.querySelector("[role=switch]");
  if (own) return own.click();
  const record = swarm.state?.tasks[taskIdOf(tile)];
  if (!record) return;
  const values = { task_id: record.id, bot: record.name, state: record.arm === "on" ? "off" : "on" };
  htmx.ajax("POST", "/api/arm", { source: arm, values, swap: "none" }).catch(() => {}); // acts.js has told of it
}

function nextTheme() {
  const select = at("theme");
  if (!select) return;
  select.selectedIndex = (select.selectedIndex + 1) % select.length;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

function toFilter() {
  at("q")?.focus();
  at("q")?.select();
}

/** @type {Map<string, () => void>} */
const ACTS = new Map([
  ["/", toFilter],
  ["?", () => help.showModal()],
  ["a", toggleArm],
  ["p", () => at("pause")?.click()],
  ["t", nextTheme],
]);

/** Whether what has the focus takes letters. @param {EventTarget | null} target */
function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (!single.checked || typing(event.target) || document.querySelector("dialog[open]")) return;
  const act = ACTS.get(event.key);
  if (!act) return;
  event.preventDefault();
  act();
});

document.body.addEventListener("click", (event) => {
  if (/** @type {Element} */ (event.target).closest("[data-help]")) help.showModal();
});
help.addEventListener("click", (/** @type {MouseEvent} */ event) => { if (event.target === help) help.close(); });
