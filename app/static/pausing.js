// The button that holds the page still. The stream is read all the while, and what was missed is counted.
import { everybody } from "./changes.js";
import { pause, swarm } from "./patcher.js";
import { announce } from "./announce.js";
import { at } from "./page.js";

const button = at("pause", HTMLElement);
const said = at("pause-said", HTMLElement);
/** The records that the page shows while it is held still. @type {Record<string, any> | null} */
let held = null;

/** The troopers' records as the page shows them, by id. @returns {Record<string, any>} */
export const tasks = () => held ?? swarm.state?.tasks ?? {};

/** @param {number} count */
const news = (count) => `${count} news missed`;

function hold() {
  held = structuredClone(swarm.state?.tasks ?? {});
  pause(true);
}

function release() {
  const missed = swarm.missed;
  held = null;
  everybody();
  pause(false);
  announce(`Live again, ${news(missed)}.`);
}

function show() {
  const { paused, missed } = swarm;
  document.documentElement.toggleAttribute("data-paused", paused);
  button.textContent = paused ? "Resume" : "Pause";
  said.textContent = paused ? `Paused, ${news(missed)}` : "";
}

button.addEventListener("click", () => {
  if (swarm.paused) release();
  else {
    hold();
    announce("Paused.");
  }
});
document.addEventListener("claw:state", () => {
  if (swarm.paused || said.textContent) show();
});
// Somebody looked another way meanwhile: what was drawn for that is of the present, and held from there on.
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (swarm.paused && /** @type {Element} */ (event.target).id === "squads") hold();
});
