// A trooper's place by score among its service's, from 1; equals share one. The stream leaves it out, because one
// point moves the ranks of all whom it passes: fifty news of five thousand troopers would be five thousand.
//
// app/shown.py does the same for a page as the server draws it.

/** How many have which score, by service. @param {any[]} tasks */
function counted(tasks) {
  /** @type {Map<string, Map<number, number>>} */
  const services = new Map();
  for (const { service, score } of tasks) {
    let scores = services.get(service);
    if (!scores) services.set(service, (scores = new Map()));
    scores.set(score, (scores.get(score) ?? 0) + 1);
  }
  return services;
}

/** Turn counts into places. @param {Map<number, number>} scores */
function placed(scores) {
  let place = 1;
  for (const score of [...scores.keys()].sort((a, b) => b - a)) {
    const count = scores.get(score) ?? 0;
    scores.set(score, place);
    place += count;
  }
}

/** Whether a patch can move anybody's rank; null: the whole state is new. @param {any} patch */
const matters = (patch) => patch === null || Object.values(patch.tasks ?? {}).some((task) => task === null || "score" in task || "service" in task);

/**
 * Give each record its rank. Returns the ids of those whose it is another than it was.
 * @param {any} state @param {any} patch
 */
export function rank(state, patch) {
  /** @type {string[]} */
  const moved = [];
  if (!matters(patch)) return moved;
  /** @type {any[]} */
  const tasks = Object.values(state.tasks ?? {});
  const places = counted(tasks);
  places.forEach(placed);
  for (const task of tasks) {
    const place = places.get(task.service)?.get(task.score);
    if (task.rank === place) continue;
    task.rank = place;
    moved.push(task.id);
  }
  return moved;
}
