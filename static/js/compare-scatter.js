// A dot for each run over any two values, each a link to its run. In the address: `across`, `up` (keys of axes),
// `xlog`, `ylog` ("1" or "0"; left out: as the values suggest).

import { parameter, setParameter } from "./chart-state.js";
import { styleOf } from "./chart-style.js";
import { Scale, short, svg, wantsLog } from "./compare-scale.js";
import { element } from "./dom.js";
import { number } from "./format.js";

const HEIGHT = 460;
const EDGE = { top: 24, right: 90, bottom: 56, left: 90 };
const LEAST_WIDTH = 340;
const SHAPES = [
  "M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z",
  "M-4.5-4.5H4.5V4.5H-4.5Z",
  "M0-6L5.5 4.5H-5.5Z",
  "M0-6.5L6.5 0L0 6.5L-6.5 0Z",
];

export class ScatterPlot {
  /** @param {HTMLElement} root  templates/runs/_scatter.html */
  constructor(root, { runs, axes, hidden }) {
    this.runs = runs;
    this.axes = new Map(axes.map((axis) => [axis.key, axis]));
    this.hidden = hidden;
    this.place = root.querySelector("[data-plot]");
    this.counter = root.querySelector("[data-plot-count]");
    if (!axes.length) {
      this.place.replaceChildren(element("p", { class: "chart-empty" }, "These runs have no values to draw."));
      return;
    }
    const varying = axes.filter((axis) => axis.varies);
    const config = varying.find((axis) => !axis.metric) ?? axes[0];
    const metric = varying.find((axis) => axis.metric) ?? axes.at(-1);
    this.across = this.bindAxis(root, "x", "across", config.key, axes);
    this.up = this.bindAxis(root, "y", "up", metric.key, axes);
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.place);
    this.draw();
  }

  bindAxis(root, letter, name, fallback, axes) {
    const select = root.querySelector(`[data-scatter-${letter}]`);
    const box = root.querySelector(`[data-scatter-${letter}log]`);
    select.append(...axes.map((axis) => element("option", { value: axis.key }, axis.label)));
    const asked = parameter(name);
    select.value = this.axes.has(asked) ? asked : fallback;
    const suggest = () => wantsLog(this.axes.get(select.value).values);
    const log = parameter(`${letter}log`);
    box.checked = log === null ? suggest() : log === "1";
    select.addEventListener("change", () => {
      setParameter(name, select.value);
      setParameter(`${letter}log`, null);
      box.checked = suggest();
      this.draw();
    });
    box.addEventListener("change", () => {
      setParameter(`${letter}log`, box.checked ? "1" : "0");
      this.draw();
    });
    return { axis: () => this.axes.get(select.value), log: () => box.checked };
  }

  draw() {
    if (!this.across || !this.up) return;
    const width = Math.max(LEAST_WIDTH, this.place.clientWidth - 24);
    const [xAxis, yAxis] = [this.across.axis(), this.up.axis()];
    const x = new Scale(xAxis.values, [EDGE.left, width - EDGE.right], this.across.log());
    const y = new Scale(yAxis.values, [HEIGHT - EDGE.bottom, EDGE.top], this.up.log());
    const label = `${yAxis.label} over ${xAxis.label}`;
    const plot = svg("svg", { width, height: HEIGHT, role: "group", "aria-label": label });
    plot.append(...this.frame(x, y, width, xAxis.label, yAxis.label));
    const drawn = this.runs.flatMap((run, index) => {
      const [left, top] = [x.place(xAxis.values[index]), y.place(yAxis.values[index])];
      if (left === null || top === null || this.hidden.has(run.id)) return [];
      return [this.dot(run, left, top, `${words(xAxis.values[index])}, ${words(yAxis.values[index])}`)];
    });
    plot.append(...drawn);
    this.place.replaceChildren(plot);
    const without = this.runs.length - this.hidden.size - drawn.length;
    const missing = without > 0 ? `; ${without} have not both values` : "";
    this.counter.textContent = `${drawn.length} of ${this.runs.length} runs${missing}`;
  }

  frame(x, y, width, xLabel, yLabel) {
    const foot = HEIGHT - EDGE.bottom;
    const upright = x.ticks().flatMap(({ at, text }) => [
      svg("line", { x1: at, x2: at, y1: EDGE.top, y2: foot, class: "plot-grid" }),
      svg("text", { x: at, y: foot + 18, "text-anchor": "middle" }, short(text, 14)),
    ]);
    const level = y.ticks().flatMap(({ at, text }) => [
      svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at, class: "plot-grid" }),
      svg("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, short(text, 11)),
    ]);
    const middle = (EDGE.left + width - EDGE.right) / 2;
    const across = { x: middle, y: HEIGHT - 12, "text-anchor": "middle", class: "plot-title" };
    return [
      ...upright,
      ...level,
      svg("text", across, short(xLabel, 60)),
      svg("text", { x: 4, y: 14, class: "plot-title" }, short(yLabel, 60)),
    ];
  }

  dot(run, left, top, values) {
    const { colour } = styleOf(`run-${run.id}`);
    const shape = SHAPES[Math.floor(run.id / 8) % SHAPES.length];
    const dot = svg("path", { d: shape, class: "plot-dot", fill: `var(${colour})`, stroke: `var(${colour})` });
    dot.dataset.run = run.id;
    const name = svg("text", { x: 9, y: 4 }, short(run.name, 14));
    const link = svg("a", { href: `/ui/runs/${run.id}/`, transform: `translate(${left} ${top})` }, dot, name);
    link.setAttribute("aria-label", `${run.name}: ${values}`);
    link.append(svg("title", {}, `${run.name}: ${values}`));
    return link;
  }

  showRun() {
    this.draw(); // `hidden` is the page's
  }

  highlight(id) {
    for (const dot of this.place.querySelectorAll(".plot-dot")) {
      dot.classList.toggle("is-near", Number(dot.dataset.run) === id);
    }
  }
}

function words(value) {
  return typeof value === "number" ? number(value) : String(value);
}
