// What stands beside a control: why it was refused, and that it is under way. One line for each tile or form.
//
// The lines are this browser's own, so what the server draws anew must not take them away: idiomorph is told
// to leave them. With the tile or the form that they belong to, they go.
const STAYS = 20_000; // ms that a refusal stays where no success takes it away
const SLOW = 1_000; // ms after which what has no answer yet is told to be under way
const LINE = "beside";

/** @type {WeakMap<Element, number>} */
const timers = new WeakMap(); // a line's home -> when its line goes, or says more

/** @param {Element} form */
function home(form) {
  return form.closest("footer, [data-acts]") ?? form;
}

/** @param {Element} place */
function lineIn(place) {
  return /** @type {HTMLElement | null} */ (place.querySelector(`:scope > .${LINE}`));
}

/** @param {Element} place @param {string} role @param {string} kind */
function newLine(place, role, kind) {
  clear(place);
  const line = document.createElement("p");
  line.className = `${LINE} ${kind}`;
  line.setAttribute("role", role);
  place.append(line);
  return line;
}

/** @param {Element} place */
function clear(place) {
  clearTimeout(timers.get(place));
  timers.delete(place);
  lineIn(place)?.remove();
}

/** Say beside the form why it was not done. @param {Element} form @param {string} sentence */
export function refused(form, sentence) {
  const place = home(form);
  newLine(place, "alert", "refusal").textContent = sentence;
  timers.set(place, window.setTimeout(() => clear(place), STAYS));
}

/** It was done: what was said before is over. @param {Element} form */
export function done(form) {
  clear(home(form));
}

/** From a second on, say that it is under way, and for how long. @param {Element} form */
export function underWay(form) {
  const place = home(form);
  const began = performance.now();
  /** @type {HTMLElement | null} */
  let seconds = null;
  const tick = () => {
    if (!form.isConnected) return;
    if (!seconds) {
      const line = newLine(place, "status", "under-way");
      seconds = document.createElement("span");
      seconds.ariaHidden = "true"; // read out once, not every second
      line.append("Under way… ", seconds);
    }
    seconds.textContent = `${Math.round((performance.now() - began) / 1000)} s`;
    timers.set(place, window.setTimeout(tick, 1000));
  };
  clearTimeout(timers.get(place));
  timers.set(place, window.setTimeout(tick, SLOW));
}

/** There is an answer: it is no longer under way. @param {Element} form */
export function answered(form) {
  const place = home(form);
  const line = lineIn(place);
  if (!line || line.classList.contains("under-way")) clear(place);
}

Idiomorph.defaults.callbacks.beforeNodeRemoved = (/** @type {Node} */ node) =>
  !(node instanceof Element && node.classList.contains(LINE));
