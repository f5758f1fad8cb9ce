// The rack chart by keyboard. As a slider over its samples (WAI-ARIA's pattern) it has a value that arrows move and
// that is read out, and its cursor and legend show the same to the eye as the pointer has them show.
import { course } from "./course.js";

const PAGE = 15; // samples, half a minute

/**
 * @param {HTMLElement} plot what has the focus
 * @param {() => any} chart the uPlot in it, once there is one
 * @param {(i: number) => string} values a sample in words
 */
export function keyboard(plot, chart, values) {
  /** The sample at which the cursor is held, by its time (course.at). @type {number | null} */
  let held = null;
  const last = () => course.at.length - 1;
  /** Where the held sample is by now: the first, where it has left the chart. */
  const place = () => (held === null ? last() : Math.max(0, course.at.findIndex((at) => at >= /** @type {number} */ (held))));

  /** Its value as it is now. */
  function slide() {
    const i = place();
    const now = { role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": last(), "aria-valuenow": i, "aria-valuetext": values(i) };
    for (const [name, value] of Object.entries(now)) plot.setAttribute(name, String(value));
  }

  /** The cursor stays at what is held, wherever that has moved to. */
  function point() {
    if (held !== null) chart()?.setCursor({ left: chart().valToPos(course.at[place()] + course.epoch, "x"), top: 0 });
  }

  function release() {
    if (held === null) return;
    held = null;
    chart()?.setCursor({ left: -10, top: -10 });
    slide();
  }

  plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !chart()) return;
    const from = place();
    /** @type {Map<string, number>} */
    const to = new Map([
      ["ArrowLeft", from - 1], ["ArrowDown", from - 1], ["ArrowRight", from + 1], ["ArrowUp", from + 1],
      ["PageDown", from - PAGE], ["PageUp", from + PAGE], ["Home", 0], ["End", last()],
    ]);
    if (event.key === "Escape") release();
    const wanted = to.get(event.key);
    if (wanted === undefined) return;
    event.preventDefault();
    held = course.at[Math.max(0, Math.min(last(), wanted))];
    point();
    slide();
  });
  plot.addEventListener("blur", release);
  plot.addEventListener("pointermove", () => { held = null; });
  return { slide, point, holds: () => held !== null };
}
