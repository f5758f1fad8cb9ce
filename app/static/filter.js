// The words in which somebody asks for troopers: otter score>5 state:running,failed -service:b manager "two words".
// Terms stand side by side and all hold; `-` or `!` before one turns it round. Pure: text in, a test and what was
// not understood out, in sentences. A term that is not understood filters nothing, and nothing here ever throws.

/** @typedef {Record<string, any>} Trooper what the stream tells of a task */
/** @typedef {(trooper: Trooper) => boolean} Test */
/** @typedef {{fields: string[], kind: "has" | "begins" | "number", known?: string[]}} Key */
/**
 * `matches` says whether a trooper is asked for; `empty`: nothing was asked; `relative`: the answer may be
 * another one when only others changed (a rank); `problems`: what was not
 * understood; `hint`: what may have been meant, worth telling where nobody matches.
 * @typedef {{matches: Test, empty: boolean, relative: boolean, problems: string[], hint: string}} Filter
 */

/** A task's life as Swarm tells it (clawbucket/core/model.py). */
export const LIFECYCLE = [
  "new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running",
  "complete", "shutdown", "failed", "rejected", "orphaned", "remove",
];
const FRESHNESS = ["alive", "suspect", "missing"];
const MOVES = ["rock", "paper", "scissors"];
const MOST_PROBLEMS = 3;
const MOST_SHOWN = 40; // characters of what was typed that a sentence repeats

/** @param {string[]} fields @returns {Key} somewhere in the text */
const has = (...fields) => ({ fields, kind: "has" });
/** @param {string} field @param {string[]} [known] @returns {Key} at the beginning of a word of it */
const begins = (field, known) => ({ fields: [field], kind: "begins", known });
/** @param {string} field @returns {Key} a number */
const number = (field) => ({ fields: [field], kind: "number" });

/** What can stand before a `:`, and which field of the record it asks about. @type {Map<string, Key>} */
export const KEYS = new Map(Object.entries({
  name: has("name"),
  words: has("three_words"),
  task: has("id"),
  from: has("from_rack"),
  node: { fields: ["node", "node_id"], kind: "begins" },
  service: { fields: ["alias", "service"], kind: "begins" },
  state: begins("state", LIFECYCLE),
  desired: begins("desired_state", LIFECYCLE),
  freshness: begins("freshness", FRESHNESS),
  arm: begins("arm", ["on", "off"]),
  move: begins("move", MOVES),
  against: begins("lead_move", MOVES),
  outcome: begins("outcome", ["win", "loss", "draw"]),
  agent: begins("agent", ["off", "unknown", "ok", "unreachable", "model_missing", "misconfigured", "failing"]),
  source: begins("words_source"),
  score: number("score"),
  change: number("change"),
  rank: number("rank"),
  slot: number("slot"),
  round: number("round"),
  epoch: number("epoch"),
}));
/** Other names of some. */
const ALIASES = new Map(Object.entries({ alias: "service", id: "task", callsign: "name", heartbeat: "freshness", lead: "against" }));

/** What can stand alone. @type {Map<string, Test>} */
export const FLAGS = new Map(Object.entries({
  manager: (t) => t.is_manager === true,
  unconfirmed: (t) => t.is_manager === true && t.manager_confirmed !== true,
  armed: (t) => t.arm === "on",
  frozen: (t) => t.frozen === true,
  defected: (t) => t.defected === true,
  thinking: (t) => t.thinking === true,
}));

/** @type {Record<string, (a: number, b: number) => boolean>} */
const COMPARE = {
  ":": (a, b) => a === b, "=": (a, b) => a === b,
  ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b,
};

/** @param {unknown} value */
const plain = (value) => String(value ?? "").toLowerCase();
/** A number as a person or a tile writes it ("−2", "±0"); NaN where it is none. @param {unknown} value */
const numeric = (value) => {
  const text = String(value ?? "").replace("\u2212", "-").replace(/^[±+]/, "");
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
};
/** @param {string} text */
const quoted = (text) => `“${text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text}”`;

/** Whether a word of `text` begins with `part`; "b" begins one of "clawbucket-b". @param {string} text @param {string} part */
function beginsWord(text, part) {
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    if (at === 0 || /[\s_.:-]/.test(text[at - 1])) return true;
  }
  return false;
}

/** Letters to change to make one word of the other (Levenshtein). @param {string} a @param {string} b */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

/** The one of `known` that was probably meant. @param {string} word @param {Iterable<string>} known */
function nearest(word, known) {
  let best = "";
  let least = word.length < 4 ? 1.5 : 2.5;
  for (const each of known) {
    const far = word.length > 1 && each.startsWith(word) ? 0.5 : distance(word.slice(0, 20), each);
    if (far < least) [best, least] = [each, far];
  }
  return best;
}

/** What somebody meant by a word that is none, as the end of a sentence. @param {string} word @param {string[]} known */
function meant(word, known) {
  const near = nearest(word, known);
  return near ? `did you mean ${quoted(near)}?` : `there is ${known.join(", ")}.`;
}

/** The test of one `key op value`, or a sentence. @param {string} name @param {string} op @param {string[]} values @returns {Test | string} */
function keyed(name, op, values) {
  const key = KEYS.get(ALIASES.get(name) ?? name);
  if (!key) {
    if (FLAGS.has(name)) return `${quoted(name)} stands alone: ${name}, or -${name}.`;
    const near = nearest(name, [...KEYS.keys(), ...FLAGS.keys()]);
    return `Nothing here is called ${quoted(name)}; ${near ? `did you mean ${quoted(near)}?` : "“How to filter” tells what is."}`;
  }
  const { fields, kind, known } = key;
  if (values.some((value) => value === "")) return `${quoted(name + op)} is not finished; say what it is to be.`;
  if (values[0] === "*") return (t) => fields.some((field) => plain(t[field]) !== "");
  if (kind === "number") {
    const wanted = values.map(numeric);
    const wrong = wanted.findIndex(Number.isNaN);
    if (wrong >= 0) return `${quoted(name)} takes a number, as in ${name}>5; ${quoted(values[wrong])} is none.`;
    return (t) => fields.some((field) => wanted.some((each) => COMPARE[op](numeric(t[field]), each)));
  }
  if (op !== ":" && op !== "=") return `${quoted(name)} is no number; write ${name}:${values[0]}.`;
  const strange = known && values.find((value) => !known.some((each) => (op === "=" ? each === value : each.startsWith(value))));
  if (known && strange) return `${quoted(name)} is never ${quoted(strange)}; ${meant(strange, known)}`;
  /** @type {(text: string, value: string) => boolean} */
  const fits = op === "=" ? (text, value) => text === value : kind === "begins" ? beginsWord : (text, value) => text.includes(value);
  return (t) => fields.some((field) => values.some((value) => fits(plain(t[field]), value)));
}

/** A word alone: of a callsign, of what is said, of a task's id, or of a node. @param {string} word @returns {Test} */
const free = (word) => (t) => plain(t.name).includes(word) || plain(t.three_words).includes(word) || plain(t.id).includes(word) || plain(t.node).includes(word);

/** The test of one term, or a sentence. @param {string} term @returns {{test: Test | string, word: string}} */
function termOf(term) {
  const found = /^([\p{L}_]+)(!=|>=|<=|[:=<>])(.*)$/su.exec(term);
  if (found) {
    const [, name, op, given] = found;
    const value = given.replaceAll('"', "");
    const values = given.startsWith('"') ? [value] : value.split(",").filter((each, n) => each || n === 0);
    const test = keyed(name, op === "!=" ? "=" : op, values);
    return { test: op === "!=" && typeof test === "function" ? (t) => !test(t) : test, word: "" };
  }
  const word = term.replaceAll('"', "");
  if (!word) return { test: `${quoted(term || "-")} asks for nothing; a word or a key is missing.`, word };
  return { test: (!term.includes('"') && FLAGS.get(word)) || free(word), word };
}

/** What a text asks for. @param {string} text @returns {Filter} */
export function compile(text) {
  /** @type {Test[]} */
  const tests = [];
  /** @type {string[]} */
  const problems = [];
  let hint = "";
  const typed = text.replaceAll("≥", ">=").replaceAll("≤", "<=").replaceAll("≠", "!=").toLowerCase();
  for (const raw of typed.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []) {
    const negated = raw[0] === "-" || raw[0] === "!";
    const { test, word } = termOf(negated ? raw.slice(1) : raw);
    if (typeof test === "string") {
      if (problems.length < MOST_PROBLEMS) problems.push(test);
      continue;
    }
    tests.push(negated ? (t) => !test(t) : test);
    if (LIFECYCLE.includes(word)) hint = `state:${word}`;
    if (FRESHNESS.includes(word)) hint = `freshness:${word}`;
  }
  return { matches: (trooper) => tests.every((test) => test(trooper)), empty: tests.length === 0, relative: /\brank\b/.test(typed), problems, hint: hint && `Did you mean ${hint}?` };
}
