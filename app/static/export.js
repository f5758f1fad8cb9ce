// The board as it is seen, in a file: those troopers whom the filter shows, in the order in which they stand.
import { announce } from "./announce.js";
import { at, taskIdOf } from "./page.js";
import { tasks } from "./pausing.js";
import { swarm } from "./patcher.js";

/** The columns of a table; the rest of a record is in the JSON. */
export const COLUMNS = [
  "name", "id", "service", "slot", "node", "state", "desired_state", "freshness", "is_manager", "epoch", "arm", "score",
  "change", "rank", "round", "move", "lead_move", "outcome", "three_words", "words_source", "agent", "thinking",
  "frozen", "defected", "from_rack", "started_at",
];
const KEPT = 30_000; // ms for which the browser may still read what it is saving

/**
 * One field of RFC 4180. Text that a spreadsheet would take for a formula begins with an apostrophe
 * (OWASP, "CSV Injection"); numbers are numbers and stay. @param {unknown} value
 */
export function field(value) {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  let text = String(value ?? "");
  if (/^[\s\u0000]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {any} task @param {string} column */
const cell = (task, column) => (column === "change" && task.change ? Number(task.change.replace("\u2212", "-").replace("±", "")) : task[column]);

/** A table with a heading, each line ended by CRLF. @param {any[]} troopers */
export const csv = (troopers) => [COLUMNS.join(), ...troopers.map((task) => COLUMNS.map((column) => field(cell(task, column))).join())].map((line) => `${line}\r\n`).join("");

/** Whom the page shows, in its order. @returns {any[]} */
function seen() {
  const known = tasks();
  const tiles = [...document.querySelectorAll("#squads .tile:not([hidden])")];
  return tiles.map((tile) => known[taskIdOf(tile)]).filter(Boolean);
}

/** @param {any[]} troopers @param {string} when */
function json(troopers, when) {
  const view = Object.fromEntries(new FormData(at("view", HTMLFormElement)));
  const rack = swarm.state?.rack ?? "";
  return `${JSON.stringify({ rack, at: when, paused: swarm.paused, view, shown: troopers.length, of: Object.keys(tasks()).length, troopers }, null, 1)}\n`;
}

/** @param {string} text @param {string} type @param {string} name */
function save(text, type, name) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT);
}

/** @param {"json" | "csv"} kind */
function take(kind) {
  const troopers = seen();
  const when = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const rack = (document.querySelector(".title .chip")?.textContent ?? "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
  const filtered = at("q", HTMLInputElement).value.trim() ? "-filtered" : "";
  const name = `troopers-${rack || "rack"}${filtered}-${when.replaceAll(/[-:]/g, "")}.${kind}`;
  save(kind === "json" ? json(troopers, when) : csv(troopers), kind === "json" ? "application/json" : "text/csv;charset=utf-8", name);
  announce(`${troopers.length} troopers saved in ${name}.`);
}

at("export-json", HTMLElement).addEventListener("click", () => take("json"));
at("export-csv", HTMLElement).addEventListener("click", () => take("csv"));
