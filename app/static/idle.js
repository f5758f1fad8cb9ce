// What waits until the browser has nothing else to do, and for no longer than its owner says.
const SHORTEST = 1; // ms that must be left of an idle time for one more

/**
 * A function that has the queue worked off soon, each in its order, as many at once as there is time for.
 * @param {Set<string> | Map<string, unknown>} queue
 * @param {(key: string) => void} each takes its key out of the queue
 * @param {number} latest ms after which all that waits is done whether there is time or not
 */
export function inIdleTime(queue, each, latest) {
  let waits = false;
  /** @param {IdleDeadline} time */
  const work = (time) => {
    waits = false;
    for (const key of queue.keys()) {
      if (!time.didTimeout && time.timeRemaining() < SHORTEST) break;
      each(key);
    }
    soon();
  };
  const soon = () => {
    if (waits || !queue.size) return;
    waits = true;
    requestIdleCallback(work, { timeout: latest });
  };
  return soon;
}
