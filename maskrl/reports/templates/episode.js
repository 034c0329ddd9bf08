// Steps through recorded episodes: picture, mask, probabilities and attention side by side.
(() => {
  "use strict";
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const { episodes, actions, kind, heads, values, tiles } = page.episodes;
  const find = (name) => viewer.querySelector(`[data-part="${name}"]`);
  const part = {};
  for (const name of ["picture", "screen", "slider", "count", "play", "facts", "actions", "more", "attention", "entities", "summary", "arrows", "readout", "toggle"]) {
    part[name] = find(name);
  }
  const state = { episode: 0, step: 0, layer: null, head: -1, timer: null };
  const switched = part.toggle.querySelector("input");
  const rest = arrows.read(part.arrows, part.readout);
  const MINUS = "\u2212";
  const fixed = (value, digits) => (value === null ? "none" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", MINUS));
  const share = (value) => (value >= 0.9995 ? "100 %" : `${(100 * value).toFixed(1)} %`);

  // Pictures stand there one by one, or as tiles of one sheet; then each is told by what changed
  // since the one before it.
  const sheet = new Image();
  const canvas = document.createElement("canvas");
  const layouts = !tiles ? [] : tiles.pictures.map((changes) => {
    let now = new Array(Math.ceil(tiles.height / tiles.side) * Math.ceil(tiles.width / tiles.side)).fill(0);
    return changes.map((pairs) => {
      now = now.slice();
      for (let k = 0; k < pairs.length; k += 2) now[pairs[k]] = pairs[k + 1];
      return now;
    });
  });

  function picture(number) {
    if (!tiles) return episodes[state.episode].pictures[number];
    const { side, columns } = tiles;
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    const across = Math.ceil(tiles.width / side);
    layouts[state.episode][number].forEach((tile, place) => {
      const from = [side * (tile % columns), side * Math.floor(tile / columns)];
      const to = [side * (place % across), side * Math.floor(place / across)];
      brush.drawImage(sheet, ...from, side, side, ...to, side, side);
    });
    return canvas.toDataURL();
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function bar(fraction) {
    const fill = element("i");
    fill.style.width = `${100 * Math.min(1, Math.max(0, fraction))}%`;
    return element("span", { class: "bar" }, fill);
  }

  // By value: a bar from the smallest to the largest value that any allowed action has on the
  // page; what is disallowed has a number, which means nothing, and no bar.
  function valueRow(row, chosen, best) {
    const [index, allowed, , , value] = row;
    const name = actions[index];
    const behind = allowed && value !== null && best !== null ? value - best : null;
    const label = allowed
      ? `${name}: allowed, Q-value ${fixed(value, 3)}, ${behind ? `${fixed(-behind, 3)} below the best` : "the best"}`
      : `${name}: disallowed; its Q-value ${fixed(value, 3)} is never chosen`;
    const span = values.high - values.low;
    const fraction = value === null ? 0 : span > 0 ? (value - values.low) / span : 1;
    return element("tr", { class: [allowed ? "" : "blocked", index === chosen ? "chosen" : ""].join(" ").trim() || null, title: label, "data-action": index },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "glyph", role: "img", "aria-label": allowed ? "allowed" : "disallowed" }, allowed ? "✓" : "×")),
      element("td", { class: "bar-cell" }, bar(allowed ? Math.max(0.01, fraction) : 0)),
      element("td", { class: "number" }, allowed ? fixed(value, 2) : element("s", {}, fixed(value, 2))),
      element("td", { class: "number" }, behind === null ? "" : behind ? fixed(behind, 2) : "best"));
  }

  // The largest value among rows that are allowed (1) or not (0), as [action, value]; null if none.
  function largest(step, allowed) {
    const rows = step.rows.filter((row) => row[1] === allowed && row[4] !== null);
    return rows.length ? rows.reduce((a, b) => (b[4] > a[4] ? b : a)) : null;
  }

  function temptation(step) {
    const [wrong, best] = [largest(step, 0), largest(step, 1)];
    if (!wrong || !best || wrong[4] <= best[4]) return "";
    return `The largest value is that of “${actions[wrong[0]]}”, which is disallowed: it is passed over.`;
  }

  function actionRow(row, chosen, names = actions) {
    const [index, allowed, probability, logit, value] = row;
    const name = names[index];
    const word = allowed ? "allowed" : "disallowed";
    const label = `${name}: ${word}, probability ${allowed ? probability.toFixed(4) : "exactly 0"}, raw logit ${fixed(logit, 3)}${value === undefined ? "" : `, Q-value ${fixed(value, 3)}`}`;
    const kind = [allowed ? "" : "blocked", index === chosen ? "chosen" : ""].join(" ").trim();
    return element("tr", { class: kind || null, title: label, "data-action": index },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "glyph", role: "img", "aria-label": word }, allowed ? "✓" : "×")),
      element("td", { class: "bar-cell" }, bar(probability)),
      element("td", { class: "number" }, allowed ? share(probability) : "0"),
      element("td", { class: "number" }, value === undefined ? fixed(logit, 2) : allowed ? fixed(value, 2) : element("s", {}, fixed(value, 2))));
  }

  // One head of several: a row with its name, then its choices; one that does not count has none.
  function headRows(head, place) {
    const { name, choices } = heads[place];
    const remark = !head.relevant
      ? "not relevant"
      : head.rows.length < head.of ? `${head.rows.length} likeliest of ${head.of}` : "";
    const title = element("tr", { class: head.relevant ? "head" : "head idle", "data-head": place },
      element("th", { scope: "rowgroup", colspan: 5 }, name, " ", element("span", { class: "remark" }, remark)));
    return head.relevant ? [title, ...head.rows.map((row) => actionRow(row, head.choice, choices))] : [title];
  }

  function bitRow([index, word, on, probability, logOdds]) {
    const { name } = heads[index];
    const label = `${name}: ${word}, ${on ? "on" : "off"}; on with probability ${probability.toFixed(4)}, raw log-odds ${fixed(logOdds, 3)}`;
    const classes = [on ? "chosen" : "", word === "must be off" || word === "idle" ? "off" : ""].join(" ").trim();
    return element("tr", { class: classes || null, title: label, "data-bit": index },
      element("th", { scope: "row" }, name),
      element("td", { class: word === "free" ? "word" : "word forced" }, word),
      element("td", { class: "bar-cell" }, bar(probability)),
      element("td", { class: "number" }, word === "free" ? share(probability) : word === "idle" ? "" : String(probability)),
      element("td", { class: "number" }, fixed(logOdds, 2)));
  }

  function tableRows(step) {
    if (step.heads) return step.heads.flatMap(headRows);
    if (step.bits) return step.bits.map(bitRow);
    if (values && values.shown === "only") {
      const best = largest(step, 1);
      return step.rows.map((row) => valueRow(row, step.action, best && best[4]));
    }
    return step.rows.map((row) => actionRow(row, step.action));
  }

  function remainder(step, shown) {
    if (step.heads || !shown) return "";
    if (step.bits) return shown < heads.length ? `${shown} of ${heads.length} bits: those that are on, then the likeliest.` : "";
    if (kind === "candidates") {
      const there = `${step.allowed} of ${actions.length} places hold a candidate that can be chosen`;
      return shown < step.allowed ? `${there}; the ${shown} likeliest are shown.` : `${there}.`;
    }
    const which = values && values.shown === "only" ? "best" : "likeliest";
    const some = shown < actions.length ? `The ${shown} ${which} of ${actions.length} actions; ${step.allowed} were allowed.` : "";
    return [values ? temptation(step) : "", some].filter(Boolean).join(" ");
  }

  function entityRow(name, seen, weight, observer) {
    const label = seen
      ? `${observer} attends to ${name}: ${share(weight)}`
      : `${observer} does not see ${name}: exactly 0`;
    return element("tr", { class: seen ? null : "blocked", title: label },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "glyph", role: "img", "aria-label": seen ? "seen" : "hidden" }, seen ? "✓" : "×")),
      element("td", { class: "bar-cell" }, bar(weight)),
      element("td", { class: "number" }, seen ? share(weight) : "0"));
  }

  function fact(name, value, title = null) {
    return element("div", { title }, element("dt", {}, name), element("dd", {}, value));
  }

  function drawChoice(step) {
    const layers = step.attention.length;
    const heads = layers ? step.attention[0].length : 0;
    if (state.layer === null || state.layer >= layers) state.layer = layers - 1;
    for (const [name, size] of [["layer", layers], ["head", heads]]) {
      const place = viewer.querySelector(`[data-choice="${name}"]`);
      const first = name === "head" ? -1 : 0;
      if (place.childElementCount !== size - first + 1) {
        place.replaceChildren(element("span", { class: "label" }, name === "layer" ? "Layer" : "Head"));
        for (let value = first; value < size; value += 1) {
          place.append(element("button", { type: "button", "data-value": value }, value < 0 ? "mean" : String(value + 1)));
        }
      }
      for (const button of place.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.value) === state[name]));
      }
    }
  }

  // The observer is the first entity; its arrows lie over the picture, where the world tells who
  // stands where.
  function drawArrows(episode, step, weights) {
    part.toggle.hidden = part.readout.hidden = episode.places.length === 0;
    if (!step.places.length || !switched.checked) {
      part.arrows.replaceChildren();
      part.readout.textContent = "";
      return;
    }
    arrows.draw(part.arrows, {
      places: step.places.map((place) => episode.places[place]),
      ratio: episode.ratio,
      names: step.entities.map(([name]) => name),
      weight: (i, j) => weights[j],
      open: (i, j) => step.entities[j][1] === 1,
      from: [0],
      atLeast: 0,
      pictured: true,
    });
    rest();
  }

  function drawAttention(episode, step) {
    part.attention.hidden = !(step.attention && step.attention.length);
    if (part.attention.hidden) {
      drawArrows(episode, step, []);
      return;
    }
    drawChoice(step);
    const heads = step.attention[state.layer];
    const weights = state.head < 0
      ? heads[0].map((_, j) => heads.reduce((sum, head) => sum + head[j], 0) / heads.length)
      : heads[state.head];
    part.entities.replaceChildren(...step.entities.map(([name, seen], j) => entityRow(name, seen, weights[j], step.entities[0][0])));
    drawArrows(episode, step, weights);
  }

  function draw() {
    const episode = episodes[state.episode];
    const step = episode.steps[state.step];
    // After the last action there is nothing to list, and heads come and go; the page keeps its
    // height all the same.
    const side = part.facts.parentElement;
    side.style.minHeight = step.action === null || step.heads ? `${side.getBoundingClientRect().height}px` : "";
    if (step.picture !== null) part.picture.src = picture(step.picture);
    part.picture.hidden = step.picture === null;
    part.picture.alt = `Step ${state.step} of the episode`;
    part.screen.parentElement.hidden = step.screen === null;
    part.screen.innerHTML = step.screen === null ? "" : episode.screens[step.screen];
    part.slider.max = episode.steps.length - 1;
    part.slider.value = state.step;
    part.slider.setAttribute("aria-valuetext", `step ${state.step} of ${episode.steps.length - 1}`);
    part.count.textContent = `step ${state.step} of ${episode.steps.length - 1}`;
    part.summary.textContent = episode.summary;
    const facts = [];
    if (step.action === null) facts.push(fact("The end", episode.ending));
    else facts.push(fact("Chosen", step.chosen ?? actions[step.action]), fact("Reward", fixed(step.reward, 2)));
    if (step.value !== null) {
      const [name, meaning] = values && values.shown === "only"
        ? ["Best Q-value", "Of the allowed actions: the discounted return that the network expects, in the scale of rewards that it was trained on"]
        : ["Value", "What the value network predicts: discounted, in the scale of rewards that it was trained on"];
      facts.push(fact(name, fixed(step.value, 2), meaning));
    }
    part.facts.replaceChildren(...facts);
    const rows = tableRows(step);
    part.actions.replaceChildren(...rows);
    part.actions.closest("table").hidden = rows.length === 0;
    part.more.textContent = remainder(step, rows.length);
    part.more.hidden = part.more.textContent === "";
    drawAttention(episode, step);
  }

  function go(step) {
    const last = episodes[state.episode].steps.length - 1;
    state.step = Math.min(last, Math.max(0, step));
    draw();
  }

  function play(on) {
    clearInterval(state.timer);
    state.timer = null;
    if (on) {
      if (state.step === episodes[state.episode].steps.length - 1) go(0);
      state.timer = setInterval(() => {
        go(state.step + 1);
        if (state.step === episodes[state.episode].steps.length - 1) play(false);
      }, 450);
    }
    part.play.setAttribute("aria-label", on ? "Pause" : "Play");
    part.play.classList.toggle("playing", on);
  }

  viewer.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { move, value, episode } = button.dataset;
    if (button === part.play) play(state.timer === null);
    else if (move !== undefined) { play(false); go(move === "first" ? 0 : move === "last" ? Infinity : state.step + Number(move)); }
    else if (episode !== undefined) {
      play(false);
      state.episode = Number(episode);
      for (const other of viewer.querySelectorAll("[data-episode]")) other.setAttribute("aria-pressed", String(other === button));
      go(0);
    } else if (value !== undefined) {
      state[button.parentElement.dataset.choice] = Number(value);
      draw();
    }
  });
  switched.addEventListener("change", draw);
  part.slider.addEventListener("input", () => { play(false); go(Number(part.slider.value)); });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    play(false);
    go(state.step + move);
  });
  window.addEventListener("resize", () => { part.facts.parentElement.style.minHeight = ""; });
  if (!tiles) draw();
  else {
    [canvas.width, canvas.height] = [tiles.width, tiles.height];
    [part.picture.width, part.picture.height] = [tiles.width, tiles.height];
    sheet.addEventListener("load", draw);
    sheet.src = tiles.sheet;
  }
})();
