// Compares the squares on the screen, pixel by pixel, with what the stylesheet says of a .cell of the same facts.
async () => {
  const { swarm } = await import("/static/state.js");
  const next = () => new Promise((done) => document.addEventListener("claw:painted", done, { once: true }));
  await next();
  // An element of the real stylesheet with the trooper's facts, to be asked how it should look.
  const model = document.querySelector(".squares").appendChild(document.createElement("span"));
  model.className = "cell";
  const swatch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    swatch.fillStyle = colour;
    swatch.fillRect(0, 0, 1, 1);
    return [...swatch.getImageData(0, 0, 1, 1).data].join();
  };
  // A corner that is rounded off beside it may lend a pixel a little of its colour.
  const alike = (one, other) => one.split(",").every((part, n) => Math.abs(Number(part) - Number(other.split(",")[n])) <= 3);
  const pictures = [...document.querySelectorAll(".map canvas")].filter((canvas) => canvas.width > 0).map((canvas) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const ink = copy.getContext("2d", { willReadFrequently: true });
    ink.drawImage(canvas, 0, 0);
    return { place: canvas.getBoundingClientRect(), scale: canvas.width / canvas.clientWidth, ink };
  });
  const pixel = (x, y) => {
    const on = pictures.find(({ place }) => x >= place.left && x < place.right && y >= place.top && y < place.bottom);
    return on ? [...on.ink.getImageData((x - on.place.left) * on.scale, (y - on.place.top) * on.scale, 1, 1).data].join() : "none";
  };
  const found = { looked: 0, wrong: [] };
  const looks = new Set();
  for (const cell of document.querySelectorAll(".tile.cell:not([hidden])")) {
    const { left, top, right, bottom } = cell.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) continue;
    const task = swarm.state.tasks[cell.id.slice("task-".length)];
    for (const fact of ["state", "freshness", "arm", "is_manager", "frozen", "band"]) model.dataset[fact] = task[fact];
    const { backgroundColor, borderTopColor, borderTopWidth, borderTopStyle } = getComputedStyle(model);
    const told = {
      ground: [pixel(left + 6, bottom - 5), rgb(backgroundColor)],
      corner: [pixel(right - 4, top + 3), task.arm === "on" && borderTopStyle !== "double" ? rgb(getComputedStyle(document.body).color) : null],
      edge: [pixel((left + right) / 2, top + 0.5), borderTopStyle === "solid" && borderTopWidth === "2px" ? rgb(borderTopColor) : null],
    };
    found.looked += 1;
    looks.add(Object.values(model.dataset).join());
    for (const [part, [is, should]] of Object.entries(told)) {
      if (should !== null && !alike(is, should)) found.wrong.push(`${task.name} ${JSON.stringify(model.dataset)} ${part}: ${is}, not ${should}`);
    }
  }
  model.remove();
  return { ...found, looks: looks.size };
}
