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
})();
