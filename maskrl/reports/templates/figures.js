// Draws the figures of the page and redraws them when the colour scheme changes.
(() => {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const template = () => page.templates[dark.matches ? "dark" : "light"];
  const settings = { responsive: true, displayModeBar: false, showTips: false, doubleClick: false, scrollZoom: false };

  for (const [id, figure] of Object.entries(page.figures)) {
    Plotly.newPlot(id, figure.data, { ...figure.layout, template: template() }, settings);
  }

  dark.addEventListener("change", () => {
    for (const id of Object.keys(page.figures)) Plotly.relayout(id, { template: template() });
  });

  // Choices of mask, layer and head: each heat map shows the one trace that fits them.
  const choices = document.querySelector("[data-choices='map']");
  choices?.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const other of choices.querySelectorAll("button")) {
      if (other.dataset.name === button.dataset.name) other.setAttribute("aria-pressed", String(other === button));
    }
    const chosen = {};
    for (const pressed of choices.querySelectorAll("[aria-pressed='true']")) chosen[pressed.dataset.name] = pressed.dataset.value;
    for (const id of page.maps) {
      const visible = page.figures[id].data.map(({ meta }) =>
        (meta.mask === "none" || meta.mask === chosen.mask) && String(meta.layer) === chosen.layer && String(meta.head) === chosen.head);
      Plotly.restyle(id, { visible });
    }
  });
})();
