// The bar over the board, and the page's address: what one chooses is in it, so that a link, a reload, Back
// and Forward show the same. The server draws; a change of group, sort or density asks it to draw anew.
import { announce } from "./announce.js";
import { at } from "./page.js";
import { sift } from "./sift.js";
import "./cells.js";
import "./heat.js";
import "./export.js";
import "./order.js";
import { inKiosk, kiosk } from "./kiosk.js";

const DRAWN = ["group", "sort", "density"];
const SETTLED = 400; // ms after the last key until the filter is in the address
const ASK_AGAIN = 2000; // ms after which a drawing that did not come is asked for again
const form = at("view", HTMLFormElement);
const q = at("q", HTMLInputElement);
const squads = at("squads", HTMLElement);
const selects = DRAWN.map((name) => at(`view-${name}`, HTMLSelectElement));
let typing = 0;
let askedAt = 0;

const chosen = () => selects.map((select) => select.value).join();
let drawn = chosen(); // what the tiles on the page were drawn for

/** @param {HTMLSelectElement} select what goes without saying */
const usual = (select) => select.options[0].value;

/** This page's address for what is chosen; what else is in it is somebody else's, and stays. */
function address() {
  const url = new URL(location.href);
  const said = new Map(selects.map((select) => [select.name, select.value === usual(select) ? "" : select.value]));
  said.set("q", q.value.trim());
  said.set("kiosk", inKiosk() ? "1" : "");
  for (const [name, value] of said) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  return url;
}

/** @param {"pushState" | "replaceState"} how */
function remember(how) {
  clearTimeout(typing);
  const url = address();
  if (url.href !== location.href) history[how](null, "", url);
}

function draw() {
  if (chosen() === drawn) return;
  askedAt = performance.now();
  htmx.trigger(squads, "claw:squads");
}

/** Show what the address asks for. */
function restore() {
  const args = new URL(location.href).searchParams;
  for (const select of selects) {
    const asked = args.get(select.name) ?? "";
    select.value = [...select.options].some((option) => option.value === asked) ? asked : usual(select);
  }
  q.value = args.get("q") ?? "";
  sift(q.value);
  kiosk(!["", "0", "false"].includes(args.get("kiosk") ?? ""));
  draw();
}

q.addEventListener("input", () => {
  sift(q.value);
  clearTimeout(typing);
  typing = setTimeout(() => remember("replaceState"), SETTLED);
});
for (const select of selects) {
  select.addEventListener("change", () => {
    for (const note of document.querySelectorAll(".unknown-choice")) note.remove();
    remember("pushState");
    draw();
  });
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  remember("replaceState");
});
at("kiosk", HTMLElement).addEventListener("click", () => {
  remember("replaceState");
  kiosk(true);
  remember("pushState");
  document.documentElement.requestFullscreen?.().catch(() => announce("This browser allows no full screen; the kiosk fills the window."));
});
document.addEventListener("claw:kiosk-left", () => remember("pushState"));
window.addEventListener("popstate", restore);

document.body.addEventListener("htmx:afterSwap", (event) => {
  const { target, detail } = /** @type {CustomEvent} */ (event);
  if (target !== squads) return;
  const args = new URL(detail.xhr.responseURL).searchParams;
  drawn = DRAWN.map((name) => args.get(name) ?? "").join();
});
// A drawing that failed, or was of what is no longer asked for, is asked for again while there is news.
document.addEventListener("claw:painted", () => {
  if (chosen() !== drawn && performance.now() - askedAt > ASK_AGAIN) draw();
});

sift(q.value);
