// The conversation with one trooper, in its drawer: what was said, and a box to ask in.
const EVERY = 5000; // ms between two looks at what was said meanwhile, by others too
const NEAR = 40; // px from the end at which the conversation is still followed
/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(`talk-${id}`);
const part = /** @type {HTMLElement} */ (document.getElementById("talk"));
const dialog = /** @type {HTMLDialogElement} */ (part.closest("dialog"));
const [task, lines, lost, form, sent, state, text] = ["task", "lines", "lost", "form", "sent", "state", "text"].map(at);

let name = ""; // the trooper's
let reply = ""; // the last answer, until it is seen in the conversation
let follow = true; // whether the end of the conversation is being read
const waiting = () => form.classList.contains("htmx-request");

/** @param {string} sentence @param {string} kind */
function say(sentence, kind) {
  state.className = kind;
  state.textContent = sentence;
}

function toEnd() {
  lines.scrollTop = lines.scrollHeight;
}

function look() {
  if (!part.hidden) htmx.trigger(lines, "claw:talk");
}

/**
 * Talk with that one from now on. A trooper that was asked and is left answers all the same; its conversation
 * will have it.
 * @param {string} taskId @param {string} callsign
 */
export function turnTo(taskId, callsign) {
  name = callsign;
  if (task.value !== taskId) {
    if (waiting()) htmx.trigger(form, "htmx:abort");
    task.value = taskId;
    lines.replaceChildren();
    reply = text.value = lost.textContent = sent.textContent = "";
    sent.hidden = true;
    say("", "");
  }
  follow = true;
  look();
}

/** Whether there is anybody to talk to. @param {boolean} there */
export function offer(there) {
  if (part.hidden !== there) return;
  part.hidden = !there;
  look();
}

/** Go to the box to ask in. */
export function ask() {
  text.focus();
}

setInterval(() => { if (dialog.open && !document.hidden) look(); }, EVERY);

// What is typed leaves the field when it is sent, and comes back if it was certainly not said.
form.addEventListener("htmx:beforeSend", () => {
  sent.textContent = text.value;
  sent.hidden = false;
  text.value = reply = "";
  say(`${name} is thinking…`, "quiet");
  toEnd();
});
form.addEventListener("htmx:afterRequest", (/** @type {any} */ event) => {
  const { successful, xhr } = event.detail;
  if (successful) {
    const answer = JSON.parse(xhr.responseText);
    reply = answer.reply;
    say(`${answer.name} answered in ${answer.duration_seconds.toFixed(1)} s, with ${answer.model}.`, "quiet");
    follow = true;
  } else {
    sent.hidden = true;
    if (xhr.status >= 400 && xhr.status !== 502 && xhr.status !== 504 && !text.value) text.value = sent.textContent;
  }
  look();
});

lines.addEventListener("htmx:beforeSwap", (/** @type {any} */ event) => {
  const asked = new URL(event.detail.xhr.responseURL).searchParams.get("task_id");
  if (asked !== task.value) event.detail.shouldSwap = false; // the answer about whom one has turned away from
  follow ||= lines.scrollHeight - lines.scrollTop - lines.clientHeight < NEAR;
});
lines.addEventListener("htmx:afterSettle", () => {
  lost.textContent = "";
  sent.hidden = !waiting();
  if (reply && !lines.textContent.includes(reply)) say(reply, "answer"); // the conversation cannot be read just now
  if (follow) toEnd();
  follow = false;
});
