// Shows the chosen mask, layer and head of every scene, as a heat map and as arrows.
(() => {
  "use strict";
  const choices = document.querySelector("[data-choices='map']");
  if (!choices) return;
  const CROWDED = 0.1, WRITTEN = 8, CROSSED = 12;
  const CROSS = '<b style="color:#d4602a">\u00d7</b>';  // as in maskrl/figures/visibility_map.py
  const chosen = { mask: "sight", layer: 0, head: -1, from: choices.querySelector("select").value };
  const rests = [];

  const escaped = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

  function cellText(weight, open, written, entities) {
    if (!open) return entities <= CROSSED ? CROSS : "";
    if (!written) return "";
    if (weight > 0 && weight < 0.005) return "&lt;.01";
    return weight >= 0.995 ? "1" : weight === 0 ? "0" : weight.toFixed(2).slice(1);
  }

  // Weights [E][E] and permission of one view of a scene, for the chosen layer and head.
  function chosenOf(scene, mask) {
    const view = scene.views[mask];
    const layer = Math.min(chosen.layer, view.weights.length - 1);
    const heads = view.weights[layer];
    const weights = chosen.head >= 0
      ? heads[Math.min(chosen.head, heads.length - 1)]
      : heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, head) => sum + head[i][j], 0) / heads.length));
    return { weights, open: view.open[layer] };
  }

  function drawMap(scene, id, mask, { weights, open }) {
    const names = scene.names.map(escaped);
    const written = names.length <= WRITTEN;
    const which = `layer ${chosen.layer + 1}, ${chosen.head < 0 ? "mean of heads" : `head ${chosen.head + 1}`}`;
    const cells = (make) => weights.map((row, i) => row.map((weight, j) => make(weight, open[i][j] === "1", i, j)));
    const share = (weight, ok, i, j) => {
      if (ok) return `${arrows.percent(weight)} of its attention`;
      return scene.views.sight.open[0][i][j] === "1" && mask === "sight" ? "in sight, but cut off: exactly 0" : "masked: exactly 0";
    };
    const words = (weight, ok, i, j) =>
      `<b>${names[i]} \u2192 ${names[j]}</b><br>${share(weight, ok, i, j)}<br>${which}`;
    Plotly.restyle(id, {
      z: [cells((weight, ok) => (ok ? weight : null))],
      text: [cells((weight, ok) => cellText(weight, ok, written, names.length))],
      hovertext: [cells(words)],
    }, [0]);
  }

  const observers = (scene) => scene.names.flatMap((name, k) => (chosen.from === "" || name === chosen.from ? [k] : []));

  function drawArrows(scene, stage, { weights, open }) {
    const from = observers(scene);
    arrows.draw(stage.querySelector("svg"), {
      ...scene,
      weight: (i, j) => weights[i][j],
      open: (i, j) => open[i][j] === "1",
      from,
      atLeast: from.length > 1 ? CROWDED : 0,
    });
  }

  function draw() {
    for (const scene of page.attention) {
      const masks = { none: "none", chosen: scene.views[chosen.mask] ? chosen.mask : "none" };
      for (const [view, mask] of Object.entries(masks)) {
        const id = `map-${scene.id}-${view === "none" ? "without" : "with"}`;
        const stage = document.querySelector(`.arrows[data-scene="${CSS.escape(scene.id)}"][data-view="${view}"]`);
        if (!stage) continue;
        const matrix = chosenOf(scene, mask);
        drawMap(scene, id, mask, matrix);
        drawArrows(scene, stage, matrix);
      }
    }
    // Without a picture: who is where, and whom the chosen one does not see.
    for (const stage of document.querySelectorAll(".arrows[data-view='sees']")) {
      const scene = page.attention.find(({ id }) => id === stage.dataset.scene);
      const svg = stage.querySelector("svg");
      arrows.draw(svg, { ...scene, weight: () => 0, open: (i, j) => scene.views.sight.open[0][i][j] === "1", from: observers(scene), atLeast: 0 });
      svg.setAttribute("aria-label", "The entities of the scene");
    }
    for (const rest of rests) rest();
  }

  for (const stage of document.querySelectorAll(".arrows")) {
    const copy = stage.querySelector("[data-copy]");
    if (copy) copy.src = stage.closest(".scene").querySelector("img[src]").src;
    const scene = page.attention.find(({ id }) => id === stage.dataset.scene);
    const line = stage.parentElement.querySelector("[data-part='readout']");
    if (!line) continue;
    rests.push(arrows.read(stage.querySelector("svg"), line, (entity) => {
      chosen.from = scene.names[entity];
      choices.querySelector("select").value = chosen.from;
      draw();
    }));
  }

  choices.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { name, value } = button.dataset;
    for (const other of choices.querySelectorAll("button")) {
      if (other.dataset.name === name) other.setAttribute("aria-pressed", String(other === button));
    }
    chosen[name] = name === "mask" ? value : Number(value);
    draw();
  });
  choices.querySelector("select").addEventListener("change", (event) => { chosen.from = event.target.value; draw(); });
  draw();
})();
