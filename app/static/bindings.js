// Which elements show which fields, and how one is filled in. patcher.js says what an element may be bound by.
//
// What an element is bound by is read once, when it is indexed: with a thousand tiles, asking 26,000 elements at
// every change cost 50 ms. At a change only the bindings of the changed fields touch the page.
import { record } from "./state.js";

const KINDS = ["text", "show", "unless", "attrs", "value", "checked", "next", "disabled"];
/** Selects what shows a field of its record. */
export const BINDINGS = KINDS.map((kind) => `[data-${kind}]`).join();

/**
 * An element, how it shows a field (`attr`: in its data-* attribute of that name; `drawn`: heat.js shows it all), and
 * which one.
 * @typedef {{element: HTMLElement, kind: string, field: string}} Binding
 */

/** Path of a record -> how its fields are shown. @type {Map<string, Binding[]>} */
export const bindings = new Map();

/** The fields that anything shows. @type {Set<string>} */
const fields = new Set();

/** Whether anything on the page shows a field of that name. @param {string} field */
export const shows = (field) => fields.has(field);

/** Find every bound element of the page anew. */
export function index() {
  bindings.clear();
  fields.clear();
  bindings.set("", []);
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`${BINDINGS}, .tile.cell`))) {
    const path = /** @type {HTMLElement} */ (element.closest("[data-of]")).dataset.of ?? "";
    const before = bindings.get(path);
    if (before) before.push(...boundBy(element));
    else bindings.set(path, boundBy(element));
  }
}

/** @param {HTMLElement} element @returns {Binding[]} */
function boundBy(element) {
  /** @type {Binding[]} */
  const found = [];
  if (element.matches(".tile.cell")) return [{ element, kind: "drawn", field: "" }];
  for (const name of element.getAttributeNames()) {
    const kind = name.slice(5);
    if (!name.startsWith("data-") || !KINDS.includes(kind)) continue;
    const field = element.getAttribute(name) ?? "";
    if (kind === "attrs") for (const one of field.split(" ")) found.push({ element, kind: "attr", field: one });
    else found.push({ element, kind, field });
    fields.add(field);
  }
  return found;
}

/**
 * Let an element show what its record says.
 * @param {HTMLElement} element
 * @param {Record<string, any>} fields
 */
export function fill(element, fields) {
  for (const binding of boundBy(element)) set(binding, fields[binding.field]);
}

/**
 * @param {Binding} binding
 * @param {any} value
 */
function set({ element, kind, field }, value) {
  if (kind === "text") {
    write(element, String(value ?? element.dataset.none ?? ""));
  } else if (kind === "attr") mark(element, `data-${field}`, String(value ?? ""));
  else if (kind === "show") hide(element, !value && value !== 0);
  else if (kind === "unless") hide(element, Boolean(value));
  else if (kind === "checked") mark(element, "aria-checked", String(value === "on"));
  else if (kind === "disabled") mark(element, "aria-disabled", String(Boolean(value)));
  else if (kind === "next") /** @type {HTMLInputElement} */ (element).value = value === "on" ? "off" : "on";
  else if (kind === "value" && element !== document.activeElement) /** @type {HTMLInputElement} */ (element).value = value ?? "";
}

/**
 * A text is changed where it stands: another node in its place is a change of the element's children, which the
 * stylesheet and the layout are asked about.
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  const { firstChild: only } = element;
  if (only instanceof Text && !only.nextSibling) {
    if (only.data !== text) only.data = text;
  } else if (element.textContent !== text) element.textContent = text;
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

/** @param {HTMLElement} element @param {boolean} hidden */
function hide(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/**
 * Show a record's fields, where there still is such a record; `changed` names them, null: all.
 * @param {string} path
 * @param {Set<string> | null} changed
 */
export function show(path, changed) {
  const fields = record(path);
  if (!fields) return;
  for (const binding of bindings.get(path) ?? []) if (!changed || changed.has(binding.field)) set(binding, fields[binding.field]);
}

/**
 * Who has left the swarm leaves the page in the same frame as the others' news: never two managers shown.
 * @param {string} path
 */
export function leave(path) {
  for (const { element } of bindings.get(path) ?? []) {
    if (element.dataset.of !== path) continue;
    const list = element.parentElement;
    element.remove();
    if (list?.matches(".tiles")) list.toggleAttribute("data-empty", list.childElementCount === 0);
  }
  bindings.delete(path);
}
