// The blast radius of what ends a trooper, in words and with the numbers of this moment: who manages next, how
// many remain, and what becomes of its points. The question itself is the server's; this goes behind it.

/** @param {number} count */
const points = (count) => `${String(count).replace("-", "−")} ${Math.abs(count) === 1 ? "point" : "points"}`;

/**
 * @param {any} squad a service's record
 * @returns {string}
 */
function next(squad) {
  if (!squad.next_manager) return "Nobody else runs who could manage next.";
  return `${squad.next_manager} in slot ${squad.next_manager_slot} manages next, by the rule of preference.`;
}

/**
 * What to add to the question of that act; "" where nothing is known.
 * @param {string} action where the form leads, "/api/outage" for one
 * @param {string} id of the task
 * @param {any} state of the stream
 * @returns {string}
 */
export function radius(action, id, state) {
  const task = state?.tasks?.[id];
  const squad = task && state.services?.[task.service];
  if (!squad) return "";
  const left = squad.running_count - (task.state === "running" ? 1 : 0);
  const said = [];
  if (action === "/api/revolt") {
    said.push(`It takes ${points(task.score)} along.`, `${left} of ${squad.alias} remain here, where one fewer is wanted then.`);
  } else {
    said.push(`It has ${points(task.score)}.`, `${left} of ${squad.desired_replicas} run on meanwhile.`);
  }
  if (task.is_manager) said.push(next(squad));
  return said.join(" ");
}
