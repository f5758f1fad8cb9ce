// The tiles of the other racks, where the board is grouped by rack. This rack's manager looks at each of them every
// two seconds, and the stream says by a mark that one of them has changed; then they are drawn anew, and only where
// somebody looks at them. They are filtered as this rack's own are.
import { compile } from "./filter.js";
import { at } from "./page.js";
import { swarm } from "./patcher.js";

const EVERY = 2000; // ms between two drawings, at least: as often as the racks are looked at
const q = at("q", HTMLInputElement);
let filter = compile(q.value);
let askedAt = -Infinity;
let timer = 0;

/** It comes and goes with the way in which the board is grouped. */
const place = () => document.getElementById("elsewhere");

/** @param {HTMLElement} list */
function agrees(list) {
  const drawn = [.../** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll("[data-peer]"))];
  /** @type {Record<string, any>} */
  const peers = swarm.state?.peers ?? {};
  return drawn.length === Object.keys(peers).length && drawn.every(({ dataset }) => {
    const peer = peers[dataset.peer ?? ""];
    return peer && peer.mark === dataset.mark && String(peer.reachable) === dataset.reachable;
  });
}

function check() {
  const list = place();
  if (!list || !swarm.state || swarm.paused || timer || agrees(list)) return;
  timer = window.setTimeout(() => {
    timer = 0;
    askedAt = performance.now();
    htmx.trigger("#elsewhere", "claw:elsewhere");
  }, Math.max(0, askedAt + EVERY - performance.now()));
}

/** What a filter may ask of a tile. @param {HTMLElement} tile */
function record(tile) {
  const { id, name, words, service, slot, score, state, freshness, arm, is_manager, frozen } = tile.dataset;
  return {
    id, name, three_words: words, alias: service, service, slot, score, state, freshness, arm,
    is_manager: is_manager === "true", frozen: frozen === "true",
  };
}

function judge() {
  for (const tile of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#elsewhere .tile"))) {
    tile.hidden = !filter.matches(record(tile));
  }
  for (const list of document.querySelectorAll("#elsewhere .tiles")) {
    list.toggleAttribute("data-none", list.querySelector(".tile:not([hidden])") === null);
  }
}

q.addEventListener("input", () => {
  filter = compile(q.value);
  judge();
});
window.addEventListener("popstate", () => {
  filter = compile(new URL(location.href).searchParams.get("q") ?? "");
  judge();
});
document.addEventListener("claw:state", (event) => {
  const { detail } = event;
  if (detail === null || !Object.keys(detail).length || "peers" in detail) check(); // {}: paused, or no longer
});
document.body.addEventListener("htmx:afterSwap", ({ target }) => {
  if (target.id !== "elsewhere" && target.id !== "squads") return;
  at("squads", HTMLElement).toggleAttribute("data-beside", place() !== null);
  judge();
  check();
});
judge();
