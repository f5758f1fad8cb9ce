// Finding what the page is known to have.

/** The task id of the trooper whose tile it is. @param {Element} tile */
export const taskIdOf = (tile) => tile.id.slice("task-".length);

/**
 * The element of that id. TypeError where the page has none of that kind: then template and module disagree.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function at(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new TypeError(`this page has no ${kind.name} with the id ${id}`);
}
