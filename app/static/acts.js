// What people did, told back to them: htmx sends the forms, this says how it went. A refusal stands beside the
// control (beside.js), or in the element that data-told names; a toast says what was done, and what became of
// what has left the page meanwhile.
import { answered, done as doneBeside, refused, underWay } from "./beside.js";
import { radius } from "./blast.js";
import { swarm } from "./patcher.js";

/** @typedef {CustomEvent<any> & {target: HTMLElement}} Told an event of htmx's */

const toasts = /** @type {HTMLElement} */ (document.getElementById("toasts"));
const IN_DOUBT = "No answer. It may or may not have happened: look before you try again.";
const MOST_NAMES = 3;

/** Say that for some seconds. @param {string} text @param {string} kind good, warn or bad */
export function toast(text, kind) {
  const note = document.createElement("p");
  note.className = kind;
  note.textContent = text;
  toasts.append(note);
  while (toasts.children.length > 3) toasts.firstElementChild?.remove();
  setTimeout(() => note.remove(), kind === "good" ? 3000 : 8000);
}

/** Say why it was not done. @param {HTMLElement} element @param {string} text */
function tell(element, text) {
  const place = document.getElementById(element.dataset.told ?? "");
  if (place) {
    place.className = "bad";
    if (place.textContent !== text) place.textContent = text;
  } else if (element.isConnected && element.matches("form")) refused(element, text);
  else toast(text, "bad");
}

/** @param {XMLHttpRequest} request @returns {any} */
function answer(request) {
  try {
    return Object(JSON.parse(request.responseText));
  } catch {
    return {};
  }
}

// The contract's errors are {"error": "<one clear sentence>"}; a proxy's may be anything.
/** @param {XMLHttpRequest} request @returns {string} */
function sentence(request) {
  return answer(request).error || `The answer was ${request.status} ${request.statusText}`.trim() + ".";
}

/** @param {string} name @param {(event: Told) => void} act */
function on(name, act) {
  document.body.addEventListener(name, (event) => {
    const told = /** @type {Told} */ (event);
    if (told.target.matches("form, [data-told]")) act(told);
  });
}

// A chat line that begins with @ tells whom it was passed on to, or why nobody.
/** @param {{addressed?: string[], note?: string}} answered_ */
function passedOn({ addressed, note }) {
  if (note) toast(note, "warn");
  else if (addressed) toast(`Passed on to ${addressed.length > MOST_NAMES ? `${addressed.length} troopers` : addressed.join(", ")}.`, "good");
}

/** @param {HTMLElement} form @param {XMLHttpRequest} request */
function done(form, request) {
  const { reset, said, reload } = form.dataset;
  doneBeside(form);
  if (reset !== undefined && form instanceof HTMLFormElement) form.reset();
  if (said) toast(said, "good");
  passedOn(answer(request));
  if (reload !== undefined) location.reload();
}

on("htmx:responseError", ({ target, detail: { xhr } }) => {
  tell(target, sentence(xhr));
  if (xhr.status === 401) document.getElementById("token")?.focus(); // where that is mended
});
on("htmx:sendError", ({ target }) => tell(target, IN_DOUBT));
on("htmx:timeout", ({ target }) => tell(target, IN_DOUBT));
on("htmx:afterRequest", ({ target, detail: { successful, xhr } }) => {
  if (successful && target.matches("form")) done(target, xhr);
});

// What takes a while says that it is under way: a revolt takes up to half a minute.
on("htmx:beforeSend", ({ target, detail: { xhr } }) => {
  if (!target.matches("form") || target.dataset.told) return;
  underWay(target);
  xhr.addEventListener("loadend", () => answered(target));
});

// htmx tells of all that on the form itself, which nobody hears where its tile has left the page meanwhile.
on("htmx:beforeSend", ({ target, detail: { xhr } }) => xhr.addEventListener("loadend", () => {
  if (target.isConnected) return;
  if (xhr.status >= 200 && xhr.status < 300) done(target, xhr);
  else tell(target, xhr.status ? sentence(xhr) : IN_DOUBT);
}));

// JSON is no HTML. htmx parses even what it swaps nowhere, and what people said in it may look like markup.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = /** @type {Told} */ (event);
  if (detail.xhr.getResponseHeader("Content-Type")?.startsWith("application/json")) detail.shouldSwap = false;
});

// A question has its blast radius behind it. Where there is a choice of racks, the chosen one is named in it. A
// trooper that is held stays, and what is under way is not asked for again.
document.body.addEventListener("htmx:confirm", (event) => {
  const { elt: form, issueRequest, question } = /** @type {Told} */ (event).detail;
  if (!form.matches("form")) return;
  const asked = form.querySelector("option[data-confirm]:checked")?.dataset.confirm ?? question;
  const held = form.querySelector("[aria-disabled=true]");
  if (!asked && !held) return;
  event.preventDefault();
  if (held || form.classList.contains("htmx-request")) return;
  const more = radius(form.getAttribute("action"), String(new FormData(form).get("task_id")), swarm.state);
  if (confirm(`${asked} ${more}`.trim())) issueRequest(true);
});
