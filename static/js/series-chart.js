// Line charts of metric series, drawn by uPlot into templates/partials/chart.html.
//
//   const chart = new SeriesChart(section, { title: "loss" });
//   chart.set("train_loss", [0, 1, 2], [0.9, 0.7, 0.6]);
//   chart.append("train_loss", 3, 0.5);
//
// Charts of one `group` share cursor, zoom and smoothing. Series are told apart by dashes as well as by colour.

import uPlot from "../vendor/uplot-1.6.32/uPlot.esm.js";
import { saveCsv, savePng } from "./chart-export.js";
import { columnsOf, drawOddPoints, layoutOf, plotOptions, xWords } from "./chart-plot.js";
import { cssColour, lineSample, styleOf } from "./chart-style.js";
import { chartLabel, pointsTable, tableDisclosure } from "./chart-table.js";
import { element } from "./dom.js";
import { number } from "./format.js";
import { Series } from "./series-data.js";

const DRAW_EVERY = 100; // ms at most between a point's arrival and its being drawn
const NEAR = 24; // px between the pointer and the line that it is taken to mean, where the legend only tells of one

const groups = new Map(); // name -> Set of charts

export class SeriesChart {
  /**
   * @param {HTMLElement} root  partials/chart.html
   * @param {object} options
   * @param {string} options.title
   * @param {string} [options.group]  charts of a group move together
   * @param {boolean} [options.shared]  scales and smoothing are set for all charts of the page (`configure`): the
   *   chart has no controls of its own for them
   * @param {boolean} [options.hoverLegend]  there are too many lines for a legend: it names the one under the pointer
   * @param {string} [options.unit]  what x counts where it is neither time: "step"
   * @param {(range: {min: number, max: number} | null) => void} [options.onZoom]  the reader zoomed this chart's
   *   group (null: out again), e.g. to fetch the range in more detail
   * @param {(weight: number) => void} [options.onSmooth]
   */
  constructor(root, options) {
    const { title, group = "page", shared = false, hoverLegend = false, unit = "step" } = options;
    this.root = root;
    this.title = title;
    this.unit = unit;
    this.group = group;
    this.hoverLegend = hoverLegend;
    this.onZoom = options.onZoom ?? (() => {});
    this.onSmooth = options.onSmooth ?? (() => {});
    this.plotRoot = root.querySelector(".chart-plot");
    this.legend = root.querySelector(".chart-legend");
    this.series = new Map();
    this.layout = [];
    this.zoomed = null;
    this.view = { xMode: "step", xLog: false, log: false, smoothing: 0 };
    this.buildTools(root.querySelector(".chart-tools"), shared);
    this.table = tableDisclosure(title, (body) => body.replaceChildren(pointsTable([...this.series.values()], unit)));
    root.append(this.table);
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

  /** Draw these Series, which others keep, and nothing else; tell by `drawSoon` when their points have changed. */
  show(list) {
    this.series = new Map(list.map((series) => [series, series]));
    this.stale = true;
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
    return columnsOf(this.layout, this.view);
  }

  // --- Drawing -----------------------------------------------------------------------------------------------------

  draw() {
    if (!this.series.size) return;
    const lines = layoutOf([...this.series.values()], this.view.smoothing).length;
    if (this.stale || !this.plot || lines !== this.layout.length) {
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
    this.layout = layoutOf([...this.series.values()], this.view.smoothing);
    const look = { root: this.root, ...this.view };
    this.plot = new uPlot(
      {
        ...this.size(),
        ...plotOptions(this.layout, { ...look, range: (least, greatest) => this.xRange(least, greatest) }),
        cursor: {
          sync: { key: this.group },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => this.zoomGroup(null) },
          ...(this.hoverLegend ? { focus: { prox: NEAR } } : {}),
        },
        hooks: {
          draw: [(plot) => drawOddPoints(plot, this.layout, look)],
          setSelect: [(plot) => this.selected(plot)],
          setCursor: [() => this.updateLegend()],
          setSeries: [(_, index, options) => this.focused(index, options)],
        },
      },
      this.columns(),
      this.plotRoot,
    );
    this.buildLegend();
    this.describe();
  }

  xRange(least, greatest) {
    if (this.zoomed) return [this.zoomed.min, this.zoomed.max];
    if (least === null) return this.view.xLog ? [1, 10] : [0, 1];
    if (least !== greatest) return [least, greatest];
    return this.view.xLog ? [least / 2, least * 2] : [least - 1, greatest + 1];
  }

  size() {
    return { width: Math.max(this.plotRoot.clientWidth, 120), height: this.plotRoot.clientHeight };
  }

  resize() {
    const { width, height } = this.size();
    if (this.plot && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  // --- Zoom, scales, smoothing -------------------------------------------------------------------------------------

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

  /** Show what lies in `range` ({min, max}) of x; null: all. */
  zoom(range) {
    this.zoomed = range;
    this.resetButton.hidden = range === null;
    if (this.plot) this.plot.setData(this.columns());
  }

  /** @param {object} view  some of: xMode ("step", "time", "relative"), xLog, log, smoothing (0 … 0.99) */
  configure(view) {
    Object.assign(this.view, view);
    this.rebuild();
  }

  setLog(on) {
    this.logButton.setAttribute("aria-pressed", String(on));
    this.configure({ log: on });
  }

  smoothGroup(weight) {
    for (const chart of groups.get(this.group)) chart.smooth(weight);
    this.onSmooth(weight);
  }

  /** @param {number} weight  of the past in the moving average, 0 (raw) … 0.99 */
  smooth(weight) {
    this.smoothInput.value = weight;
    this.configure({ smoothing: weight });
  }

  buildTools(tools, shared) {
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
    tools.replaceChildren(
      this.resetButton,
      ...(shared ? [] : this.scaleTools(button)),
      button("PNG", "Save as picture", () => savePng(this)),
      button("CSV", "Save the points as CSV", () => saveCsv(this)),
    );
  }

  scaleTools(button) {
    this.logButton = button("Log", "Logarithmic scale", () => this.setLog(!this.view.log));
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
    const words = "Exponential moving average; the raw line stays behind it";
    return [element("label", { title: words }, "Smooth", this.smoothInput), this.logButton];
  }

  // --- Legend and words --------------------------------------------------------------------------------------------

  buildLegend() {
    this.stepNode = element("li", { class: "chart-step", "aria-hidden": "true" });
    this.legendItems = [];
    if (this.hoverLegend) {
      this.nearNode = element("li", { class: "chart-near", "aria-hidden": "true" });
      this.legend.replaceChildren(this.nearNode, this.stepNode);
    } else {
      const items = [...this.series.values()].map((series) => this.legendItem(series));
      this.legend.replaceChildren(...items, this.stepNode);
    }
    this.updateLegend();
  }

  legendItem(series) {
    const { colour, dash } = styleOf(series.key);
    const value = element("span", { class: "chart-legend-value" });
    const toggle = element("button", { type: "button", "aria-pressed": String(series.visible) });
    toggle.append(lineSample(cssColour(colour, this.root), this.series.size > 1 ? dash : []), series.name, value);
    toggle.addEventListener("click", () => this.toggle(series, toggle));
    toggle.addEventListener("pointerenter", () => this.focus(series));
    toggle.addEventListener("pointerleave", () => this.focus(null));
    this.legendItems.push({ series, value });
    return element("li", {}, toggle);
  }

  toggle(series, button) {
    series.visible = !series.visible;
    button.setAttribute("aria-pressed", String(series.visible));
    this.layout.forEach((line, i) => {
      if (line.series === series) this.plot.setSeries(i + 1, { show: series.visible });
    });
  }

  /** Let a series stand out; null: none. */
  focus(series) {
    const at = this.mainColumn(series);
    this.plot?.setSeries(at > 0 ? at : null, { focus: true });
  }

  focused(index, options) {
    if (!this.hoverLegend || !("focus" in options)) return;
    this.near = index === null ? null : (this.layout[index - 1]?.series ?? null);
    this.updateLegend();
  }

  mainColumn(series) {
    return this.layout.findIndex((line) => line.series === series && line.role === "main") + 1;
  }

  updateLegend() {
    if (!this.legendItems || !this.plot) return;
    const at = this.plot.cursor.idx;
    const hovering = at !== null && at !== undefined;
    const valueOf = (series) => {
      const column = this.plot.data[this.mainColumn(series)];
      const value = hovering && column ? lastAt(column, at) : series.values.at(-1);
      return value === undefined ? "" : number(value);
    };
    for (const { series, value } of this.legendItems) value.textContent = valueOf(series);
    if (this.hoverLegend) {
      const near = hovering ? this.near : null;
      this.nearNode.textContent = near ? `${near.name} ${valueOf(near)}` : "";
    }
    this.stepNode.textContent = hovering ? xWords(this.plot.data[0][at], this.view.xMode, this.unit) : "";
  }

  describe() {
    this.plotRoot.setAttribute("role", "img");
    this.plotRoot.setAttribute("aria-label", chartLabel(this.title, [...this.series.values()], this.unit));
    if (this.table.open) this.table.lastElementChild.replaceChildren(pointsTable([...this.series.values()], this.unit));
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
