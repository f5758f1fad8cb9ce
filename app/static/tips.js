// The sentence that belongs to a word of the glossary, on hover and on focus: one tooltip for all of them.
// Escape hides it, the pointer may move onto it, and it stays until both have left (WCAG 2.2, 1.4.13).
const LINGER = 200; // ms in which the pointer may get from the word to the tooltip
const GAP = 6; // px between them
const EDGE = 8; // px to the window's edge
const tip = document.createElement("div");
tip.id = "tip";
tip.className = "tip";
tip.setAttribute("role", "tooltip");
tip.hidden = true;
document.body.append(tip);

/** @type {HTMLElement | null} */
let word = null; // whose sentence is shown
let timer = 0;
let touched = false; // whether a finger is what points

/** @param {EventTarget | null} target @returns {HTMLElement | null} */
const wordOf = (target) => (target instanceof Element ? target.closest("[data-term]") : null);

/** Labels on tiles only name the word; the legend has the sentence, once. @param {HTMLElement} at */
function sentence(at) {
  if (at.dataset.says) return at.dataset.says;
  /** @type {HTMLElement | null} */
  const told = document.querySelector(`[data-says][data-term="${CSS.escape(at.dataset.term ?? "")}"]`);
  return told?.dataset.says ?? "";
}

/** @param {HTMLElement} at */
function show(at) {
  clearTimeout(timer);
  if (at === word) return;
  hide();
  const says = sentence(at);
  if (!says) return;
  word = at;
  tip.textContent = says;
  (at.closest("dialog") ?? document.body).append(tip); // what lies behind a modal dialog is not seen
  tip.hidden = false;
  at.setAttribute("aria-describedby", "tip");
  place(at);
}

/** @param {HTMLElement} at */
function place(at) {
  const [around, own] = [at.getBoundingClientRect(), tip.getBoundingClientRect()];
  const below = around.bottom + GAP + own.height <= innerHeight;
  tip.style.top = `${below ? around.bottom + GAP : Math.max(EDGE, around.top - GAP - own.height)}px`;
  tip.style.left = `${Math.max(EDGE, Math.min(around.left, document.documentElement.clientWidth - own.width - EDGE))}px`;
}

function hide() {
  clearTimeout(timer);
  word?.removeAttribute("aria-describedby");
  word = null;
  tip.hidden = true;
}

function leave() {
  clearTimeout(timer);
  timer = window.setTimeout(() => { if (word !== document.activeElement) hide(); }, LINGER);
}

document.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch"; }, true);
document.addEventListener("mouseover", (event) => {
  const at = wordOf(event.target);
  if (at) show(at);
  else if (tip.contains(/** @type {Node} */ (event.target))) clearTimeout(timer);
  else if (word) leave();
});
document.addEventListener("focusin", (event) => {
  const at = wordOf(event.target);
  if (at && at === event.target) show(at);
});
document.addEventListener("focusout", (event) => { if (event.target === word && !word?.matches(":hover")) hide(); });
document.addEventListener("scroll", () => { if (word) place(word); }, { capture: true, passive: true });
// A finger cannot hover: its first touch shows the sentence, the next one follows the link.
/** @type {HTMLElement | null} */
let first = null;
document.addEventListener("click", (event) => {
  const at = wordOf(event.target);
  if (at && touched && first !== at && at.matches("a")) {
    event.preventDefault();
    show(at);
  }
  first = at;
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !word) return;
  event.preventDefault(); // a dialog around it stays open
  event.stopPropagation();
  hide();
}, true);
document.addEventListener("claw:painted", () => { if (word && !word.isConnected) hide(); });
