// Steps through episodes of a team: action map, agent mask, everybody's masks, one agent's decision.
(() => {
  "use strict";
  const viewer = document.getElementById("team");
  if (!viewer) return;
  const { agents: places, grid, heads, critic, masked, disallowed, episodes } = page.team;
  const { element: shape, SCALE } = actions;
  const WHOLE = 10000, MINUS = "\u2212";
  const ON_PICTURE = ["#123c96", "#b266cf"], ON_PAGE = ["#2a78d0", "#a968c4"];
  const part = {};
  for (const node of viewer.querySelectorAll("[data-part]")) part[node.dataset.part] = node;
  const layers = {};
  for (const box of viewer.querySelectorAll("[data-layer]")) layers[box.dataset.layer] = box;
  const state = { episode: 0, step: 0, chosen: 0, timer: null };
  const total = heads.reduce((sum, head) => sum + head.choices.length, 0);
  const starts = heads.reduce((all, head) => [...all, all[all.length - 1] + head.choices.length], [0]);
  const fixed = (value, digits) => (value === null || value === undefined ? "none" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", MINUS));
  const share = (value) => (value >= 0.9995 ? "100 %" : `${(100 * value).toFixed(1)} %`);

  function html(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const fact = (name, value, title = null) => html("div", { title }, html("dt", {}, name), html("dd", {}, value));

  // Agents are known by their slot, or where they have none by their cell.
  const key = (agent) => (agent.n >= 0 ? agent.n : agent.p);
  const cellName = (place) => `unit at row ${Math.floor(place / grid[1])}, column ${place % grid[1]}`;
  const nameOf = (episode, agent) => (agent.n >= 0 ? episode.names[agent.n] : cellName(agent.p));

  // A decision as rows per head: probabilities, logits, what was allowed, what was taken.
  function decisionOf(agent) {
    const probs = new Array(total).fill(0), logits = new Array(total).fill(null), allowed = new Array(total).fill(!masked);
    for (let k = 0; k < agent.a.length; k += 3) {
      const index = agent.a[k];
      probs[index] = agent.a[k + 1] / WHOLE;
      logits[index] = agent.a[k + 2] === -99 ? null : agent.a[k + 2];
      allowed[index] = true;
    }
    if (agent.i) heads.forEach((_, h) => { if (probs[starts[h] + agent.c[h]] === 0) allowed[starts[h] + agent.c[h]] = false; });
    return heads.map((_, h) => ({
      probs: probs.slice(starts[h], starts[h + 1]),
      logits: logits.slice(starts[h], starts[h + 1]),
      allowed: allowed.slice(starts[h], starts[h + 1]),
      taken: agent.c[h],
      counts: !agent.r || agent.r[h] === 1,
    }));
  }

  function actionWords(agent) {
    const words = heads.flatMap((head, h) => {
      if (agent.r && !agent.r[h]) return [];
      const word = head.choices[agent.c[h]];
      return [h > 0 && /^[\d+-]/.test(word) ? `${head.name} ${word}` : word];
    });
    return words.join(", ");
  }

  function sentence(episode, agent, decision) {
    const likely = decision[0].probs.map((p, k) => [p, k]).filter(([, k]) => decision[0].allowed[k]).sort((a, b) => b[0] - a[0]);
    const told = likely.slice(0, 4).map(([p, k]) => `${heads[0].choices[k]} ${share(p)}`);
    if (likely.length > 4) told.push(`${likely.length - 4} more`);
    const closed = decision[0].allowed.flatMap((ok, k) => (ok ? [] : [heads[0].choices[k]]));
    const mask = closed.length ? `; masked: ${closed.length > 6 ? `${closed.length} of ${heads[0].choices.length}` : closed.join(", ")}` : "";
    return `${nameOf(episode, agent)}: ${told.join(", ")}${mask}. Does ${actionWords(agent)}.`;
  }

  function drawMap(episode, step) {
    const pictured = step.picture !== null;
    const svg = part.map;
    const placed = grid || episode.steps.some(({ agents: all }) => all.some(({ at }) => at));
    const nowhere = episode.ratio === null || !placed;
    part.stage.classList.toggle("mapped", pictured && !nowhere && layers.map.checked && step.agents.length > 0);
    svg.toggleAttribute("hidden", nowhere);
    part.stage.hidden = nowhere && !pictured;
    part.legend.hidden = nowhere;
    if (nowhere) return;
    svg.setAttribute("viewBox", `0 0 ${SCALE} ${(SCALE * episode.ratio).toFixed(1)}`);
    // Lines are as thin as the cells are small; a map of many cells takes more of the width.
    svg.style.setProperty("--casing", pictured ? Math.min(2.5, 28 * episode.cell).toFixed(2) : "0");
    svg.style.setProperty("--frame", Math.min(4, 50 * episode.cell).toFixed(2));
    part.stage.closest(".viewer").classList.toggle("large", episode.cell < 1 / 16);
    part.stage.classList.toggle("pictured", pictured);
    const { cell } = episode, groups = [];
    if (!pictured && grid) {
      const lines = [];
      for (let x = 0; x <= grid[1]; x += 1) lines.push(`M${(SCALE * x) / grid[1]} 0V${(SCALE * grid[0]) / grid[1]}`);
      for (let y = 0; y <= grid[0]; y += 1) lines.push(`M0 ${(SCALE * y) / grid[1]}H${SCALE}`);
      groups.push(shape("path", { class: "gridline", d: lines.join("") }));
    }
    const ends = pictured ? ON_PICTURE : ON_PAGE;
    const frame = (x, y, chosen) => {
      const half = 0.5 * SCALE * cell;
      return shape("rect", { class: chosen ? "target chosen" : "target", x: x - half, y: y - half, width: 2 * half, height: 2 * half, rx: 0.12 * SCALE * cell });
    };
    for (const [slot, x, y] of step.waiting) {
      if (x === undefined) continue;
      const chosen = slot === state.chosen, group = shape("g", { class: "resting", "data-slot": slot }, frame(SCALE * x, SCALE * y, chosen));
      const title = shape("title", {});
      title.textContent = `${episode.names[slot]} waits.`;
      group.prepend(title);
      if (layers.map.checked) group.append(shape("circle", { class: "waits", cx: SCALE * x, cy: SCALE * y, r: 0.4 * SCALE * cell }));
      groups.push(group);
    }
    step.agents.forEach((agent, m) => {
      if (!agent.at) return;
      const decision = decisionOf(agent);
      const made = layers.map.checked ? actions.shapes(heads, decision, { tint: actions.between(...ends, agent.u), barred: disallowed, masks: layers.masks.checked, faint: pictured ? 0.75 : undefined }) : [];
      const group = actions.agent(agent.at, cell, made);
      group.dataset.agent = m;
      const title = shape("title", {});
      title.textContent = sentence(episode, agent, decision);
      const [x, y] = agent.at.map((value) => SCALE * value);
      group.prepend(title, frame(x, y, key(agent) === state.chosen));
      groups.push(group);
    });
    svg.replaceChildren(...groups);
    svg.setAttribute("aria-label", `${step.agents.length} agents act`);
    drawArrows(episode, step);
  }

  function chosenAgent(step) {
    return step.agents.find((agent) => key(agent) === state.chosen);
  }

  function drawArrows(episode, step) {
    const agent = chosenAgent(step);
    const told = agent && agent.s && step.entities.every(([, x]) => x >= 0);
    part["arrows-toggle"].hidden = !episode.steps.some(({ agents: all }) => all.some(({ s }) => s));
    if (!told || !layers.arrows.checked) return;
    const own = step.entities.findIndex(([label]) => episode.labels[label] === nameOf(episode, agent));
    if (own < 0) return;
    const at = step.entities.map(([, x, y]) => [x / WHOLE, y / WHOLE]);
    const unit = Math.min(arrows.unitLength(at), 1.2 * episode.cell), where = at;
    for (let k = 0; k < agent.s.length; k += 2) {
      const [j, weight] = [agent.s[k], agent.s[k + 1] / WHOLE];
      if (weight < 0.01) continue;
      const same = Math.hypot(where[own][0] - where[j][0], where[own][1] - where[j][1]) < 1e-6;
      const { outline } = same ? arrows.ringOutline(where[own], weight, unit) : arrows.arrowOutline(where[own], where[j], weight, unit);
      const title = shape("title", {});
      title.textContent = `${nameOf(episode, agent)} \u2192 ${j === own ? "itself" : episode.labels[step.entities[j][0]]}: ${share(weight)}`;
      const d = `M${outline.map(([x, y]) => `${(SCALE * x).toFixed(1)} ${(SCALE * y).toFixed(1)}`).join("L")}Z`;
      part.map.append(shape("path", { class: "attends", d, "fill-opacity": (0.5 + 0.45 * Math.min(1, 2 * weight)).toFixed(2) }));
      part.map.lastChild.append(title);
    }
  }

  function actionRow(head, decision, k, names) {
    const { probs, logits, allowed, taken } = decision;
    const fill = html("i");
    fill.style.width = `${100 * probs[k]}%`;
    const word = allowed[k] ? "allowed" : "disallowed";
    return html("tr", { class: [allowed[k] ? "" : "blocked", k === taken ? "chosen" : ""].join(" ").trim() || null, "data-action": k },
      html("th", { scope: "row" }, names[k]),
      html("td", {}, html("span", { class: "glyph", role: "img", "aria-label": word }, allowed[k] ? "\u2713" : "\u00d7")),
      html("td", { class: "bar-cell" }, html("span", { class: "bar" }, fill)),
      html("td", { class: "number" }, allowed[k] ? share(probs[k]) : "0"),
      html("td", { class: "number" }, logits[k] === null ? "" : fixed(logits[k], 2)));
  }

  const MOST = 12;
  function headRows(head, decision, h) {
    const rows = [];
    if (heads.length > 1) {
      const n = head.choices.length, open = decision.allowed.filter(Boolean).length;
      const remark = decision.counts ? (n > MOST ? `${open} of ${n} allowed` : "") : "not relevant";
      rows.push(html("tr", { class: decision.counts ? "head" : "head idle", "data-head": h },
        html("th", { scope: "rowgroup", colspan: 5 }, head.name, " ", html("span", { class: "remark" }, remark))));
    }
    if (!decision.counts) return rows;
    let shown = head.choices.map((_, k) => k);
    if (shown.length > MOST) {
      shown = shown.filter((k) => decision.allowed[k] || k === decision.taken).sort((a, b) => decision.probs[b] - decision.probs[a]).slice(0, MOST).sort((a, b) => a - b);
    }
    return [...rows, ...shown.map((k) => actionRow(head, decision, k, head.choices))];
  }

  function drawAgent(episode, step) {
    const names = episode.names.length ? episode.names.map((name, n) => [n, name]) : step.agents.map((agent) => [agent.p, nameOf(episode, agent)]);
    if (!names.some(([id]) => id === state.chosen) && names.length) state.chosen = (step.agents.length ? key(step.agents[0]) : names[0][0]);
    const acting = new Set(step.agents.map(key)), waiting = new Set(step.waiting.map(([slot]) => slot));
    const word = (id) => (acting.has(id) || step.value === undefined ? "" : waiting.has(id) ? " (waits)" : step.agents.length || waiting.size ? " (dead)" : "");
    part.agent.replaceChildren(...names.map(([id, name]) => html("option", { value: id, selected: id === state.chosen ? "" : null }, name + (episode.names.length ? word(id) : ""))));
    part.agent.value = String(state.chosen);
    part.agent.closest(".choice").style.display = names.length ? "" : "none";
    const agent = chosenAgent(step), facts = [];
    const table = part.actions.closest("table");
    table.hidden = !agent;
    part.silent.hidden = Boolean(agent);
    part.attention.hidden = !(agent && agent.s);
    if (!agent) {
      const waits = waiting.has(state.chosen);
      const over = state.step === episode.steps.length - 1;
      part.silent.textContent = over ? (episode.stopped ? "Nothing further is shown." : "The episode is over.") : !names.length ? "Nobody acts at this step." : waits ? "It is alive and waits: nothing is decided for it at this step." : "It is dead: nothing is decided, and what the network says of its slot changes nothing.";
      part["agent-facts"].replaceChildren();
      part.actions.replaceChildren();
      return;
    }
    facts.push(fact("Does", actionWords(agent)));
    if (agent.v !== undefined) facts.push(fact("Value", fixed(agent.v, 2), "What the value network predicts for this agent"));
    if (agent.g !== undefined) facts.push(fact("Got", fixed(agent.g, 2), "Its own reward for this step"));
    if (agent.u !== undefined) facts.push(fact("Undecided", share(agent.u), "Entropy, as a share of what its mask leaves open"));
    if (agent.i) facts.push(fact("Illegal", "yes"));
    part["agent-facts"].replaceChildren(...facts);
    const decision = decisionOf(agent);
    part.actions.replaceChildren(...heads.flatMap((head, h) => headRows(head, decision[h], h)));
    if (agent.s) drawSeen(episode, step, agent);
  }

  function drawSeen(episode, step, agent) {
    const pairs = [];
    for (let k = 0; k < agent.s.length; k += 2) pairs.push([agent.s[k], agent.s[k + 1] / WHOLE]);
    pairs.sort((a, b) => b[1] - a[1]);
    const rows = pairs.slice(0, 8).map(([j, weight]) => {
      const fill = html("i");
      fill.style.width = `${100 * weight}%`;
      const name = episode.labels[step.entities[j][0]];
      return html("tr", {}, html("th", { scope: "row" }, name === nameOf(episode, agent) ? `${name} (itself)` : name),
        html("td", { class: "bar-cell" }, html("span", { class: "bar" }, fill)), html("td", { class: "number" }, share(weight)));
    });
    part.entities.replaceChildren(...rows);
    const rest = agent.k - rows.length, hidden = step.entities.length - agent.k;
    const words = [`It sees ${agent.k} of ${step.entities.length} entities.`];
    if (rest > 0) words.push(`${rest} more get less than those above.`);
    if (hidden > 0) words.push(`${hidden} hidden from it get exactly 0.`);
    part.unseen.textContent = words.join(" ");
  }

  function drawMatrix(episode, step) {
    const ids = episode.names.length ? episode.names.map((_, n) => n) : step.agents.map(({ p }) => p);
    const many = ids.length > 24, row = many ? 11 : 20, wide = total <= 8 ? 44 : total <= 16 ? 26 : 13;
    const label = 118, top = heads.length > 1 ? 74 : 62, gap = 6;
    const left = (k) => label + k * wide + gap * heads.findIndex((_, h) => k < starts[h + 1]);
    const width = left(total - 1) + wide + 60, height = top + ids.length * row + 6;
    const svg = part.matrix, nodes = [];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const written = total <= 40;
    heads.forEach((head, h) => {
      if (heads.length > 1) {
        const text = shape("text", { class: "head-name", x: left(starts[h]), y: 12 });
        text.textContent = head.name;
        nodes.push(text);
      }
      if (written || head.choices.length <= 8) {
        head.choices.forEach((name, k) => {
          const text = shape("text", { transform: `translate(${left(starts[h] + k) + wide / 2 + 4} ${top - 5}) rotate(-55)` });
          text.textContent = name.length > 11 ? `${name.slice(0, 10)}\u2026` : name;
          nodes.push(text);
        });
      }
    });
    const acting = new Map(step.agents.map((agent) => [key(agent), agent])), waiting = new Set(step.waiting.map(([slot]) => slot));
    let crosses = "";
    ids.forEach((id, r) => {
      const y = top + r * row, agent = acting.get(id), group = shape("g", { class: id === state.chosen ? "matrix-row chosen" : "matrix-row", "data-key": id });
      group.append(shape("rect", { class: "band", x: 0, y, width, height: row }));
      const text = shape("text", { class: agent ? "" : "quiet", x: label - 8, y: y + row / 2 + 4, "text-anchor": "end", "font-size": many ? 9 : 12 });
      text.textContent = episode.names.length ? episode.names[id] : cellName(id).replace("unit at ", "");
      group.append(text);
      if (!agent) {
        const why = shape("text", { class: "quiet", x: label + 4, y: y + row / 2 + 4, "font-size": many ? 9 : 12 });
        why.textContent = state.step === episode.steps.length - 1 ? "" : waiting.has(id) ? "waits" : "dead";
        group.append(why);
      } else {
        decisionOf(agent).forEach(({ probs, allowed, taken, counts }, h) => {
          if (!counts) return;
          probs.forEach((p, k) => {
            const x = left(starts[h] + k);
            if (!allowed[k]) {
              const [cx, cy, s] = [x + wide / 2, y + row / 2, many ? 2 : 3.5];
              crosses += `M${cx - s} ${cy - s}l${2 * s} ${2 * s}m0 ${-2 * s}l${-2 * s} ${2 * s}`;
              if (k !== taken) return;
            }
            const cell = shape("rect", { class: k === taken ? "cell done" : "cell", x: x + 1, y: y + 1, width: wide - 2, height: row - 2, "fill-opacity": (allowed[k] ? 0.1 + 0.9 * p : 0).toFixed(3) });
            const title = shape("title", {});
            title.textContent = `${nameOf(episode, agent)}, ${heads[h].name ? `${heads[h].name} ` : ""}${heads[h].choices[k]}: ${allowed[k] ? share(p) : "disallowed"}`;
            cell.append(title);
            group.append(cell);
          });
        });
      }
      nodes.push(group);
    });
    nodes.push(shape("path", { class: "crosses", d: crosses }));
    svg.replaceChildren(...nodes);
    svg.setAttribute("aria-label", `Masks and probabilities of ${step.agents.length} agents that act`);
  }

  function drawGridMask(step) {
    if (!part["grid-mask"]) return;
    const [high, wide] = grid, svg = part["grid-mask"];
    svg.setAttribute("viewBox", `0 0 ${wide * 10} ${high * 10}`);
    const acting = new Set(step.agents.map(({ p }) => p));
    const cells = Array.from({ length: high * wide }, (_, p) =>
      shape("rect", { class: acting.has(p) ? "acts" : "empty", x: (p % wide) * 10 + 0.6, y: Math.floor(p / wide) * 10 + 0.6, width: 8.8, height: 8.8, rx: 1.2 }));
    svg.replaceChildren(...cells);
    svg.setAttribute("aria-label", `An agent acts in ${acting.size} of ${high * wide} cells`);
  }

  function drawLife(episode) {
    const svg = part.life, steps = episode.steps.length - 1, width = 1000, x = (t) => (t * width) / Math.max(steps, 1);
    const each = x(1);
    const nodes = [];
    let height;
    if (episode.names.length) {
      const row = episode.names.length > 24 ? 4 : episode.names.length > 10 ? 7 : 11;
      height = row * episode.names.length;
      let acts = "", waits = "";
      episode.life.forEach((letters, n) => {
        for (const run of letters.matchAll(/a+|w+/g)) {
          const d = `M${x(run.index).toFixed(2)} ${n * row + 0.5}h${(run[0].length * each).toFixed(2)}v${row - 1}h${(-run[0].length * each).toFixed(2)}z`;
          if (run[0][0] === "a") acts += d; else waits += d;
        }
      });
      nodes.push(shape("path", { class: "life-acts", d: acts }), shape("path", { class: "life-waits", d: waits }));
    } else {
      height = 48;
      const most = Math.max(1, ...episode.life);
      const d = episode.life.map((count, t) => `M${x(t).toFixed(2)} ${height}v${((-height * count) / most).toFixed(2)}h${(0.92 * each).toFixed(2)}V${height}z`).join("");
      nodes.push(shape("path", { class: "life-acts", d }));
    }
    nodes.push(shape("line", { class: "now", x1: x(state.step), x2: x(state.step), y1: 0, y2: height }));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.style.height = `${height}px`;
    svg.replaceChildren(...nodes);
    svg.setAttribute("aria-label", `Who acts at which of ${steps} steps`);
  }

  function draw() {
    const episode = episodes[state.episode], step = episode.steps[state.step], last = episode.steps.length - 1;
    if (step.picture !== null) part.picture.src = episode.pictures[step.picture];
    part.picture.hidden = step.picture === null;
    part.picture.alt = `Step ${state.step} of the episode`;
    part.screen.parentElement.hidden = step.screen === null;
    part.screen.innerHTML = step.screen === null ? "" : episode.screens[step.screen];
    part.slider.max = last;
    part.slider.value = state.step;
    part.slider.setAttribute("aria-valuetext", `step ${state.step} of ${last}`);
    part.count.textContent = `step ${state.step} of ${last}`;
    part.summary.textContent = episode.summary;
    const whole = step.alive ?? (episode.names.length ? places : null);
    let facts = [fact("Act", whole === null ? String(step.agents.length) : `${step.agents.length} of ${whole}`, "Agents that decide at this step, of those alive")];
    if (step.reward === null) {
      const alive = step.alive === null ? [] : [fact("Alive", `${step.alive} of ${places}`)];
      facts = [fact("The end", episode.ending), ...alive];
    } else facts.push(fact("Reward", fixed(step.reward, 2), "Of the team"));
    if (step.value !== null && critic === "team") facts.push(fact("Value", fixed(step.value, 2), "What the value network predicts for the team"));
    part.facts.replaceChildren(...facts);
    drawAgent(episode, step);
    drawMap(episode, step);
    drawMatrix(episode, step);
    drawGridMask(step);
    drawLife(episode);
    const one = step.agents.length === 1;
    part.readout.textContent = step.agents.length ? `${one ? "1 agent acts" : `${step.agents.length} agents act`}; point at ${one ? "it" : "one"} to read its decision.` : "Nobody acts at this step.";
  }

  function go(step) {
    state.step = Math.min(episodes[state.episode].steps.length - 1, Math.max(0, step));
    draw();
  }

  function play(on) {
    clearInterval(state.timer);
    state.timer = null;
    const last = () => state.step === episodes[state.episode].steps.length - 1;
    if (on) {
      if (last()) go(0);
      state.timer = setInterval(() => { go(state.step + 1); if (last()) play(false); }, 450);
    }
    part.play.setAttribute("aria-label", on ? "Pause" : "Play");
    part.play.classList.toggle("playing", on);
  }

  function choose(id) {
    state.chosen = id;
    draw();
  }

  viewer.addEventListener("click", (event) => {
    const row = event.target.closest(".matrix-row"), group = event.target.closest(".acting"), resting = event.target.closest(".resting");
    if (row) { choose(Number(row.dataset.key)); return; }
    if (group) { choose(key(episodes[state.episode].steps[state.step].agents[Number(group.dataset.agent)])); return; }
    if (resting) { choose(Number(resting.dataset.slot)); return; }
    if (event.target.closest(".life")) {
      const box = part.life.getBoundingClientRect(), steps = episodes[state.episode].steps.length - 1;
      play(false);
      go(Math.floor(((event.clientX - box.left) / box.width) * steps));
      return;
    }
    const button = event.target.closest("button");
    if (!button) return;
    const { move, episode, agent } = button.dataset;
    if (button === part.play) play(state.timer === null);
    else if (move !== undefined) { play(false); go(move === "first" ? 0 : move === "last" ? Infinity : state.step + Number(move)); }
    else if (episode !== undefined) {
      play(false);
      state.episode = Number(episode);
      for (const other of viewer.querySelectorAll("[data-episode]")) other.setAttribute("aria-pressed", String(other === button));
      go(0);
    } else if (agent !== undefined) {
      const ids = [...part.agent.options].map(({ value }) => Number(value));
      if (ids.length) choose(ids[(ids.indexOf(state.chosen) + Number(agent) + ids.length) % ids.length]);
    }
  });
  const read = (event) => {
    const group = event.target.closest(".acting, .resting");
    if (group) part.readout.textContent = group.querySelector("title").textContent;
  };
  part.map.addEventListener("pointerover", read);
  part.map.addEventListener("pointerdown", read);
  part.agent.addEventListener("change", () => choose(Number(part.agent.value)));
  for (const box of Object.values(layers)) box.addEventListener("change", draw);
  part.slider.addEventListener("input", () => { play(false); go(Number(part.slider.value)); });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    play(false);
    go(state.step + move);
  });
  draw();
})();
