// One sentence to whoever listens to the page instead of looking at it.
import { at } from "./page.js";

const told = at("view-told", HTMLElement);

/** Say it, politely. @param {string} sentence */
export function announce(sentence) {
  told.textContent = sentence;
}
