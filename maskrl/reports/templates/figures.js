// Draws the figures of the page and redraws them when the colour scheme changes.
(() => {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const template = () => page.templates[dark.matches ? "dark" : "light"];
  const settings = { responsive: true, displayModeBar: false, showTips: false, doubleClick: false, scrollZoom: false };

  for (const [id, figure] of Object.entries(page.figures)) {
    Plotly.newPlot(id, figure.data, { ...figure.layout, template: template() }, settings);
  }

  // Paper is narrower than a screen, and figures do not follow it by themselves.
  const paper = 880;
  const resize = (share) => {
    for (const id of Object.keys(page.figures)) {
      const { clientWidth } = document.getElementById(id);
      Plotly.relayout(id, share === null ? { autosize: true, width: null } : { autosize: false, width: Math.floor(share * clientWidth) });
    }
  };
  window.addEventListener("beforeprint", () => {
    const { clientWidth } = document.getElementById("main");
    if (clientWidth > paper) resize(paper / clientWidth);
  });
  window.addEventListener("afterprint", () => resize(null));

  dark.addEventListener("change", () => {
    for (const id of Object.keys(page.figures)) Plotly.relayout(id, { template: template() });
  });
})();
