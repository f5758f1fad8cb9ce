// What people did, told back to them: htmx sends the forms, this says how it went. Where an element names
// another by data-told, that one says it, else a toast does.
import { at } from "./page.js";

const toasts = at("toasts", HTMLElement);
const IN_DOUBT = "No answer. It may or may not have happened: look before you try again.";
const MOST_NAMES = 3;

/**
 * @param {string} text
 * @param {"good" | "warn" | "bad"} kind
 */
function toast(text, kind) {
  const note = document.createElement("p");
  note.className = kind;
  note.textContent = text;
  toasts.append(note);
  while (toasts.children.length > 3) toasts.firstElementChild?.remove();
  setTimeout(() => note.remove(), kind === "good" ? 3000 : 8000);
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 * @param {"good" | "warn" | "bad"} kind
 */
function tell(element, text, kind) {
  const place = document.getElementById(element.dataset.told ?? "");
  if (!place) return toast(text, kind);
  place.className = kind;
  if (place.textContent !== text) place.textContent = text;
}

/** @param {XMLHttpRequest} request */
function answer(request) {
  try {
    return Object(JSON.parse(request.responseText));
  } catch {
    return {};
  }
}

/** The contract's errors are {"error": "<one clear sentence>"}; a proxy's may be anything. @param {XMLHttpRequest} request */
function sentence(request) {
  return answer(request).error || `The answer was ${request.status} ${request.statusText}`.trim() + ".";
}

/**
 * @param {`htmx:${string}`} name
 * @param {(event: HtmxEvent) => void} act
 */
function on(name, act) {
  document.body.addEventListener(name, (event) => {
    if (event.target.matches("form, [data-told]")) act(event);
  });
}

/** A chat line that begins with @ tells whom it was passed on to, or why nobody. @param {{addressed?: string[], note?: string}} told */
function passedOn({ addressed, note }) {
  if (note) toast(note, "warn");
  else if (addressed) toast(`Passed on to ${addressed.length > MOST_NAMES ? `${addressed.length} troopers` : addressed.join(", ")}.`, "good");
}

/**
 * @param {HTMLElement} form
 * @param {XMLHttpRequest} request
 */
function done(form, request) {
  const { reset, said, reload } = form.dataset;
  if (reset !== undefined && form instanceof HTMLFormElement) form.reset();
  if (said) toast(said, "good");
  passedOn(answer(request));
  if (reload !== undefined) location.reload();
}

on("htmx:responseError", (event) => tell(event.target, sentence(event.detail.xhr), "bad"));
on("htmx:sendError", (event) => tell(event.target, IN_DOUBT, "bad"));
on("htmx:timeout", (event) => tell(event.target, IN_DOUBT, "bad"));
on("htmx:afterRequest", (event) => {
  if (event.detail.successful && event.target.matches("form")) done(event.target, event.detail.xhr);
});

// htmx tells of all that on the form itself, which nobody hears where its tile has left the page meanwhile.
on("htmx:beforeSend", ({ target, detail: { xhr } }) => xhr.addEventListener("loadend", () => {
  if (target.isConnected) return;
  if (xhr.status >= 200 && xhr.status < 300) done(target, xhr);
  else tell(target, xhr.status ? sentence(xhr) : IN_DOUBT, "bad");
}));

// JSON is no HTML. htmx parses even what it swaps nowhere, and what people said in it may look like markup.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("application/json")) event.detail.shouldSwap = false;
});

// Where there is a choice of racks, the chosen one is named in the question. A trooper that is held stays.
document.body.addEventListener("htmx:confirm", (event) => {
  const { elt, issueRequest } = event.detail;
  if (!elt.matches("form")) return;
  const chosen = /** @type {HTMLElement | null} */ (elt.querySelector("option[data-confirm]:checked"));
  const held = elt.querySelector("[aria-disabled=true]");
  if (!chosen && !held) return;
  event.preventDefault();
  if (!held && confirm(chosen?.dataset.confirm)) issueRequest(true);
});

// A browser lets a page write to the clipboard under https and on localhost only.
for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-copy]"))) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(at(button.dataset.copy ?? "", HTMLElement).textContent ?? "").then(
      () => toast("Copied.", "good"),
      () => toast("The browser does not let this page copy; select the command instead.", "bad"),
    );
  });
}
