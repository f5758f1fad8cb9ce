// The theme as drawings on a canvas need it: the stylesheet's colours, and a word when they have changed.

/** The colours that the stylesheet gives to elements, now. @param {Record<string, Element>} elements */
export function colours(elements) {
  return Object.fromEntries(Object.entries(elements).map(([name, element]) => [name, getComputedStyle(element).color]));
}

/** Call `dye` now, and whenever the page's or the system's theme is another. @param {() => void} dye */
export function follow(dye) {
  new MutationObserver(dye).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", dye);
  dye();
}
