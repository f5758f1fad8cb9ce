// The parts of the page that the modules of the bar share.

/** The element of that id, which the templates always have. @param {string} id @returns {HTMLElement} */
export function part(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Say one sentence to whoever listens to the page instead of looking at it. @param {string} sentence */
export function announce(sentence) {
  part("view-told").textContent = sentence;
}
