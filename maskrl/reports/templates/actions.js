// Draws agents' probabilities where they stand: the outlines of maskrl/figures/action_glyphs.py and
// agent_glyph.py, made anew in the browser. Sizes are in cells; a drawing is 1000 units wide.
const actions = (() => {
  "use strict";
  const SVG = Object.assign(document.createElement("div"), { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;
  const BASE = 0.13, WIDE = 0.58, HIGH = 0.33, BAR_AT = 0.45, BAR_LONG = 0.5, BAR_THICK = 0.05;
  const DISC = Math.sqrt((WIDE * HIGH) / 2 / Math.PI), DIAMOND = Math.sqrt((WIDE * HIGH) / 4);
  const RING_IN = 0.31, RING_OUT = 0.47, ARC = 0.1, LEAST = 0.005, INNER = 0.6, SHADES = 5, SCALE = 1000;
  const STRONG = 0.95, FAINT = 0.45, BARRED = 0.85;

  function triangle([x, y], share) {
    const wide = (WIDE * Math.sqrt(share)) / 2, high = HIGH * Math.sqrt(share);
    const left = [BASE * x + wide * y, BASE * y - wide * x];
    return [left, [(BASE + high) * x, (BASE + high) * y], [BASE * x - wide * y, BASE * y + wide * x], left];
  }

  const disc = (share) => Array.from({ length: 33 }, (_, k) => {
    const angle = (2 * Math.PI * k) / 32;
    return [DISC * Math.sqrt(share) * Math.cos(angle), DISC * Math.sqrt(share) * Math.sin(angle)];
  });

  function diamond([x, y], share) {
    const half = DIAMOND * Math.sqrt(share);
    return [[0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]].map(([a, b]) => [x + half * a, y + half * b]);
  }

  function bar([x, y]) {
    const across = [(-y * BAR_LONG) / 2, (x * BAR_LONG) / 2];
    const near = BAR_AT - BAR_THICK / 2, far = BAR_AT + BAR_THICK / 2;
    const at = (along, side) => [along * x + side * across[0], along * y + side * across[1]];
    return [at(near, -1), at(near, 1), at(far, 1), at(far, -1), at(near, -1)];
  }

  function part(first, last, inner = RING_IN, outer = RING_OUT) {
    const count = Math.max(2, Math.ceil(((last - first) * 2 * Math.PI) / ARC) + 1);
    const arc = Array.from({ length: count }, (_, k) => {
      const angle = 2 * Math.PI * (first + ((last - first) * k) / (count - 1)) - Math.PI / 2;
      return [Math.cos(angle), Math.sin(angle)];
    });
    const at = (radius) => arc.map(([x, y]) => [radius * x, radius * y]);
    return [...at(outer), ...at(inner).reverse(), [outer * arc[0][0], outer * arc[0][1]]];
  }

  // Pairs of a choice and its outline, of a head's choices that can be seen.
  function outlines(spots, probs) {
    const drawn = [];
    let start = 0;
    spots.forEach(([kind, x, y], k) => {
      const share = probs[k], first = start;
      if (kind === "part") start += share;
      if (!(share >= LEAST)) return;
      if (kind === "move") drawn.push([k, triangle([x, y], share)]);
      else if (kind === "stay") drawn.push([k, disc(share)]);
      else if (kind === "corner") drawn.push([k, diamond([x, y], share)]);
      else drawn.push([k, part(first, start)]);
    });
    return drawn;
  }

  function aim([x, y]) {
    const length = Math.hypot(x, y);
    if (length === 0) return [];
    const along = [x / length, y / length], aside = [along[1], -along[0]];
    const at = (way, side) => [way * along[0] + side * aside[0], way * along[1] + side * aside[1]];
    const near = 0.5, far = length - 0.3, tip = length - 0.12;
    return [at(near, 0.03), at(far, 0.03), at(far, 0.1), at(tip, 0), at(far, -0.1), at(far, -0.03), at(near, -0.03), at(near, 0.03)];
  }

  function between(sure, unsure, share) {
    const step = Math.round((share ?? 0) * (SHADES - 1)) / (SHADES - 1);
    const parts = [1, 3, 5].map((k) => {
      const [a, b] = [sure, unsure].map((colour) => parseInt(colour.slice(k, k + 2), 16));
      return Math.round(a + step * (b - a)).toString(16).padStart(2, "0");
    });
    return `#${parts.join("")}`;
  }

  // The shapes of one agent: outlines around (0, 0), with colour and opacity.
  //   decision: per head { probs, allowed, taken, counts }
  function shapes(heads, decision, { tint, barred, masks, faint = FAINT }) {
    const made = [];
    const ring = heads[0].spots[0][0] === "part";
    const strong = ring ? heads[0].colours[decision[0].taken] : tint;
    heads.forEach((head, number) => {
      const { probs, allowed, taken, counts } = decision[number];
      const size = number === 0 ? 1 : INNER;
      if (number > 0) {
        if (!counts) return;
        if (head.targets[taken]) made.push({ outline: aim(head.targets[taken]), colour: strong, opacity: STRONG });
        if (head.spots[0][0] === "part") return;
      }
      for (const [k, outline] of outlines(head.spots, probs)) {
        const colour = number > 0 ? strong : ring ? head.colours[k] : tint;
        made.push({ outline: size === 1 ? outline : outline.map(([x, y]) => [size * x, size * y]), colour, opacity: k === taken ? STRONG : faint });
      }
      if (!masks || !allowed.some(Boolean)) return;
      head.spots.forEach(([kind, x, y], k) => {
        if (kind === "move" && !allowed[k]) made.push({ outline: bar([x, y]).map(([a, b]) => [size * a, size * b]), colour: barred, opacity: BARRED });
      });
    });
    return made;
  }

  const path = (points, [x, y], cell) =>
    points.length ? `M${points.map(([a, b]) => `${(SCALE * (x + cell * a)).toFixed(1)} ${(SCALE * (y + cell * b)).toFixed(1)}`).join("L")}Z` : "";

  function element(tag, attributes, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // A group per agent: its shapes, one path for each colour and opacity.
  function agent(at, cell, made) {
    const group = element("g", { class: "acting" });
    const kinds = new Map();
    for (const { outline, colour, opacity } of made) {
      const key = `${opacity} ${colour}`;
      kinds.set(key, (kinds.get(key) ?? "") + path(outline, at, cell));
    }
    for (const [key, d] of [...kinds].sort()) {
      const [opacity, colour] = key.split(" ");
      group.append(element("path", { class: "glyph-shape", d, fill: colour, "fill-opacity": opacity }));
    }
    return group;
  }

  return { triangle, disc, diamond, bar, part, outlines, aim, between, shapes, agent, element, SCALE };
})();
