// The swarm as the stream tells it, and the only place where that is kept.
//
// It is the server's, kept by JSON Merge Patch (RFC 7396; app/fanout.py makes the patches). Its objects have
// no prototype: the swarm's names are keys here, "__proto__" not excepted.

/**
 * What the stream last told; null until it has told anything. `missed` counts the news since the page was
 * paused.
 * @type {{state: any, paused: boolean, missed: number}}
 */
export const swarm = { state: null, paused: false, missed: 0 };

/**
 * The target with the patch merged in.
 * @param {any} target
 * @param {object} patch
 */
export function merge(target, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete target[key];
    else if (typeof value === "object" && !Array.isArray(value)) {
      if (typeof target[key] !== "object") target[key] = Object.create(null);
      merge(target[key], value);
    } else target[key] = value;
  }
  return target;
}

/**
 * What stands at a path such as "tasks/<id>"; all of the state at "".
 * @param {string} path
 */
export function record(path) {
  return path.split("/").reduce((at, key) => (key && at ? at[key] : at), swarm.state);
}
