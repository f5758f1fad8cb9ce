// What somebody chose is kept in the page's address, so that a link and a reload show the same.

/** Put one choice into the address; null takes it out. @param {string} name @param {string | null} value */
export function keep(name, value) {
  const there = new URL(location.href);
  if (value === null) there.searchParams.delete(name);
  else there.searchParams.set(name, value);
  // Commas are allowed in a query, and read better.
  history.replaceState(history.state, "", there.href.replaceAll("%2C", ","));
}

/** What the address says of it, or null. @param {string} name @returns {string | null} */
export function kept(name) {
  return new URLSearchParams(location.search).get(name);
}
