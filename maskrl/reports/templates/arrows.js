// Draws attention as arrows: the outlines of maskrl/figures/arrow_shapes.py, made anew in the
// browser, so that a page holds numbers instead of drawings. Sizes are in thousandths of the width.
const arrows = (() => {
  "use strict";
  const SVG = Object.assign(document.createElement("div"), { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;
  const BEND = 0.1, SAMPLES = 12, LARGEST = 0.15, SMALLEST = 0.045, SCALE = 1000;

  const percent = (weight) =>
    weight === 0 ? "exactly 0" : weight < 0.001 ? "less than 0.1 %" : `${(100 * weight).toFixed(1)} %`;

  function unitLength(places) {
    let nearest = LARGEST;
    for (let i = 0; i < places.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const apart = Math.hypot(places[i][0] - places[j][0], places[i][1] - places[j][1]);
        if (apart > 1e-9) nearest = Math.min(nearest, apart);
      }
    }
    return Math.max(nearest, SMALLEST);
  }

  // Entities that share a place stand around it.
  function spread(places, unit) {
    const sharing = new Map();
    places.forEach((place, k) => {
      const key = place.join();
      sharing.set(key, [...(sharing.get(key) ?? []), k]);
    });
    const moved = places.map((place) => [...place]);
    for (const here of sharing.values()) {
      if (here.length < 2) continue;
      here.forEach((k, n) => {
        const angle = (2 * Math.PI * n) / here.length - 0.75 * Math.PI;
        moved[k] = [places[k][0] + 0.22 * unit * Math.cos(angle), places[k][1] + 0.22 * unit * Math.sin(angle)];
      });
    }
    return moved;
  }

  // The outline of an arrow, and the curve along its middle.
  function arrowOutline([x0, y0], [x1, y1], weight, unit) {
    const length = Math.hypot(x1 - x0, y1 - y0);
    const along = [(x1 - x0) / length, (y1 - y0) / length];
    const margin = Math.min(0.36 * unit, 0.24 * length);
    const head = Math.min(unit * (0.16 + 0.16 * weight), 0.5 * (length - 2 * margin));
    const shaft = unit * (0.03 + 0.28 * weight);
    const barb = shaft + unit * 0.11;
    const cx = (x0 + x1) / 2 + 2 * BEND * length * along[1];
    const cy = (y0 + y1) / 2 - 2 * BEND * length * along[0];
    const first = margin / length, last = 1 - (margin + head) / length;
    const left = [], right = [], middle = [];
    let way = along;
    for (let k = 0; k <= SAMPLES; k += 1) {
      const t = first + ((last - first) * k) / SAMPLES, s = 1 - t;
      const x = s * s * x0 + 2 * t * s * cx + t * t * x1;
      const y = s * s * y0 + 2 * t * s * cy + t * t * y1;
      const dx = 2 * s * (cx - x0) + 2 * t * (x1 - cx), dy = 2 * s * (cy - y0) + 2 * t * (y1 - cy);
      const norm = Math.hypot(dx, dy);
      way = [dx / norm, dy / norm];
      middle.push([x, y]);
      left.push([x + (shaft / 2) * way[1], y - (shaft / 2) * way[0]]);
      right.push([x - (shaft / 2) * way[1], y + (shaft / 2) * way[0]]);
    }
    const [ex, ey] = middle[SAMPLES];
    const tip = [x1 - margin * way[0], y1 - margin * way[1]];
    const reach = Math.hypot(tip[0] - ex, tip[1] - ey);
    const across = [(barb * (tip[1] - ey)) / reach, (-barb * (tip[0] - ex)) / reach];
    const outline = [
      ...left, [ex + across[0], ey + across[1]], tip, [ex - across[0], ey - across[1]], ...right.reverse(), left[0],
    ];
    return { outline, middle: [...middle, tip] };
  }

  function ringOutline([x, y], weight, unit) {
    const radius = 0.43 * unit, width = unit * (0.03 + 0.18 * weight);
    const circle = (r) => Array.from({ length: 3 * SAMPLES + 1 }, (_, k) => {
      const angle = -0.4 * Math.PI + (1.8 * Math.PI * k) / (3 * SAMPLES);
      return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
    });
    const outer = circle(radius + width / 2), inner = circle(radius - width / 2).reverse();
    return { outline: [...outer, ...inner, outer[0]], middle: circle(radius) };
  }

  const path = (points) => `M${points.map(([x, y]) => `${(SCALE * x).toFixed(1)} ${(SCALE * y).toFixed(1)}`).join("L")}`;

  function element(tag, attributes, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Fills an svg with the arrows of some observers.
  //   places [E][2] in widths of the drawing, ratio its height, names [E]
  //   weight(i, j) and open(i, j): a number or null where it is not known, whether it is permitted
  //   from: indices of those whose arrows are drawn; atLeast: no fainter ones
  //   pictured: whether a picture beneath shows the entities
  function draw(svg, { places, ratio, names, weight, open, from, atLeast, pictured }) {
    const unit = unitLength(places), where = spread(places, unit);
    svg.setAttribute("viewBox", `0 0 ${SCALE} ${(SCALE * ratio).toFixed(1)}`);
    svg.style.setProperty("--casing", (SCALE * 0.02 * unit).toFixed(2));
    const drawn = [];
    for (const i of from) {
      for (let j = 0; j < names.length; j += 1) {
        const w = weight(i, j);
        if (w !== null && open(i, j) && w > 0 && w >= atLeast) drawn.push([i, j, w]);
      }
    }
    drawn.sort((a, b) => a[2] - b[2]);
    const nodes = where.map(([x, y], k) => {
      const unseen = from.length === 1 && !open(from[0], k);
      const node = element("g", { class: unseen ? "entity unseen" : "entity", "data-entity": k });
      const at = { cx: (SCALE * x).toFixed(1), cy: (SCALE * y).toFixed(1) };
      node.append(element("circle", { class: "target", ...at, r: (SCALE * 0.36 * unit).toFixed(1) }));
      if (!pictured) {
        node.append(element("circle", { class: "dot", ...at, r: 14 }));
        const away = SCALE * 0.52 * unit;
        const text = element("text", { x: at.cx, y: (SCALE * y + (y > ratio / 2 - 0.05 ? away + 36 : -away - 14)).toFixed(1) });
        text.textContent = names[k];
        node.append(text);
      }
      return node;
    });
    const shapes = drawn.map(([i, j, w]) => {
      const { outline, middle } = i === j ? ringOutline(where[i], w, unit) : arrowOutline(where[i], where[j], w, unit);
      const group = element("g", { class: "arrow", "data-from": i, "data-to": j, "data-weight": w });
      const title = element("title", {});
      title.textContent = sentence(names, i, j, w);
      group.append(
        title,
        element("path", { class: "reach", d: path(middle) }),
        element("path", { class: "shape", d: `${path(outline)}Z`, "fill-opacity": (0.5 + 0.45 * Math.min(1, 2 * w)).toFixed(2) }),
      );
      return group;
    });
    svg.replaceChildren(...nodes, ...shapes);
    svg.setAttribute("aria-label", summary(names, from, weight, open, atLeast));
  }

  const sentence = (names, i, j, w) => `${names[i]} \u2192 ${i === j ? "itself" : names[j]}: ${percent(w)}`;

  // The largest weights of one observer in words, and who is hidden from it.
  function summary(names, from, weight, open, atLeast) {
    if (!from.length) return "Not in this scene.";
    if (from.length > 1) return atLeast > 0 ? `Everybody's arrows of ${Math.round(100 * atLeast)} % and more.` : "Everybody's arrows.";
    const [i] = from;
    const others = names.map((_, j) => j);
    if (others.every((j) => weight(i, j) === null)) return `What ${names[i]} attends to is not computed in this layer.`;
    const name = (j) => (j === i ? "itself" : names[j]);
    const first = others.filter((j) => open(i, j) && weight(i, j) > 0).sort((a, b) => weight(i, b) - weight(i, a)).slice(0, 3);
    const closed = others.filter((j) => !open(i, j));
    const hidden = closed.length > 3 ? `${closed.length} others` : closed.map(name).join(", ");
    return `${names[i]} \u2192 ${first.map((j) => `${name(j)} ${percent(weight(i, j))}`).join(", ")}${hidden ? `; exactly 0 to ${hidden}` : ""}.`;
  }

  // Shows in a line what is pointed at or tapped, and the summary otherwise.
  function read(svg, line, onEntity) {
    const rest = () => {
      line.textContent = svg.getAttribute("aria-label");
      for (const lit of svg.querySelectorAll(".lit")) lit.classList.remove("lit");
    };
    const show = (event) => {
      const arrow = event.target.closest(".arrow");
      rest();
      if (!arrow) return;
      arrow.classList.add("lit");
      line.textContent = `${arrow.querySelector("title").textContent} of its attention`;
    };
    svg.addEventListener("pointerover", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") rest(); });
    svg.addEventListener("click", (event) => {
      const entity = event.target.closest(".entity");
      if (entity && onEntity) onEntity(Number(entity.dataset.entity));
    });
    return rest;
  }

  return { draw, read, arrowOutline, ringOutline, unitLength, spread, percent };
})();
