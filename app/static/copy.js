// Buttons that copy: [data-copy-text] what it says, [data-copy] the text of the element of that id.
import { toast } from "./acts.js";

// A browser lets a page write to the clipboard under https and on localhost only. The buttons are hidden until
// then, by the stylesheet, so that a button that is drawn anew needs nobody to show it.
if (navigator.clipboard) document.documentElement.dataset.clipboard = "";

document.body.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const button = /** @type {HTMLElement | null} */ (target.closest("[data-copy], [data-copy-text]"));
  if (!button) return;
  const { copy, copyText } = button.dataset;
  const text = copyText ?? document.getElementById(copy ?? "")?.textContent ?? "";
  navigator.clipboard.writeText(text).then(
    () => toast("Copied.", "good"),
    () => toast("The browser does not let this page copy; select the text instead.", "bad"),
  );
});
