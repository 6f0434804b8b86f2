"use strict";
// What the server says, drawn. Every text that comes from a run is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 280, LEFT = 44, RIGHT = 12, TOP = 32, BOTTOM = 36;
const HEADER = ["run", "state", "round", "accuracy", "loss", "time a round", "left"];
const main = document.getElementById("experiments");
const connection = document.getElementById("connection");
const sections = new Map();  // by folder: its elements and its runs

const make = (name, attributes = {}, text = null) => {
  const one = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== null) one.textContent = text;
  return one;
};
const draw = (name, attributes = {}, text = null) => {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== null) one.textContent = text;
  return one;
};
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// Steps of 1, 2 or 5 of a decade, of which at most so many fit into a range.
const step = (range, most, least) => {
  for (let decade = 1e-3; ; decade *= 10)
    for (const factor of [1, 2, 5])
      if (factor * decade >= least && range <= most * factor * decade) return factor * decade;
};

function section(folder) {
  const element = make("section");
  const own = {
    element, runs: new Map(), rows: new Map(), looks: new Map(), counts: {},
    heading: make("h2", {}, folder), state: make("p", {class: "state"}),
    command: make("pre", {hidden: ""}), chart: make("div", {class: "chart"}),
    body: make("tbody"), remarks: make("div", {class: "notes remarks"}),
  };
  const table = make("table"), head = make("tr");
  HEADER.forEach((name, place) =>
    head.append(make("th", {scope: "col", class: place < 2 ? "text" : ""}, name)));
  const thead = make("thead");
  thead.append(head);
  table.append(thead, own.body);
  const scroll = make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `runs of ${folder}`});
  scroll.append(table);
  element.append(own.heading, own.state, own.command, own.chart, scroll, own.remarks);
  own.code = make("code");
  own.command.append(own.code);
  new ResizeObserver(() => drawChart(own)).observe(own.chart);
  return own;
}

function choose(own, name) {
  own.element.classList.toggle("choosing", name !== null);
  for (const one of own.element.querySelectorAll("[data-run]"))
    one.classList.toggle("chosen", one.dataset.run === name);
}

// A run has the colour of its kind of network, as in the report, in a shade and a dash that it keeps.
function look(own) {
  for (const run of own.runs.values()) {
    const kind = run.spiking === null ? "unknown" : run.spiking ? "spiking" : "conventional";
    if (own.looks.get(run.run)?.kind !== kind) {
      const place = own.counts[kind] = (own.counts[kind] ?? -1) + 1;
      own.looks.set(run.run, {
        kind, classes: `of-${kind} shade${place % 3}`, dash: `dash${Math.floor(place / 3) % 3}`,
      });
    }
    Object.assign(run, own.looks.get(run.run));
  }
}

function drawRows(own, names) {
  for (const [name, row] of own.rows)
    if (!names.includes(name)) { row.remove(); own.rows.delete(name); own.runs.delete(name); }
  look(own);
  names.forEach((name, place) => {
    const run = own.runs.get(name);
    let row = own.rows.get(name);
    if (!row) {
      row = make("tr", {"data-run": name});
      HEADER.forEach((_, column) => row.append(make("td", {class: column < 2 ? "text" : ""})));
      const swatch = draw("svg", {class: "swatch", viewBox: "0 0 26 12", "aria-hidden": "true"});
      swatch.append(draw("line", {x1: 1, x2: 25, y1: 6, y2: 6}));
      row.cells[0].append(swatch, document.createTextNode(name));
      row.addEventListener("mouseenter", () => choose(own, name));
      row.addEventListener("mouseleave", () => choose(own, null));
      own.rows.set(name, row);
    }
    row.classList.toggle("waiting", run.state === "waiting");
    const swatch = row.querySelector(".swatch");
    swatch.setAttribute("class", `swatch ${run.classes}`);
    swatch.firstChild.setAttribute("class", run.dash);
    swatch.style.visibility = run.curve.length ? "visible" : "hidden";
    run.cells.forEach((text, column) => say(row.cells[column + 1], text));
    row.cells[1].className = `text word-${run.state}`;
    if (own.body.rows[place] !== row) own.body.insertBefore(row, own.body.rows[place] ?? null);
  });
}

function drawChart(own) {
  const width = own.chart.clientWidth, runs = [...own.runs.values()].filter(run => run.curve.length);
  if (!width || !runs.length) { own.chart.replaceChildren(); return; }
  const values = runs.flatMap(run => run.curve.map(point => point[1]));
  const last = Math.max(1, ...runs.map(run => run.curve.at(-1)[0]));
  const range = [Math.min(...values), Math.max(...values)];
  const up = step(Math.max(0.02, range[1] - range[0]), 5, 0.01), right = step(last, 6, 1);
  const low = Math.floor(range[0] / up) * up;
  const high = Math.max(low + up, Math.ceil(range[1] / up - 1e-9) * up);
  const x = round => LEFT + (width - LEFT - RIGHT) * round / last;
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low);
  const label = `Test accuracy of ${runs.length} runs over ${last} rounds`;
  const svg = draw("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label});
  for (let value = low; value <= high + up / 2; value += up) {
    svg.append(draw("line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)}));
    const text = `${+(100 * value).toFixed(1)} %`;
    svg.append(draw("text", {x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, text));
  }
  for (let round = 0; round <= last; round += right)
    svg.append(draw("text", {x: x(round), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle"}, String(round)));
  svg.append(draw("text", {x: 0, y: 12, "text-anchor": "start"}, "test accuracy"));
  svg.append(draw("text", {x: width - RIGHT, y: HEIGHT - 1, "text-anchor": "end"}, "round"));
  for (const run of runs) {
    const points = run.curve.map(([round, value]) => `${x(round).toFixed(1)},${y(value).toFixed(1)}`);
    const [round, value] = run.curve.at(-1);
    const path = draw("path", {class: `curve ${run.classes} ${run.dash}`, d: `M${points.join("L")}`, "data-run": run.run});
    path.append(draw("title", {}, run.run));
    path.addEventListener("mouseenter", () => choose(own, run.run));
    path.addEventListener("mouseleave", () => choose(own, null));
    svg.append(path, draw("circle", {
      class: `dot ${run.classes}`, cx: x(round), cy: y(value), r: run.state === "running" ? 4.5 : 3, "data-run": run.run,
    }));
  }
  own.chart.replaceChildren(svg);
}

function show(news) {
  const folders = news.experiments.map(one => one.folder);
  for (const [folder, own] of sections)
    if (!folders.includes(folder)) { own.element.remove(); sections.delete(folder); }
  news.experiments.forEach((one, place) => {
    if (!sections.has(one.folder)) sections.set(one.folder, section(one.folder));
    const own = sections.get(one.folder);
    if (main.children[place] !== own.element) main.insertBefore(own.element, main.children[place] ?? null);
    say(own.state, one.command === null ? one.headline : `${one.headline}; to go on:`);
    own.command.hidden = one.command === null;
    say(own.code, one.command ?? "");
    for (const run of one.changed) own.runs.set(run.run, run);
    const ordered = new Map(one.runs.map(name => [name, own.runs.get(name)]));
    const remarks = [...one.remarks];
    for (const run of ordered.values()) remarks.push(...run.remarks.map(text => `${run.run}: ${text}`));
    remarks.push(...one.fixes);
    if (own.remarks.dataset.text !== remarks.join("\n")) {
      own.remarks.dataset.text = remarks.join("\n");
      own.remarks.replaceChildren(...remarks.map(text => make("p", {}, text)));
    }
    const changed = one.changed.length || ordered.size !== own.runs.size;
    own.runs = ordered;
    if (changed) { drawRows(own, one.runs); drawChart(own); }
  });
  const absent = news.absent.length ? ` No experiment yet in ${news.absent.join(", ")}.` : "";
  say(connection, `Live, as of ${news.at}.${absent}`);
  connection.className = "origin";
  const running = news.experiments.filter(one => one.state === "running").length;
  document.title = running ? `FedSpike: ${running} running` : "FedSpike: nothing running";
}

const source = new EventSource("events");
source.addEventListener("message", event => show(JSON.parse(event.data)));
source.addEventListener("error", () => {
  say(connection, "Not connected: fedspike watch has ended, or cannot be reached. Trying again.");
  connection.className = "origin lost";
});
