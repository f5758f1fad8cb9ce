// What a page's frames take, measured in the page; bench/frames.py puts it in before anything else runs.
//
// A sample is the time from the moment at which the browser hands a delta to the page's scripts to the moment at
// which the frame that shows it is done: all of the patching, and the style, layout and paint of that frame,
// with the wait for it (at 60 frames a second, 8 ms on average). The clock starts in a listener that is there
// before the page's own, and stops in the first task after the frame's rendering: what a requestAnimationFrame
// callback posts runs when style, layout and paint are done (HTML standard, "update the rendering").
// `work` is the same without the wait: the handling of the event, and from the frame's begin to its end.
// Of a visit it notes when all tiles were painted first: the frame after the last of the page was parsed, before the
// deferred scripts run (HTML standard, "the end": the document is "interactive" by then); and the first frame after
// these have run, from which on the page does what one tells it.
(() => {
  const samples = [];
  let tilesPaint = 0;
  let scriptsPaint = 0;
  const afterPaint = (then) => requestAnimationFrame(() => {
    const began = performance.now();
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now(), began);
    channel.port2.postMessage(0);
  });
  window.EventSource = class extends EventSource {
    constructor(...given) {
      super(...given);
      let heard = 0;
      let handled = 0;
      this.addEventListener("delta", () => {
        heard = performance.now();
        const since = heard;
        afterPaint((painted, began) => samples.push({ ms: painted - since, work: handled - since + painted - began }));
      });
      // Behind the listeners that the page adds as soon as it has the stream.
      queueMicrotask(() => this.addEventListener("delta", () => { handled = performance.now(); }));
    }
  };
  document.addEventListener("readystatechange", () => {
    if (document.readyState === "interactive") afterPaint((painted) => { tilesPaint = painted; });
  });
  document.addEventListener("DOMContentLoaded", () => afterPaint((painted) => { scriptsPaint = painted; }));
  window.clawBench = {
    take: () => samples.splice(0),
    paint: () => {
      const [navigation] = performance.getEntriesByType("navigation");
      const contentful = performance.getEntriesByName("first-contentful-paint")[0];
      return { tiles: tilesPaint, scripts: scriptsPaint, contentful: contentful?.startTime ?? 0, server: navigation.responseStart - navigation.requestStart };
    },
  };
})();
