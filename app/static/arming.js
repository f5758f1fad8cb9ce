// ARM turns at once, before the answer: it goes back where the answer is a no or does not come.
//
// A turned switch is held against what the stream still says until the stream agrees, or until it has had time
// enough to. Whatever shows the trooper (tile, drawer) shows the same.
import { swarm } from "./patcher.js";

const SETTLES = 3_000; // ms after the answer within which the stream says so, too
/** @type {Map<string, {arm: string, until: number}>} */
const turned = new Map(); // task id -> what it is shown as, and until when

/** @param {string} id @param {string} arm */
function show(id, arm) {
  for (const root of document.querySelectorAll(`[data-of="tasks/${CSS.escape(id)}"]`)) {
    if (root instanceof HTMLElement && root.dataset.arm !== undefined) root.dataset.arm = arm;
    for (const element of root.querySelectorAll("[data-checked=arm], [data-next=arm], [data-text=arm]")) {
      if (!(element instanceof HTMLElement)) continue;
      if (element.dataset.checked === "arm") element.setAttribute("aria-checked", String(arm === "on"));
      if (element instanceof HTMLInputElement) element.value = arm === "on" ? "off" : "on";
      else if (element.dataset.text === "arm" && element.textContent !== arm) element.textContent = arm;
    }
  }
}

/** @param {string} id */
function back(id) {
  turned.delete(id);
  const truth = swarm.state?.tasks?.[id]?.arm;
  if (truth) show(id, truth);
}

function hold() {
  for (const [id, { arm, until }] of turned) {
    const task = swarm.state?.tasks?.[id];
    if (!task || performance.now() > until) back(id);
    else if (task.arm === arm && until !== Infinity) turned.delete(id);
    else show(id, arm);
  }
}

// The answer is the request's own event: the form's is not heard where the tile was drawn anew meanwhile.
document.body.addEventListener("htmx:beforeSend", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.getAttribute("action") !== "/api/arm") return;
  const given = new FormData(form);
  const [id, arm] = [String(given.get("task_id")), String(given.get("state"))];
  const held = { arm, until: Infinity };
  turned.set(id, held);
  show(id, arm);
  const { xhr } = /** @type {CustomEvent<{xhr: XMLHttpRequest}>} */ (event).detail;
  xhr.addEventListener("loadend", () => {
    if (turned.get(id) !== held) return;
    if (xhr.status < 200 || xhr.status > 299) return back(id);
    held.until = performance.now() + SETTLES;
    setTimeout(hold, SETTLES + 50);
  });
});
document.addEventListener("claw:painted", hold);
document.body.addEventListener("htmx:afterSettle", hold);
