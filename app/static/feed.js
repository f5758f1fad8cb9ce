// The feed: which kinds are shown, how many there are of each, and a sentence now and then about what came.
//
// Hiding is the stylesheet's, by data-kinds on #feed, which the server sets from the address (feed=elections,scale)
// and this changes. A screen reader is told of news at most every QUIET ms, in sums: the list itself is no live region.
import { keep } from "./address.js";

const QUIET = 10_000;
const form = /** @type {HTMLFormElement} */ (document.getElementById("feed-kinds"));
const feed = /** @type {HTMLElement} */ (document.getElementById("feed"));
const said = /** @type {HTMLElement} */ (document.getElementById("feed-said"));
/** @type {NodeListOf<HTMLInputElement>} */
const boxes = form.querySelectorAll("input[name=feed]");
const all = [...boxes].map((box) => box.value);

let seen = ids(); // of the lines that are shown
/** @type {Map<string, number>} */
let news = new Map(); // group -> lines that came and were not told of yet
let timer = 0;

/** @returns {NodeListOf<HTMLElement>} */
function lines() {
  return feed.querySelectorAll("[data-group]");
}

function ids() {
  return new Set([...lines()].map((line) => line.id));
}

function chosen() {
  return [...boxes].filter((box) => box.checked).map((box) => box.value);
}

function choose() {
  const kinds = chosen();
  feed.dataset.kinds = kinds.join(" ");
  keep("feed", kinds.length === all.length ? null : kinds.join(",") || "none");
}

function count() {
  const counts = new Map(all.map((group) => [group, 0]));
  for (const { dataset: { group = "" } } of lines()) counts.set(group, (counts.get(group) ?? 0) + 1);
  /** @type {NodeListOf<HTMLElement>} */
  const places = form.querySelectorAll("[data-count]");
  for (const place of places) {
    const text = `(${counts.get(place.dataset.count ?? "") ?? 0})`;
    if (place.textContent !== text) place.textContent = text;
  }
}

function note() {
  const kinds = new Set(chosen());
  for (const { id, dataset: { group = "" } } of lines()) {
    if (!seen.has(id) && kinds.has(group)) news.set(group, (news.get(group) ?? 0) + 1);
  }
  seen = ids();
  if (news.size && !timer) timer = setTimeout(tell, QUIET);
}

function tell() {
  timer = 0;
  const sum = [...news.values()].reduce((all, some) => all + some, 0);
  said.textContent = `${sum} new ${sum === 1 ? "event" : "events"}: ${[...news].map(([group, n]) => `${group} ${n}`).join(", ")}.`;
  news = new Map();
}

form.addEventListener("change", choose);
form.addEventListener("submit", (event) => event.preventDefault());
document.body.addEventListener("htmx:afterSettle", ({ target }) => {
  if (target !== feed) return;
  count();
  note();
});
count();
