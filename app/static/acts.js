// What people did, told back to them: htmx sends the forms, this says how it went.
"use strict";
(() => {
  const toasts = document.getElementById("toasts");
  const IN_DOUBT = "No answer. It may or may not have happened: look before you try again.";

  function toast(text, kind) {
    const note = document.createElement("p");
    note.className = kind;
    note.textContent = text;
    toasts.append(note);
    while (toasts.children.length > 3) toasts.firstElementChild.remove();
    setTimeout(() => note.remove(), kind === "bad" ? 8000 : 3000);
  }

  // The contract's errors are {"error": "<one clear sentence>"}; a proxy's may be anything.
  function sentence(request) {
    try {
      return JSON.parse(request.responseText).error || `The answer was ${request.status}.`;
    } catch {
      return `The answer was ${request.status} ${request.statusText}.`;
    }
  }

  function on(name, tell) {
    document.body.addEventListener(name, (event) => {
      if (event.target.matches("form")) tell(event);
    });
  }

  on("htmx:responseError", (event) => toast(sentence(event.detail.xhr), "bad"));
  on("htmx:sendError", () => toast(IN_DOUBT, "bad"));
  on("htmx:timeout", () => toast(IN_DOUBT, "bad"));
  on("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    const { reset, said, reload } = event.target.dataset;
    if (reset !== undefined) event.target.reset();
    if (said) toast(said, "good");
    if (reload !== undefined) location.reload();
  });
})();
