// Fetches this page again every two seconds and takes the board out of it: the server alone draws.
"use strict";
(() => {
  const EVERY = 2000;
  const live = document.getElementById("live");
  let heardAt = performance.now();

  function tell(phase, text) {
    live.dataset.phase = phase;
    if (live.textContent !== text) live.textContent = text;
  }

  async function look() {
    try {
      const answer = await fetch("/", { signal: AbortSignal.timeout(4000) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const board = page.getElementById("board");
      if (!board) throw new Error("not the scoreboard");
      if (board.innerHTML !== document.getElementById("board").innerHTML) {
        document.getElementById("board").replaceChildren(...board.childNodes);
      }
      heardAt = performance.now();
      tell("live", "live");
    } catch {
      tell("stale", `stale ${Math.round((performance.now() - heardAt) / 1000)} s`);
    }
    setTimeout(look, EVERY);
  }

  look();
})();
