// Figures that can be saved as PNG or SVG; small ones of a row of many are left as they are.
(() => {
  "use strict";
  // On paper figures are light, whatever the page is, with a background of their own.
  function save(id, format) {
    const place = document.getElementById(id);
    const figure = page.figures[id];
    const layout = { ...figure.layout, template: page.templates.light, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", autosize: false, width: 900, height: place.offsetHeight };
    return Plotly.downloadImage({ data: figure.data, layout }, { format, filename: id, width: 900, height: place.offsetHeight, scale: format === "png" ? 2 : 1 });
  }

  for (const plot of document.querySelectorAll("figure.plot")) {
    if (plot.closest(".grid.many")) continue;
    const id = plot.querySelector(".canvas").id;
    const row = document.createElement("div");
    row.className = "save";
    for (const format of ["png", "svg"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.save = format;
      button.textContent = format.toUpperCase();
      button.title = `Save this figure as ${format.toUpperCase()}`;
      button.addEventListener("click", () => save(id, format));
      row.append(button);
    }
    plot.append(row);
  }
})();
