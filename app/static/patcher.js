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
const SILENCE = 18; // seconds without a word after which the page is stale; a ping comes every 15
const REVIVE = 8000; // ms after which a stream that is closed for good is opened anew
const live = document.getElementById("live");
const liveWord = document.getElementById("live-word");
const liveAge = document.getElementById("live-age");

/**
 * What the stream last told. Its objects have no prototype: the swarm's names are keys here, "__proto__" not
 * excepted. `missed` counts the news since the page was paused.
 * @type {{state: any, paused: boolean, missed: number}}
 */
export const swarm = { state: null, paused: false, missed: 0 };
let source = null; // the EventSource
let heardAt = performance.now();
let bindings = new Map(); // path of a record -> the elements that show one of its fields
const dirty = new Set(); // paths to fill in at the next frame
const left = new Set(); // paths of troopers to take away at the next frame
let frame = 0;

// -- state -------------------------------------------------------------------------------------------------

function merge(target, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete target[key];
    else if (typeof value === "object" && !Array.isArray(value)) {
      if (typeof target[key] !== "object") target[key] = Object.create(null);
      merge(target[key], value);
    } else target[key] = value;
  }
  return target;
}

function record(path) {
  return path.split("/").reduce((at, key) => (key && at ? at[key] : at), swarm.state);
}

// -- page --------------------------------------------------------------------------------------------

/** Selects what shows a field of its record. */
export const BINDINGS = ["text", "show", "unless", "attrs", "value", "checked", "next", "disabled"].map((name) => `[data-${name}]`).join();
const NAMED = ["tasks", "services", "peers"]; // what holds records by name

function index() {
  bindings = new Map([["", []]]);
  for (const element of document.querySelectorAll(BINDINGS)) {
    const path = element.closest("[data-of]").dataset.of;
    if (!bindings.has(path)) bindings.set(path, []);
    bindings.get(path).push(element);
  }
}

/** Let an element show what its record says. @param {any} element @param {any} fields */
export function fill(element, fields) {
  const bound = element.dataset;
  if ("text" in bound) {
    const text = String(fields[bound.text] ?? bound.none ?? "");
    if (element.textContent !== text) element.textContent = text;
  }
  if ("show" in bound) element.hidden = !(fields[bound.show] ?? false) && fields[bound.show] !== 0;
  if ("unless" in bound) element.hidden = Boolean(fields[bound.unless]);
  if ("attrs" in bound) for (const name of bound.attrs.split(" ")) element.setAttribute(`data-${name}`, fields[name] ?? "");
  if ("value" in bound && element !== document.activeElement) element.value = fields[bound.value] ?? "";
  if ("checked" in bound) element.setAttribute("aria-checked", String(fields[bound.checked] === "on"));
  if ("disabled" in bound) element.setAttribute("aria-disabled", String(Boolean(fields[bound.disabled])));
  if ("next" in bound) element.value = fields[bound.next] === "on" ? "off" : "on";
}

function paint() {
  frame = 0;
  for (const path of left) leave(path);
  for (const path of dirty) {
    const fields = record(path);
    if (fields) for (const element of bindings.get(path) ?? []) fill(element, fields);
  }
  left.clear();
  dirty.clear();
  compare();
  document.dispatchEvent(new Event("claw:painted"));
}

// Who has left the swarm leaves the page in the same frame as the others' news: never two managers shown.
function leave(path) {
  for (const element of bindings.get(path) ?? []) if (element.dataset.of === path) element.remove();
  bindings.delete(path);
}

function touch(paths) {
  for (const path of paths) dirty.add(path);
  if (!frame && !swarm.paused) frame = requestAnimationFrame(paint);
}

// -- fragments ---------------------------------------------------------------------------------------

const fragments = ["squads", "chat", "revolts"].map((id) => ({ id, element: document.getElementById(id), tries: 0, timer: 0 }));

// What is drawn of another rack, and not filled in: its names and where it is.
const rack = (name, { label, url }) => JSON.stringify([name, label, url]);

function racks(id) {
  const shown = document.querySelectorAll(`#${id} [data-rack]`);
  return [...shown].map(({ dataset }) => rack(dataset.rack, dataset)).sort().join();
}

function agrees(id) {
  if (id !== "squads" && document.querySelector(`#${id} [data-version]`).dataset.version !== swarm.state[id]) return false;
  if (id === "chat") return true;
  if (racks(id) !== Object.entries(swarm.state.peers).map(([name, peer]) => rack(name, peer)).sort().join()) return false;
  if (id === "revolts") return true;
  for (const kind of ["tasks", "services"]) {
    const shown = [...bindings.keys()].filter((path) => path.startsWith(`${kind}/`));
    const known = Object.keys(swarm.state[kind]);
    if (shown.length !== known.length || known.some((key) => !bindings.has(`${kind}/${key}`))) return false;
  }
  return true;
}

function compare() {
  if (!swarm.state || swarm.paused) return;
  for (const fragment of fragments) {
    if (agrees(fragment.id)) fragment.tries = 0;
    else if (!fragment.timer) {
      // A little later each time, and not all pages in one moment.
      const wait = Math.min(100 * 2 ** fragment.tries++, 5000) * (0.5 + Math.random());
      fragment.timer = setTimeout(() => {
        fragment.timer = 0;
        if (!agrees(fragment.id)) htmx.trigger(fragment.element, `claw:${fragment.id}`);
      }, fragment.tries === 1 ? Math.random() * 50 : wait);
    }
  }
}

function swapped(event) {
  index();
  if (swarm.state) touch(bindings.keys());
  if (event.target.id === "chat") scrollChat();
}

function scrollChat() {
  const log = document.querySelector("#chat .log");
  log.scrollTop = log.scrollHeight;
}

// -- stream ------------------------------------------------------------------------------------------

const heard = () => { heardAt = performance.now(); tell(); };

function onSnapshot(event) {
  swarm.state = merge(Object.create(null), JSON.parse(event.data));
  heard();
  news(null);
  for (const path of bindings.keys()) if (/^(tasks|peers)\//.test(path) && !record(path)) left.add(path);
  touch(bindings.keys());
}

function onDelta(event) {
  heard();
  if (!swarm.state) return;
  const patch = JSON.parse(event.data);
  merge(swarm.state, patch);
  const paths = [""];
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || typeof value !== "object") continue;
    if (!NAMED.includes(key)) paths.push(key);
    else for (const [name, fields] of Object.entries(value)) (fields === null ? left.add(`${key}/${name}`) : paths.push(`${key}/${name}`));
  }
  touch(paths);
  news(patch);
}

function news(patch) {
  if (swarm.paused) swarm.missed += 1;
  document.dispatchEvent(new CustomEvent("claw:state", { detail: patch }));
}

/** Stop painting, or go on with what there is by then. The stream is read all the while. @param {boolean} on */
export function pause(on) {
  swarm.paused = on;
  swarm.missed = 0;
  document.dispatchEvent(new CustomEvent("claw:state", { detail: {} }));
  if (!on && swarm.state) touch(bindings.keys());
}

function tell() {
  const open = source !== null && source.readyState === EventSource.OPEN;
  const age = Math.floor((performance.now() - heardAt) / 1000);
  const phase = open && age < SILENCE ? "live" : swarm.state ? "stale" : "connecting";
  if (live.dataset.phase !== phase) {
    live.dataset.phase = phase;
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

let revival = 0;
document.body.addEventListener("htmx:sseOpen", () => tell());
document.body.addEventListener("htmx:sseError", () => {
  tell();
  if (revival || source.readyState !== EventSource.CLOSED) return;
  revival = setTimeout(() => {
    revival = 0;
    if (source.readyState === EventSource.CLOSED) htmx.trigger(document.body, "htmx:afterProcessNode");
  }, REVIVE * (0.75 + Math.random() / 2));
});
setInterval(tell, 1000);

document.body.addEventListener("htmx:afterSettle", swapped);
for (const failed of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.body.addEventListener(failed, compare);
Idiomorph.defaults.ignoreActiveValue = true; // what somebody is typing is theirs
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, now) => old.localName !== "select" || old.id !== now.id || old.innerHTML !== now.innerHTML; // what is chosen, too
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name) => name !== "tabindex" && name !== "open"; // where Tab stops (grid.js), what is unfolded
index();
scrollChat();
