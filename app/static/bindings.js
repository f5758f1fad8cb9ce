// Which elements show which fields, and how one is filled in. patcher.js says what an element may be bound by.
import { record } from "./state.js";

/** Selects what shows a field of its record. */
export const BINDINGS = ["text", "show", "unless", "attrs", "value", "checked", "next", "disabled"].map((name) => `[data-${name}]`).join();

/** Path of a record -> the elements that show one of its fields. @type {Map<string, HTMLElement[]>} */
export const bindings = new Map();

/** Find every bound element of the page anew. */
export function index() {
  bindings.clear();
  bindings.set("", []);
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(BINDINGS))) {
    const path = /** @type {HTMLElement} */ (element.closest("[data-of]")).dataset.of ?? "";
    const before = bindings.get(path);
    if (before) before.push(element);
    else bindings.set(path, [element]);
  }
}

/**
 * Let an element show what its record says.
 * @param {HTMLElement} element
 * @param {Record<string, any>} fields
 */
export function fill(element, fields) {
  const bound = element.dataset;
  const field = /** @type {HTMLInputElement} */ (element);
  if (bound.text !== undefined) {
    const text = String(fields[bound.text] ?? bound.none ?? "");
    if (element.textContent !== text) element.textContent = text;
  }
  if (bound.show !== undefined) element.hidden = !(fields[bound.show] ?? false) && fields[bound.show] !== 0;
  if (bound.unless !== undefined) element.hidden = Boolean(fields[bound.unless]);
  if (bound.attrs !== undefined) for (const name of bound.attrs.split(" ")) mark(element, `data-${name}`, String(fields[name] ?? ""));
  if (bound.value !== undefined && element !== document.activeElement) field.value = fields[bound.value] ?? "";
  if (bound.checked !== undefined) mark(element, "aria-checked", String(fields[bound.checked] === "on"));
  if (bound.disabled !== undefined) mark(element, "aria-disabled", String(Boolean(fields[bound.disabled])));
  if (bound.next !== undefined) field.value = fields[bound.next] === "on" ? "off" : "on";
}

/**
 * Only what is new: a browser restyles a tile whose attribute is set, to the same value too.
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string} value
 */
function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Show a record in all its elements, where there still is such a record.
 * @param {string} path
 */
export function show(path) {
  const fields = record(path);
  if (fields) for (const element of bindings.get(path) ?? []) fill(element, fields);
}

/**
 * Who has left the swarm leaves the page in the same frame as the others' news: never two managers shown.
 * @param {string} path
 */
export function leave(path) {
  for (const element of bindings.get(path) ?? []) if (element.dataset.of === path) element.remove();
  bindings.delete(path);
}
