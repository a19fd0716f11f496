// Line charts of metric series over steps, drawn by uPlot into templates/partials/chart.html.
//
//   const chart = new SeriesChart(section, { title: "loss" });
//   chart.set("train_loss", [0, 1, 2], [0.9, 0.7, 0.6]);
//   chart.append("train_loss", 3, 0.5);
//
// Charts of one `group` share cursor, zoom and smoothing. Series are told apart by dashes as well as by colour.

import uPlot from "../vendor/uplot-1.6.32/uPlot.esm.js";
import { saveCsv, savePng } from "./chart-export.js";
import { cssColour, faded, lineSample, styleOf } from "./chart-style.js";
import { element } from "./dom.js";
import { number } from "./format.js";
import { aligned, Series, smoothed, unionOfSteps } from "./series-data.js";

const DRAW_EVERY = 100; // ms at most between a point's arrival and its being drawn
const TABLE_ROWS = 200;
const STEP_INCREMENTS = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((unit) => unit * 10 ** power)).flat();

const groups = new Map(); // name -> Set of charts

export class SeriesChart {
  /**
   * @param {HTMLElement} root  partials/chart.html
   * @param {object} options
   * @param {string} options.title
   * @param {string} [options.group]  charts of a group move together
   * @param {string} [options.xLabel]
   * @param {(range: {min: number, max: number} | null) => void} [options.onZoom]  the reader zoomed this chart's
   *   group (null: out again), e.g. to fetch the range in more detail
   * @param {(weight: number) => void} [options.onSmooth]
   */
  constructor(root, { title, group = "page", xLabel = "step", onZoom = () => {}, onSmooth = () => {} }) {
    this.root = root;
    this.title = title;
    this.group = group;
    this.xLabel = xLabel;
    this.onZoom = onZoom;
    this.onSmooth = onSmooth;
    this.plotRoot = root.querySelector(".chart-plot");
    this.legend = root.querySelector(".chart-legend");
    this.series = new Map();
    this.zoomed = null;
    this.log = false;
    this.smoothing = 0;
    this.buildTools(root.querySelector(".chart-tools"));
    this.buildTable();
    if (!groups.has(group)) groups.set(group, new Set());
    groups.get(group).add(this);
    this.onTheme = () => this.rebuild();
    document.addEventListener("theme:changed", this.onTheme);
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.plotRoot);
  }

  // --- Data --------------------------------------------------------------------------------------------------------

  /** Replace a series' points. `key` chooses its look, the name by default. */
  set(name, steps, values, { key = name } = {}) {
    this.one(name, key).replace(steps, values);
    this.drawSoon();
  }

  /** Add points (steps ascending) to those that are there, e.g. the detail of a zoomed range. */
  merge(name, steps, values, { key = name } = {}) {
    this.one(name, key).merge(steps, values);
    this.drawSoon();
  }

  append(name, step, value, { key = name } = {}) {
    this.one(name, key).add(step, value);
    this.drawSoon();
  }

  one(name, key) {
    let series = this.series.get(name);
    if (!series) {
      const taken = [...this.series.values()].some((other) => other.key === key);
      series = new Series(name, taken ? name : key);
      this.series.set(name, series);
      this.stale = true; // uPlot's list of series changes: build it anew
    }
    return series;
  }

  drawSoon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw();
    }, DRAW_EVERY);
  }

  columns() {
    const list = [...this.series.values()];
    const steps = unionOfSteps(list);
    const columns = [steps];
    for (const series of list) {
      columns.push(aligned(series, series.values, steps, { log: this.log }));
      if (this.smoothing) {
        columns.push(aligned(series, smoothed(series.values, this.smoothing), steps, { log: this.log }));
      }
    }
    return columns;
  }

  // --- Drawing -----------------------------------------------------------------------------------------------------

  draw() {
    if (!this.series.size) return;
    if (this.stale || !this.plot) {
      this.rebuild();
      return;
    }
    this.plot.setData(this.columns());
    this.updateLegend();
    this.describe();
  }

  rebuild() {
    if (!this.series.size) return;
    this.stale = false;
    this.plot?.destroy();
    this.plotRoot.replaceChildren();
    const colour = (property) => cssColour(property, this.root);
    const axis = {
      stroke: colour("--text-muted"),
      grid: { stroke: colour("--chart-grid"), width: 1 },
      ticks: { stroke: colour("--chart-grid"), width: 1, size: 4 },
      font: `12px ${getComputedStyle(this.root).fontFamily}`,
    };
    const list = [...this.series.values()];
    const lines = list.flatMap((series) => this.linesOf(series, colour));
    this.plot = new uPlot(
      {
        ...this.size(),
        padding: [8, 20, 0, 0],
        legend: { show: false },
        focus: { alpha: 0.2 },
        cursor: {
          sync: { key: this.group },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => this.zoomGroup(null) },
        },
        scales: {
          x: { time: false, range: (_, least, greatest) => this.xRange(least, greatest) },
          y: this.log ? { distr: 3 } : {},
        },
        axes: [
          { ...axis, size: 26, incrs: STEP_INCREMENTS, values: (_, ticks) => ticks.map((tick) => number(tick)) },
          {
            ...axis,
            values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick, 3))),
            size: (_, labels) => 18 + 7 * Math.max(3, ...(labels ?? []).map((label) => label.length)),
          },
        ],
        series: [{}, ...lines],
        hooks: {
          setSelect: [(plot) => this.selected(plot)],
          setCursor: [() => this.updateLegend()],
        },
      },
      this.columns(),
      this.plotRoot,
    );
    this.buildLegend(list, colour);
    this.describe();
  }

  linesOf(series, colour) {
    const { colour: property, dash } = styleOf(series.key);
    const stroke = colour(property);
    const line = { show: series.visible, stroke, dash, width: 1.75, points: { size: 5, fill: stroke } };
    if (!this.smoothing) return [line];
    const raw = { ...line, stroke: faded(stroke, 0.3), width: 1, dash: [], points: { show: false } };
    return [raw, { ...line, points: { show: false } }];
  }

  xRange(least, greatest) {
    if (this.zoomed) return [this.zoomed.min, this.zoomed.max];
    if (least === null) return [0, 1];
    return least === greatest ? [least - 1, greatest + 1] : [least, greatest];
  }

  size() {
    return { width: Math.max(this.plotRoot.clientWidth, 120), height: this.plotRoot.clientHeight };
  }

  resize() {
    const { width, height } = this.size();
    if (this.plot && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  // --- Zoom, scale, smoothing --------------------------------------------------------------------------------------

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const min = plot.posToVal(left, "x");
    const max = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zoomGroup({ min, max });
  }

  zoomGroup(range) {
    for (const chart of groups.get(this.group)) {
      chart.zoom(range);
      // The cursors of the others would stay where they were in pixels, which is another step now.
      if (chart !== this) chart.plot?.setCursor({ left: -10, top: -10 }, false);
    }
    this.onZoom(range);
  }

  /** Show the steps of `range` ({min, max}); null: all. */
  zoom(range) {
    this.zoomed = range;
    this.resetButton.hidden = range === null;
    if (this.plot) this.plot.setData(this.columns());
  }

  setLog(on) {
    this.log = on;
    this.logButton.setAttribute("aria-pressed", String(on));
    this.rebuild();
  }

  smoothGroup(weight) {
    for (const chart of groups.get(this.group)) chart.smooth(weight);
    this.onSmooth(weight);
  }

  /** @param {number} weight  of the past in the moving average, 0 (raw) … 0.99 */
  smooth(weight) {
    this.smoothing = weight;
    this.smoothInput.value = weight;
    this.rebuild();
  }

  buildTools(tools) {
    const button = (words, label, act) => {
      const node = element(
        "button",
        { class: "button button-quiet button-small", type: "button", title: label },
        words,
      );
      node.setAttribute("aria-label", `${words}: ${label.toLowerCase()}, ${this.title}`);
      node.addEventListener("click", act);
      return node;
    };
    this.resetButton = button("Reset zoom", "Show all steps", () => this.zoomGroup(null));
    this.resetButton.hidden = true;
    this.logButton = button("Log", "Logarithmic scale", () => this.setLog(!this.log));
    this.logButton.setAttribute("aria-pressed", "false");
    this.smoothInput = element("input", {
      type: "range",
      min: 0,
      max: 0.99,
      step: 0.01,
      value: 0,
      "aria-label": `Smooth ${this.title}`,
    });
    this.smoothInput.addEventListener("input", () => this.smoothGroup(Number(this.smoothInput.value)));
    tools.replaceChildren(
      this.resetButton,
      element(
        "label",
        { title: "Exponential moving average; the raw line stays behind it" },
        "Smooth",
        this.smoothInput,
      ),
      this.logButton,
      button("PNG", "Save as picture", () => savePng(this)),
      button("CSV", "Save the points as CSV", () => saveCsv(this)),
    );
  }

  // --- Legend and words --------------------------------------------------------------------------------------------

  buildLegend(list, colour) {
    const lines = this.smoothing ? 2 : 1;
    this.stepNode = element("li", { class: "chart-step", "aria-hidden": "true" });
    this.legendValues = [];
    const items = list.map((series, i) => {
      const style = styleOf(series.key);
      const value = element("span", { class: "chart-legend-value" });
      this.legendValues.push(value);
      const toggle = element("button", { type: "button", "aria-pressed": String(series.visible) });
      toggle.append(lineSample(colour(style.colour), style.dash), series.name, value);
      const index = 1 + i * lines;
      const focus = (on) => this.plot.setSeries(on ? index + lines - 1 : null, { focus: on });
      toggle.addEventListener("click", () => this.toggle(series, toggle, index, lines));
      toggle.addEventListener("pointerenter", () => focus(true));
      toggle.addEventListener("pointerleave", () => focus(false));
      return element("li", {}, toggle);
    });
    this.legend.replaceChildren(...items, this.stepNode);
    this.updateLegend();
  }

  toggle(series, button, index, lines) {
    series.visible = !series.visible;
    button.setAttribute("aria-pressed", String(series.visible));
    for (let line = 0; line < lines; line++) this.plot.setSeries(index + line, { show: series.visible });
  }

  updateLegend() {
    if (!this.legendValues) return;
    const at = this.plot?.cursor.idx;
    const hovering = at !== null && at !== undefined;
    const lines = this.smoothing ? 2 : 1;
    let i = 0;
    for (const series of this.series.values()) {
      if (!this.legendValues[i]) return; // a new series whose legend is about to be built
      const value = hovering ? lastAt(this.plot.data[1 + i * lines], at) : series.values.at(-1);
      this.legendValues[i].textContent = value === undefined ? "" : number(value);
      i += 1;
    }
    this.stepNode.textContent = hovering ? `${this.xLabel} ${number(this.plot.data[0][at])}` : "";
  }

  describe() {
    const parts = [...this.series.values()].map((series) => {
      const { last, lastStep, least, greatest, count, odd } = series.summary();
      const oddWords = odd ? `, ${odd} of them not a number` : "";
      return (
        `${series.name}: ${count} points${oddWords}, last ${number(last)} at ${this.xLabel} ${number(lastStep)}, ` +
        `from ${number(least)} to ${number(greatest)}`
      );
    });
    this.plotRoot.setAttribute("role", "img");
    this.plotRoot.setAttribute("aria-label", `Line chart of ${this.title}. ${parts.join("; ")}`);
    if (this.table.open) this.fillTable();
  }

  buildTable() {
    this.tableBody = element("div", { class: "table-scroll table-tall", tabindex: "0", role: "region" });
    this.tableBody.setAttribute("aria-label", `Points of ${this.title}`);
    this.table = element(
      "details",
      { class: "chart-data" },
      element("summary", {}, "Data as a table"),
      this.tableBody,
    );
    this.table.addEventListener("toggle", () => {
      if (this.table.open) this.fillTable();
    });
    this.root.append(this.table);
  }

  fillTable() {
    const list = [...this.series.values()];
    const steps = unionOfSteps(list);
    const shown = steps.slice(-TABLE_ROWS);
    const header = [this.xLabel, ...list.map((series) => series.name)];
    const lookup = list.map((series) => new Map(series.steps.map((step, i) => [step, series.values[i]])));
    const rows = shown.reverse().map((step) => {
      const cells = lookup.map((values) =>
        element("td", { class: "number" }, values.has(step) ? number(values.get(step)) : ""),
      );
      return element("tr", {}, element("th", { scope: "row" }, number(step)), ...cells);
    });
    const words =
      steps.length > TABLE_ROWS ? `The last ${TABLE_ROWS} of ${steps.length} steps; the CSV has all` : "All steps";
    this.tableBody.replaceChildren(
      element(
        "table",
        {},
        element("caption", {}, words),
        element("thead", {}, element("tr", {}, ...header.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...rows),
      ),
    );
  }

  destroy() {
    clearTimeout(this.timer);
    document.removeEventListener("theme:changed", this.onTheme);
    this.resizing.disconnect();
    groups.get(this.group).delete(this);
    this.plot?.destroy();
  }
}

/** The value at an index, or the one before it where a series has no point there. */
function lastAt(column, index) {
  let at = index;
  while (at > 0 && column[at] === undefined) at -= 1;
  return column[at];
}
