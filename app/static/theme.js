// Dark, light, or as the system has it. A classic script in the head, so that it is settled before anything is
// painted. The choice is kept by the browser; every open page follows it.
(() => {
  const KEY = "claw-theme";
  const THEMES = ["light", "dark"];
  const root = document.documentElement;

  /** A browser may keep nothing; then a choice holds for as long as the page. @returns {string} */
  function kept() {
    try {
      return localStorage.getItem(KEY) ?? "";
    } catch {
      return "";
    }
  }

  /** @param {string} theme */
  function keep(theme) {
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // Nothing is kept then.
    }
  }

  /** @param {string} theme what is none means the system's */
  function wear(theme) {
    if (THEMES.includes(theme)) root.dataset.theme = theme;
    else delete root.dataset.theme;
    const select = /** @type {HTMLSelectElement | null} */ (document.getElementById("theme"));
    if (select) select.value = root.dataset.theme ?? "";
  }

  wear(kept());
  document.addEventListener("DOMContentLoaded", () => {
    for (const label of document.querySelectorAll(".theme")) label.removeAttribute("hidden");
    wear(root.dataset.theme ?? "");
  });
  document.addEventListener("change", (event) => {
    const select = /** @type {HTMLSelectElement} */ (event.target);
    if (select.id !== "theme") return;
    keep(select.value);
    wear(select.value);
  });
  window.addEventListener("storage", (event) => { if (event.key === KEY || event.key === null) wear(kept()); });
})();
