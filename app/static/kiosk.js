// The board on a wall: `?kiosk=1`, or the button. No controls, larger type (css/view.css), and a way out.
import { at } from "./page.js";

const root = document.documentElement;
const out = at("kiosk-out", HTMLAnchorElement);
let full = false; // whether the browser gave the whole screen

/** Whether the page is one now. */
export const inKiosk = () => root.hasAttribute("data-kiosk");

/** Become a kiosk, or be none any more. @param {boolean} on */
export function kiosk(on) {
  if (on === inKiosk()) return;
  const lost = document.activeElement; // the button that was pressed goes with the bar, and the link without it
  root.toggleAttribute("data-kiosk", on);
  if (!on) full = false; // the end of the full screen is told later, and may find a kiosk again
  if (on && lost?.closest(".view")) out.focus();
  if (!on && lost === out) at("kiosk", HTMLElement).focus();
  if (!on && document.fullscreenElement) document.exitFullscreen().catch(() => undefined);
}

function leave() {
  if (!inKiosk()) return;
  kiosk(false);
  document.dispatchEvent(new Event("claw:kiosk-left"));
}

out.addEventListener("click", (event) => {
  event.preventDefault();
  leave();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) leave();
});
// In full screen the browser keeps Escape to itself.
document.addEventListener("fullscreenchange", () => {
  if (full && !document.fullscreenElement) leave();
  full = document.fullscreenElement !== null;
});
