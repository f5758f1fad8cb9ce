// The dialog in which somebody talks to one trooper. It stands outside of what the stream draws anew, so it
// stays open, with what is typed in it, whatever becomes of the tile that opened it.
import { at } from "./page.js";

const EVERY = 5000; // ms between two looks at what was said meanwhile, by others too
const NEAR = 40; // px from the end at which the conversation is still followed
const dialog = at("talk", HTMLDialogElement);
const name = at("talk-name", HTMLElement);
const task = at("talk-task", HTMLInputElement);
const lines = at("talk-lines", HTMLElement);
const lost = at("talk-lost", HTMLElement);
const form = at("talk-form", HTMLFormElement);
const sent = at("talk-sent", HTMLElement);
const state = at("talk-state", HTMLElement);
const text = at("talk-text", HTMLInputElement);

let reply = ""; // the last answer, until it is seen in the conversation
let follow = true; // whether the end of the conversation is being read
const waiting = () => form.classList.contains("htmx-request");

/**
 * @param {string} sentence
 * @param {string} kind
 */
function say(sentence, kind) {
  state.className = kind;
  state.textContent = sentence;
}

function toEnd() {
  lines.scrollTop = lines.scrollHeight;
}

function look() {
  htmx.trigger(lines, "claw:talk");
}

/** A trooper that was asked and is left answers all the same; its conversation will have it. @param {HTMLElement} button */
function turnTo(button) {
  if (task.value !== button.dataset.talk) {
    if (waiting()) htmx.trigger(form, "htmx:abort");
    task.value = button.dataset.talk ?? "";
    name.textContent = button.dataset.name ?? "";
    lines.replaceChildren();
    reply = text.value = lost.textContent = sent.textContent = "";
    sent.hidden = true;
    say("", "");
  }
  follow = true;
  dialog.showModal();
  look();
}

document.body.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-talk]");
  if (button instanceof HTMLElement) turnTo(button);
});
// The tile may be gone by now; then whoever uses a keyboard goes on among the troopers.
dialog.addEventListener("close", () => (document.getElementById(`ask-${task.value}`) ?? at("squads", HTMLElement)).focus());
setInterval(() => { if (dialog.open && !document.hidden) look(); }, EVERY);

// What is typed leaves the field when it is sent, and comes back if it was certainly not said.
form.addEventListener("htmx:beforeSend", () => {
  sent.textContent = text.value;
  sent.hidden = false;
  text.value = reply = "";
  say(`${name.textContent} is thinking…`, "quiet");
  toEnd();
});
form.addEventListener("htmx:afterRequest", (event) => {
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

lines.addEventListener("htmx:beforeSwap", (event) => {
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
