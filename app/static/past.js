// What became of the trooper in the drawer since this replica watches: its score by round, and what changed when.
const EVERY = 5000; // ms between two looks
const MOST_SCORES = 300;
const MOST_CHANGES = 40;
const [WIDTH, HEIGHT] = [100, 24]; // of the picture's own units
/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(`past-${id}`);
const [scores, said, changes] = ["scores", "said", "changes"].map(at);
/** What is told better than by its name. @type {Map<string, string>} */
const PLAIN = new Map([
  ["manager yes", "became manager"],
  ["manager no", "manages no more"],
  ["board shown", "came to the board"],
  ["board gone", "left the board"],
]);

let shown = "";
let timer = 0;
let askedAt = -EVERY;

/** Show that trooper's past from now on; "": nobody's. @param {string} taskId */
export function turnTo(taskId) {
  if (taskId !== shown) clear("…");
  shown = taskId;
  askedAt = -EVERY;
  clearTimeout(timer);
  timer = 0;
  news();
}

/** Something about it is new. */
export function news() {
  if (timer || !shown) return;
  timer = window.setTimeout(look, Math.max(0, askedAt + EVERY - performance.now()));
}

async function look() {
  const taskId = shown;
  timer = 0;
  askedAt = performance.now();
  let told = null;
  try {
    const answer = await fetch(`/api/history/${encodeURIComponent(taskId)}`, { signal: AbortSignal.timeout(8000) });
    if (answer.ok) told = Object(await answer.json());
    else if (answer.status !== 404) return;
  } catch {
    return; // the next news asks again; until then what is shown stays
  }
  if (taskId === shown) draw(told);
}

/** @param {string} sentence */
function clear(sentence) {
  scores.toggleAttribute("hidden", true); // the property is HTML's alone
  changes.hidden = true;
  said.textContent = sentence;
}

/** @param {any} told */
function draw(told) {
  const points = list(told?.scores).map(({ round, score }) => [Number(round), Number(score)]).filter((at) => at.every(Number.isFinite));
  const events = list(told?.changes);
  if (!points.length && !events.length) return clear("Nothing is known yet.");
  said.textContent = told.since ? `Since ${clock(told.since)}.` : "";
  drawScores(points.slice(-MOST_SCORES));
  changes.hidden = !events.length;
  changes.replaceChildren(...events.slice(-MOST_CHANGES).reverse().map(line));
}

/** @param {number[][]} points rounds and scores, oldest first */
function drawScores(points) {
  scores.toggleAttribute("hidden", points.length < 2);
  if (points.length < 2) return;
  const [rounds, values] = [points.map(([round]) => round), points.map(([, score]) => score)];
  const [left, low, high] = [rounds[0], Math.min(...values), Math.max(...values)];
  const [wide, tall] = [rounds[rounds.length - 1] - left || 1, high - low || 1];
  const placed = points.map(([round, score]) => `${((round - left) / wide) * WIDTH},${HEIGHT - 2 - ((score - low) / tall) * (HEIGHT - 4)}`);
  scores.firstElementChild.setAttribute("points", placed.join(" "));
  const now = values[values.length - 1];
  scores.setAttribute("aria-label", `Score over ${points.length} rounds: from ${values[0]} to ${now}, lowest ${low}, highest ${high}`);
  said.textContent = `${said.textContent} Score from ${values[0]} to ${now}, between ${low} and ${high}.`.trim();
}

/** One change, on one line: when, and what became of what. @param {any} event */
function line(event) {
  const { at: when, kind, was, now, what } = Object(event);
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.className = "quiet";
  time.textContent = clock(when);
  time.dateTime = time.title = String(when ?? "");
  item.append(time, ` ${what ?? PLAIN.get(`${kind} ${now}`) ?? `${kind} ${was ? `${was} → ` : ""}${now}`}`);
  return item;
}

/** The time of day of an ISO-8601 time. @param {unknown} when */
const clock = (when) => String(when ?? "").slice(11, 19) || "unknown";

/** @param {unknown} value @returns {any[]} */
const list = (value) => (Array.isArray(value) ? value : []);
