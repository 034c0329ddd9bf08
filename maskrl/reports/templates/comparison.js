// Tables that sort by a click on a column.
(() => {
  "use strict";
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, k) => {
      const text = row.cells[k].dataset.value;
      return text === "" ? null : text === "inf" ? Infinity : Number(text);
    };
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("[data-sort]");
      if (!button) return;
      const k = Number(button.dataset.sort);
      const up = heads[k].getAttribute("aria-sort") === "descending" || (k === 0 && heads[k].getAttribute("aria-sort") === "none");
      for (const head of heads) head.setAttribute("aria-sort", "none");
      heads[k].setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row, place) => ({ row, place, value: key(row, k) }));
      // What has no value stays at the end whichever way is sorted.
      rows.sort((a, b) => {
        if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
        if (a.value === b.value) return a.place - b.place;
        return (up ? 1 : -1) * (a.value < b.value ? -1 : 1);
      });
      body.append(...rows.map(({ row }) => row));
    });
  }
})();
