// Which troopers' tiles are other than they were: told once a frame, so that nobody has to look at all of them.
const MOST = 10_000; // ids kept while the page is paused; beyond, all of them count as changed

/** @typedef {(ids: Set<string> | null) => void} Listener */
/** @type {Listener[]} */
const listeners = [];
/** @type {Set<string>} */
const changed = new Set();
let all = true;

/** Hear, after each painting, whose records changed; null: everybody's may have. @param {Listener} listener */
export function onChange(listener) {
  listeners.push(listener);
}

/** From here on everybody counts as changed, until that was told. */
export function everybody() {
  all = true;
}

/** Tell now. */
export function flush() {
  if (!all && !changed.size) return;
  const ids = all ? null : new Set(changed);
  all = false;
  changed.clear();
  for (const listener of listeners) listener(ids);
}

document.addEventListener("claw:state", (event) => {
  const { detail } = /** @type {CustomEvent} */ (event);
  if (detail === null || changed.size > MOST) all = true;
  else for (const id of Object.keys(detail.tasks ?? {})) changed.add(id);
});
document.addEventListener("claw:painted", flush);
// In the same task as the swap: no frame shows tiles as the server drew them.
for (const drawn of ["htmx:afterSwap", "htmx:afterSettle"]) {
  document.body.addEventListener(drawn, (event) => {
    if (/** @type {Element} */ (event.target).id !== "squads") return;
    everybody();
    flush();
  });
}
