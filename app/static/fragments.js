// The parts of the page that the server draws: whether each agrees with the state, and fetching it where not.
//
// To find that out for the troopers takes a look at every tile, and most news is of nobody who came or went. So
// a patch is asked what it puts in doubt, and what is in doubt is looked at in every frame until it agrees.
import { bindings } from "./bindings.js";
import { at } from "./page.js";
import { swarm } from "./state.js";

/** Those with elements in them that the patcher fills in, or with none just now. */
export const BOUND = ["squads", "revolts"];
const ALL = [...BOUND, "chat", "feed", "timeline", "scoreboard"].filter((id) => document.getElementById(id)?.getAttribute("hx-trigger") === `claw:${id}`);
/** @type {Set<string>} */
const doubted = new Set();
const fragments = ALL.map((id) => ({ id, element: at(id, HTMLElement), tries: 0, timer: 0 }));

/**
 * Note what a patch may put at odds with the page, before it is merged; null: everything.
 * @param {Record<string, any> | null} patch
 */
export function doubt(patch) {
  for (const id of ALL) if (patch === null || id in patch) doubted.add(id);
  if (patch === null) return;
  if ("peers" in patch) doubted.add("squads").add("revolts");
  // Who is not known yet joins, who is null leaves.
  for (const kind of ["tasks", "services"]) {
    const known = swarm.state[kind] ?? {};
    for (const [name, fields] of Object.entries(patch[kind] ?? {})) if (fields === null || !(name in known)) doubted.add("squads");
  }
}

/**
 * What is drawn of another rack, and not filled in: its names and where it is.
 * @param {string | undefined} name
 * @param {{label?: string, url?: string}} peer
 */
const rack = (name, { label, url }) => JSON.stringify([name, label, url]);

/** @param {string} id */
function racksAgree(id) {
  const drawn = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`#${id} [data-rack]`))];
  const shown = drawn.map(({ dataset }) => rack(dataset.rack, dataset)).sort().join();
  return shown === Object.entries(swarm.state.peers).map(([name, peer]) => rack(name, peer)).sort().join();
}

/** @param {string} kind */
function namesAgree(kind) {
  let shown = 0;
  for (const path of bindings.keys()) if (path.startsWith(`${kind}/`)) shown += 1;
  const known = Object.keys(swarm.state[kind]);
  return shown === known.length && known.every((name) => bindings.has(`${kind}/${name}`));
}

/** @param {string} id */
function agrees(id) {
  const drawn = /** @type {HTMLElement | null} */ (document.querySelector(`#${id} [data-version]`));
  if (id !== "squads" && drawn?.dataset.version !== swarm.state[id]) return false;
  if (!BOUND.includes(id)) return true;
  return racksAgree(id) && (id === "revolts" || (namesAgree("tasks") && namesAgree("services")));
}

/** Look at what is in doubt, and have it drawn anew where it does not agree. */
export function compare() {
  if (!swarm.state || swarm.paused) return;
  for (const fragment of fragments) {
    if (!doubted.has(fragment.id)) continue;
    if (agrees(fragment.id)) {
      fragment.tries = 0;
      doubted.delete(fragment.id);
    } else if (!fragment.timer) {
      // A little later each time, and not all pages in one moment.
      const wait = Math.min(100 * 2 ** fragment.tries++, 5000) * (0.5 + Math.random());
      fragment.timer = setTimeout(() => {
        fragment.timer = 0;
        if (!agrees(fragment.id)) htmx.trigger(fragment.element, `claw:${fragment.id}`);
      }, fragment.tries === 1 ? Math.random() * 50 : wait);
    }
  }
}

for (const failed of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.body.addEventListener(failed, compare);
