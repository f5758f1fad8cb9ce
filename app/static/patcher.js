// Keeps the page as the stream says, without drawing it anew.
//
// The server draws; this file only fills in. An element says what it shows: data-text (its text),
// data-show / data-unless (hidden or not), data-attrs (its own data-* attributes, for the stylesheet),
// data-value (an input), data-checked and data-next (a switch and what it would become), data-disabled (a
// button that does nothing just now), each by the name of a field. Which record that is a field of, the
// nearest data-of tells: "tasks/<id>", "services/<name>", "peers/<name>", "rps" …
//
// `state` is the server's, kept by JSON Merge Patch (RFC 7396; app/fanout.py makes the patches). Where the
// page has other troopers, racks, chat lines or handoffs than the state, htmx fetches that fragment and morphs
// it in. The page compares by itself and asks again until both agree, because another replica, which may know
// a little less yet, can be the one that answers.
//
// Other modules read `swarm.state` and hear of it by events on `document`: "claw:state" when it has changed
// (detail: the patch, or null where all of it is new), "claw:painted" when the page shows it.
import { BINDINGS, bindings, index, leave, shows } from "./bindings.js";
import { BOUND, compare, doubt } from "./fragments.js";
import { at } from "./page.js";
import { rank } from "./ranks.js";
import { merge, record, swarm } from "./state.js";
import { showAll, showBehind } from "./unseen.js";

export { BINDINGS, fill } from "./bindings.js";
export { swarm };

const SILENCE = 18; // seconds without a word after which the page is stale; a ping comes every 15
const REVIVE = 8000; // ms after which a stream that is closed for good is opened anew
const live = at("live", HTMLElement);
const liveWord = at("live-word", HTMLElement);
const liveAge = at("live-age", HTMLElement);

/** @type {EventSource | null} */
let source = null;
let heardAt = performance.now();
/** Paths to fill in at the next frame, each with its changed fields (null: all). @type {Map<string, Set<string> | null>} */
const dirty = new Map();
/** Paths of troopers to take away at the next frame. @type {Set<string>} */
const left = new Set();
let frame = 0;

// -- page --------------------------------------------------------------------------------------------

const NAMED = ["tasks", "services", "peers"]; // what holds records by name

function paint() {
  frame = 0;
  for (const path of left) leave(path);
  showAll(dirty);
  left.clear();
  dirty.clear();
  compare();
  document.dispatchEvent(new Event("claw:painted"));
}

/** @param {string} path @param {string[]} fields */
function touch(path, fields) {
  const before = dirty.get(path);
  if (before) for (const field of fields) before.add(field);
  else if (before === undefined) dirty.set(path, new Set(fields));
}

function paintSoon() {
  if (!frame && !swarm.paused) frame = requestAnimationFrame(paint);
}

function touchAll() {
  doubt(null);
  for (const path of bindings.keys()) dirty.set(path, null);
  paintSoon();
}

/** @param {Event} event */
function swapped(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  // A chat line or an answer shows no field, and is no reason to look through every tile.
  const bound = BOUND.includes(target.id) || target.querySelector(BINDINGS) !== null;
  if (bound) index();
  if (bound && swarm.state) touchAll();
  else compare();
  if (target.id === "chat") scrollChat();
}

function scrollChat() {
  const log = document.querySelector("#chat .log");
  if (log) log.scrollTop = log.scrollHeight;
}

// -- stream ------------------------------------------------------------------------------------------

function heard() {
  heardAt = performance.now();
  tell();
}

/** @param {MessageEvent<string>} event */
function onSnapshot(event) {
  if (!bindings.size) index(); // not before: a page with a thousand tiles is painted the sooner
  swarm.state = merge(Object.create(null), JSON.parse(event.data));
  rank(swarm.state, null);
  heard();
  news(null);
  for (const path of bindings.keys()) if (/^(tasks|peers)\//.test(path) && !record(path)) left.add(path);
  touchAll();
}

/** @param {MessageEvent<string>} event */
function onDelta(event) {
  heard();
  if (!swarm.state) return;
  const patch = JSON.parse(event.data);
  doubt(patch);
  merge(swarm.state, patch);
  const moved = rank(swarm.state, patch);
  if (shows("rank")) for (const id of moved) touch(`tasks/${id}`, ["rank"]);
  touch("", Object.keys(patch));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || typeof value !== "object") continue;
    if (!NAMED.includes(key)) touch(key, Object.keys(value));
    else for (const [name, fields] of Object.entries(value)) {
      if (fields === null) left.add(`${key}/${name}`);
      else touch(`${key}/${name}`, Object.keys(fields));
    }
  }
  paintSoon();
  news(patch);
}

/** @param {object | null} patch */
function news(patch) {
  if (swarm.paused) swarm.missed += 1;
  document.dispatchEvent(new CustomEvent("claw:state", { detail: patch }));
}

/** Stop painting, or go on with what there is by then. The stream is read all the while. @param {boolean} on */
export function pause(on) {
  showBehind();
  swarm.paused = on;
  swarm.missed = 0;
  document.dispatchEvent(new CustomEvent("claw:state", { detail: {} }));
  if (!on && swarm.state) touchAll();
}

function tell() {
  const open = source !== null && source.readyState === EventSource.OPEN;
  const age = Math.floor((performance.now() - heardAt) / 1000);
  const phase = open && age < SILENCE ? "live" : swarm.state ? "stale" : "connecting";
  if (live.dataset.phase !== phase) {
    live.dataset.phase = document.documentElement.dataset.stream = phase;
    liveWord.textContent = phase;
  }
  liveAge.textContent = phase === "stale" ? `${age} s` : "";
}

// htmx's extension makes a stream anew when the server said no to it, later and later, up to a minute.
// This makes sure that there is never more than one, and that the wait is not much longer than REVIVE.
htmx.createEventSource = (url) => {
  if (source && source.readyState !== EventSource.CLOSED) return source;
  source = new EventSource(url);
  source.addEventListener("snapshot", onSnapshot);
  source.addEventListener("delta", onDelta);
  source.addEventListener("ping", heard);
  return source;
};

const closed = () => source !== null && source.readyState === EventSource.CLOSED;
let revival = 0;
document.body.addEventListener("htmx:sseOpen", () => tell());
document.body.addEventListener("htmx:sseError", () => {
  tell();
  if (revival || !closed()) return;
  revival = setTimeout(() => {
    revival = 0;
    if (closed()) htmx.trigger(document.body, "htmx:afterProcessNode");
  }, REVIVE * (0.75 + Math.random() / 2));
});
setInterval(tell, 1000);

document.body.addEventListener("htmx:afterSettle", swapped);
Idiomorph.defaults.ignoreActiveValue = true; // what somebody is typing is theirs
Idiomorph.defaults.callbacks.beforeNodeMorphed = (/** @type {any} */ old, /** @type {any} */ now) => (old.localName !== "select" || old.id !== now.id || old.innerHTML !== now.innerHTML) && old.className !== "map"; // what is chosen, too, and what heat.js drew
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (/** @type {string} */ name) => !["tabindex", "open", "data-drawn"].includes(name); // where Tab stops (grid.js), what is unfolded, what is drawn
scrollChat();
