// A run's charts: one a metric, `train_loss` and `val_loss` together, made as metrics appear. A metric of one point
// is a number and no line: it stands in the list below the charts. Zoom and smoothing are kept in the address.

import { readSmoothing, readZoom, writeSmoothing, writeZoom } from "./chart-state.js";
import { element } from "./dom.js";
import { metricValue, number } from "./format.js";
import { SeriesChart } from "./series-chart.js";

const ROLES = ["train", "val", "test"]; // a prefix of a metric's name; the same look in every chart
const DETAIL_DELAY = 150; // ms
const MAX_POINTS = 2000;

/** "train_loss" -> { title: "loss", key: "train" } */
export function place(name) {
  const role = ROLES.find((prefix) => name.startsWith(`${prefix}_`) || name.startsWith(`${prefix}/`));
  return role ? { title: name.slice(role.length + 1), key: role } : { title: name, key: ROLES[0] };
}

export class ChartBoard {
  /**
   * @param {HTMLElement} root  partials/charts.html
   * @param {string} options.url  of the series' JSON, asked again with `min_step` and `max_step` for a zoomed range
   */
  constructor(root, { url }) {
    this.root = root;
    this.url = url;
    this.grid = root.querySelector(".charts");
    this.placeholder = root.querySelector("[data-charts-placeholder]");
    this.template = root.querySelector("template");
    this.values = root.querySelector("[data-chart-values]");
    this.charts = new Map();
    this.drawn = new Set(); // names of the metrics that have a line
    this.single = new Map(); // name -> { step, value, node } of those that have one point so far
    this.zoomed = readZoom();
    this.smoothing = readSmoothing();
  }

  /** @param {{name: string, steps: number[], values: (number|string)[]}[]} seriesList */
  load(seriesList) {
    for (const { name, steps, values } of seriesList) {
      if (steps.length === 1) {
        this.append(name, steps[0], metricValue(values[0]));
      } else {
        const { title, key } = place(name);
        this.drawn.add(name);
        this.chart(title).set(name, steps, values.map(metricValue), { key });
      }
    }
    if (this.zoomed) this.fetchDetail();
    this.say("No metrics yet. They are drawn here as they come in.");
  }

  /** Nothing comes any more: where no line was drawn, the values stand alone. */
  finish() {
    if (this.drawn.size) return;
    this.say("This job recorded no metrics.");
    if (this.single.size === 0) return;
    this.grid.hidden = true;
    this.values.open = true;
  }

  failed() {
    this.say(
      "The stored points could not be read; new ones are drawn as they come in. Reload the page to try again.",
    );
  }

  append(name, step, value) {
    const { title, key } = place(name);
    const first = this.single.get(name);
    if (!this.drawn.has(name)) {
      if (!first || first.step === step) {
        this.showValue(name, step, value);
        return;
      }
      first.node.remove();
      this.single.delete(name);
      this.countValues();
      this.drawn.add(name);
      this.chart(title).append(name, first.step, first.value, { key });
    }
    this.chart(title).append(name, step, value, { key });
  }

  showValue(name, step, value) {
    let node = this.single.get(name)?.node;
    if (!node) {
      node = element("div", {}, element("dt", {}, name), element("dd"));
      this.values.querySelector("dl").append(node);
    }
    node.lastElementChild.textContent = number(value);
    this.single.set(name, { step, value, node });
    this.countValues();
  }

  countValues() {
    const count = this.single.size;
    this.values.hidden = count === 0;
    this.values.querySelector("summary").textContent =
      count === 1 ? "1 metric with one value" : `${count} metrics with one value`;
  }

  say(words) {
    if (this.placeholder) this.placeholder.textContent = words;
  }

  chart(title) {
    let chart = this.charts.get(title);
    if (!chart) {
      const section = this.template.content.firstElementChild.cloneNode(true);
      section.setAttribute("aria-label", title);
      section.querySelector(".chart-title").textContent = title;
      this.placeholder?.remove();
      this.placeholder = null;
      this.grid.append(section);
      chart = new SeriesChart(section, {
        title,
        onZoom: (range) => this.zoomChanged(range),
        onSmooth: (weight) => {
          this.smoothing = weight;
          writeSmoothing(weight);
        },
      });
      if (this.smoothing) chart.smooth(this.smoothing);
      if (this.zoomed) chart.zoom(this.zoomed);
      this.charts.set(title, chart);
    }
    return chart;
  }

  zoomChanged(range) {
    this.zoomed = range;
    writeZoom(range);
    if (range) {
      clearTimeout(this.detailTimer);
      this.detailTimer = setTimeout(() => this.fetchDetail(), DETAIL_DELAY);
    }
  }

  /** The stored points of the zoomed range, which the down-sampled first answer may have left out. */
  async fetchDetail() {
    const { min, max } = this.zoomed;
    const query = new URLSearchParams({
      max_points: MAX_POINTS,
      min_step: Math.floor(min),
      max_step: Math.ceil(max),
    });
    try {
      const response = await fetch(`${this.url}?${query}`, { headers: { Accept: "application/json" } });
      if (!response.ok) return;
      const { series } = await response.json();
      for (const { name, steps, values } of series) {
        if (!this.drawn.has(name)) continue;
        const { title, key } = place(name);
        this.chart(title).merge(name, steps, values.map(metricValue), { key });
      }
    } catch {
      // What is drawn already stays; the next zoom asks again.
    }
  }
}
