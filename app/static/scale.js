// How many replicas: the stepper, and how far a service is from what is wanted.
//
// What somebody has chosen and not applied yet is theirs for a while, whatever the stream says meanwhile. The
// way to what is wanted is shown on every page that sees one, whoever asked for it.
import { refused, done } from "./beside.js";
import { swarm } from "./patcher.js";

const KEPT = 30_000; // ms that a choice stays without being applied
const APPLIED = 2_000; // ms within which the stream says what was applied
const EVERY = 5_000; // ms between two looks for what holds it up
const STUCK = 10_000; // ms without a change after which it is told what holds it up
const LINGERS = 4_000; // ms that "6 of 6" is to be seen

/** @type {Map<string, {value: string, until: number}>} */
const chosen = new Map(); // id of an input -> what was chosen
/** @type {Map<string, {mark: string, since: number, done: number}>} */
const ways = new Map(); // service -> where it stands, since when, and when it arrived (0: not yet)

// -- the number --------------------------------------------------------------------------------------------

/** @param {HTMLInputElement} input @param {number} ms */
function choose(input, ms) {
  chosen.set(input.id, { value: input.value, until: performance.now() + ms });
}

function keep() {
  for (const [id, { value, until }] of chosen) {
    const input = document.getElementById(id);
    if (!(input instanceof HTMLInputElement) || performance.now() > until) chosen.delete(id);
    else if (input !== document.activeElement && input.value !== value) input.value = value;
  }
}

/** @param {Element} button */
function step(button) {
  const form = /** @type {HTMLFormElement} */ (button.closest("form"));
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("replicas"));
  const by = Number(button.getAttribute("data-step"));
  const [least, most] = [Number(input.min), Number(input.max)];
  const wanted = (Math.round(Number(input.value)) || 0) + by;
  if (wanted < least) refused(form, `${least} is the fewest that a service can have.`);
  else if (wanted > most) refused(form, `${most} is the most that a service can have.`);
  else done(form);
  input.value = String(Math.min(most, Math.max(least, wanted)));
  choose(input, KEPT);
}

document.body.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-step]") : null;
  if (button) step(button);
});
document.body.addEventListener("input", (event) => {
  const input = event.target;
  if (input instanceof HTMLInputElement && input.matches(".scale input[name=replicas]")) choose(input, KEPT);
});
document.body.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.getAttribute("action") !== "/api/scale") return;
  if (!(/** @type {CustomEvent<any>} */ (event).detail.successful)) return;
  const input = form.elements.namedItem("replicas");
  if (input instanceof HTMLInputElement) choose(input, APPLIED);
});

// -- the way -----------------------------------------------------------------------------------------------

/** What keeps a service from what is wanted, as far as it is known. @param {string} service @param {any} squad */
function why(service, squad) {
  const state = swarm.state;
  if (state.stale_seconds !== undefined) return "the bus does not answer";
  if (state.snapshot_age_seconds !== undefined) return "the rack manager is silent";
  if (state.engine_error) return `the engine says ${state.engine_error}`;
  if (squad.error) return squad.error;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const task of /** @type {any[]} */ (Object.values(state.tasks))) {
    if (task.service === service && task.state !== "running") counts.set(task.state, (counts.get(task.state) ?? 0) + 1);
  }
  if (counts.size) return [...counts].map(([state_, count]) => `${count} ${state_}`).join(", ");
  return squad.running_count < squad.desired_replicas ? "the rack has started no task for the others yet" : "the others have not ended yet";
}

/** @param {string} service @param {any} squad @param {number} now */
function look(service, squad, now) {
  const { running_count: running, desired_replicas: wanted } = squad;
  const way = ways.get(service);
  const mark = `${running}/${wanted}`;
  if (running !== wanted) {
    if (way?.mark !== mark) ways.set(service, { mark, since: now, done: 0 });
  } else if (way && !way.done) Object.assign(way, { mark, done: now });
  else if (way && now - way.done > LINGERS) ways.delete(service);
}

/** @param {string} service @param {any} squad @param {number} now */
function draw(service, squad, now) {
  const place = document.getElementById(`way-${service}`);
  const [bar, words] = place?.children ?? [];
  if (!place || !(bar instanceof HTMLProgressElement) || !words) return;
  const way = ways.get(service);
  place.hidden = !way;
  if (!way) return;
  const { running_count: running, desired_replicas: wanted } = squad;
  bar.max = Math.max(running, wanted, 1);
  bar.value = Math.min(running, wanted);
  const said = running > wanted ? `${running} running, ${wanted} wanted` : `${running} of ${wanted} running`;
  const held = now - way.since;
  // What holds it up is looked for among all troopers: once in EVERY, however often there is news.
  const key = `${way.mark} ${way.done} ${held < STUCK ? 0 : Math.floor(held / EVERY)}`;
  if (place.dataset.told === key) return;
  place.dataset.told = key;
  const text = way.done ? `${running} of ${wanted}` : held < STUCK ? `${said}…` : `${said} for ${Math.floor(held / 1000)} s: ${why(service, squad)}.`;
  if (words.textContent !== text) words.textContent = text;
}

/** @param {Iterable<string>} services */
function follow(services) {
  const now = performance.now();
  for (const service of services) {
    const squad = swarm.state?.services?.[service];
    if (squad) {
      look(service, squad, now);
      draw(service, squad, now);
    } else ways.delete(service);
  }
}

document.addEventListener("claw:state", (event) => {
  const patch = /** @type {CustomEvent<any>} */ (event).detail;
  if (swarm.paused) return;
  if (patch === null) follow(Object.keys(swarm.state.services));
  else if (patch.services) follow(Object.keys(patch.services));
});
document.addEventListener("claw:painted", keep);
document.body.addEventListener("htmx:afterSettle", () => {
  keep();
  if (swarm.state && !swarm.paused) follow(Object.keys(swarm.state.services));
});
setInterval(() => { if (ways.size && !swarm.paused) follow([...ways.keys()]); }, 1000);
