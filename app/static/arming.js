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

/** @param {Event} event @param {(form: HTMLFormElement, id: string) => void} act */
function ofArm(event, act) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.getAttribute("action") !== "/api/arm") return;
  act(form, String(new FormData(form).get("task_id")));
}

document.body.addEventListener("htmx:beforeSend", (event) => ofArm(event, (form, id) => {
  const arm = String(new FormData(form).get("state"));
  turned.set(id, { arm, until: Infinity });
  show(id, arm);
}));
document.body.addEventListener("htmx:afterRequest", (event) => ofArm(event, (_form, id) => {
  const held = turned.get(id);
  if (!held) return;
  if (!(/** @type {CustomEvent<any>} */ (event).detail.successful)) return back(id);
  held.until = performance.now() + SETTLES;
  setTimeout(hold, SETTLES + 50);
}));
document.addEventListener("claw:painted", hold);
document.body.addEventListener("htmx:afterSettle", hold);
