// The drawer in which everything about one trooper stands. Any [data-open="<task id>"] opens it, [data-talk] at
// its conversation, and ?trooper=<task id> in the page's address as soon as the page is live.
//
// The server draws its body; what is bound in there is filled in from the stream, as on the tiles, and the body
// is asked for anew when anything else about the trooper is news, at most once in EVERY.
import { BINDINGS, fill, swarm } from "./patcher.js";
import * as past from "./past.js";
import * as talk from "./talk.js";

const EVERY = 1000; // ms between two bodies
/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);
const [dialog, body, title, link, ended, lost, toasts] =
  ["drawer", "drawer-body", "drawer-title", "drawer-link", "drawer-ended", "drawer-lost", "toasts"].map(at);

let shown = ""; // the task id
let back = ""; // the selector of what opened it
let known = ""; // what the body was last asked for
/** @type {any} */
let last = null; // the trooper's record as it was last seen
let over = false; // whether the trooper has ended
let timer = 0;
let askedAt = -EVERY;

/**
 * Show that trooper. `opener` is the selector of what gets the focus back, `toTalk` goes to its conversation.
 * @param {string} taskId @param {string} [opener] @param {boolean} [toTalk]
 */
export function open(taskId, opener = `[data-open="${CSS.escape(taskId)}"]`, toTalk = false) {
  back = opener;
  if (shown !== taskId) {
    shown = taskId;
    last = null;
    body.replaceChildren();
  }
  over = false;
  known = lost.textContent = "";
  ended.hidden = true;
  const record = swarm.state?.tasks[taskId];
  title.textContent = record?.name ?? last?.name ?? "Trooper";
  talk.turnTo(taskId, title.textContent);
  talk.offer(Boolean(record) && record.agent !== "off");
  link.href = address(taskId);
  history.replaceState(history.state, "", link.href);
  if (!dialog.open) dialog.showModal();
  dialog.append(toasts); // what lies behind a modal dialog is neither seen nor read out
  if (toTalk) talk.ask();
  else title.focus();
  past.turnTo(taskId);
  refresh();
  news();
}

/** The page's address with the drawer open at that trooper, or closed. @param {string} taskId */
function address(taskId) {
  const url = new URL(location.href);
  if (taskId) url.searchParams.set("trooper", taskId);
  else url.searchParams.delete("trooper");
  return url.href;
}

function refresh() {
  if (timer) return;
  timer = window.setTimeout(() => {
    timer = 0;
    askedAt = performance.now();
    if (dialog.open) htmx.trigger(body, "claw:trooper");
  }, Math.max(0, askedAt + EVERY - performance.now()));
}

// -- news ----------------------------------------------------------------------------------------------

function news() {
  const state = swarm.state;
  if (!dialog.open || !state || state.unknown) return;
  const record = state.tasks[shown];
  if (!record) return end(state);
  last = record;
  if (over) return;
  title.textContent = record.name;
  talk.offer(record.agent !== "off");
  fillIn();
  const now = JSON.stringify([record, state.stale_seconds, state.snapshot_age_seconds, state.engine_error, state.revolts, state.peers]);
  if (now === known) return;
  if (known || lost.textContent) refresh();
  known = now;
  past.news();
}

function fillIn() {
  const record = swarm.state?.tasks[shown];
  if (record && !over) for (const element of body.querySelectorAll(BINDINGS)) fill(element, record);
}

// Its drawer stays for whoever reads it, with why it ended, and with who has its slot now.
/** @param {any} state */
function end(state) {
  if (!over) {
    over = true;
    const within = body.contains(document.activeElement);
    refresh();
    if (within) title.focus();
  }
  if (!last) return; // it was never seen here; the body says what is known of it
  /** @type {any[]} */
  const tasks = Object.values(state.tasks);
  const heir = tasks.find((task) => task.service === last.service && task.slot === last.slot);
  tell(heir ?? null);
}

/** @param {any} heir */
function tell(heir) {
  const key = heir?.id ?? "";
  if (!ended.hidden && ended.dataset.heir === key) return;
  ended.dataset.heir = key;
  ended.hidden = false;
  const what = last?.defected ? "It has ended here, and goes on on another rack." : "It has ended.";
  if (!heir) return ended.replaceChildren(what);
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.open = heir.id;
  button.textContent = heir.name;
  ended.replaceChildren(`${what} Its slot ${heir.slot} went to `, button, ".");
}

// -- listening -----------------------------------------------------------------------------------------

document.body.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const button = /** @type {HTMLElement | null} */ (target.closest("[data-open], [data-talk]"));
  const { open: taskId, talk: toTalk } = button?.dataset ?? {};
  if (taskId) open(taskId);
  else if (toTalk && dialog.open && toTalk === shown) talk.ask();
  else if (toTalk) open(toTalk, `#ask-${CSS.escape(toTalk)}`, true);
});

at("drawer-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => { if (event.target === dialog) dialog.close(); });
// The tile may be gone by now; then whoever uses a keyboard goes on among the troopers.
dialog.addEventListener("close", () => {
  document.body.append(toasts);
  past.turnTo(""); // nobody: what was to be asked for later is not
  history.replaceState(history.state, "", address(""));
  /** @type {HTMLElement | null} */
  const opener = document.querySelector(`#squads ${back}`);
  (opener?.checkVisibility() ? opener : at("squads")).focus();
});

body.addEventListener("htmx:beforeSwap", (/** @type {any} */ event) => {
  const asked = new URL(event.detail.xhr.responseURL).searchParams.get("task_id");
  if (asked !== shown) event.detail.shouldSwap = false; // the answer about whom one has turned away from
});
body.addEventListener("htmx:responseError", () => { if (over) body.replaceChildren(); }); // it is true no more
body.addEventListener("htmx:afterSettle", () => {
  lost.textContent = "";
  title.textContent = body.querySelector("[data-name]")?.dataset.name ?? title.textContent;
  fillIn();
});

document.addEventListener("claw:painted", news);
const wanted = new URL(location.href).searchParams.get("trooper");
if (wanted) document.addEventListener("claw:painted", () => open(wanted), { once: true });
