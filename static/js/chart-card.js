// A chart's place on a wall (chart-wall.js): empty until it is seen, emptied again when it is far away.

import { lineSample, styleOf } from "./chart-style.js";
import { element } from "./dom.js";
import { number } from "./format.js";
import { SeriesChart } from "./series-chart.js";

const LEGEND_LINES = 6; // a longer legend would be taller than its chart

export class ChartCard {
  /**
   * @param {string} title
   * @param {HTMLTemplateElement} template  with partials/chart.html
   */
  constructor(title, template) {
    this.title = title;
    this.template = template;
    this.names = new Set(); // of the metrics drawn in it
    this.seen = false;
    this.chart = null;
    this.node = element("section", { class: "card chart chart-idle", "aria-label": title });
    this.node.append(element("h3", { class: "chart-title" }, title));
  }

  /** Draw these Series. `options` are SeriesChart's, `view` what it is configured by. */
  draw(list, { options, view, zoom }) {
    if (!this.chart) {
      const part = this.template.content.firstElementChild.cloneNode(true);
      part.querySelector(".chart-title").textContent = this.title;
      this.node.classList.remove("chart-idle");
      this.node.replaceChildren(...part.children);
      const hoverLegend = list.length > LEGEND_LINES;
      this.chart = new SeriesChart(this.node, { title: this.title, shared: true, hoverLegend, ...options });
      this.chart.configure(view);
      if (zoom) this.chart.zoom(zoom);
    }
    this.chart.show(list);
  }

  /** Values of runs that have one each, as bars: [{ key, name, value }]. */
  drawBars(rows) {
    const greatest = Math.max(...rows.map(({ value }) => (Number.isFinite(value) ? Math.abs(value) : 0))) || 1;
    const items = rows.map(({ key, name, value }) => {
      const { colour, dash } = styleOf(key);
      const sample = lineSample(`var(${colour})`, dash);
      const label = element("span", { class: "bars-label" }, sample, ` ${name}`);
      const bar = element("progress", { max: greatest, value: Number.isFinite(value) ? Math.abs(value) : 0 });
      bar.setAttribute("aria-label", `${this.title} of ${name}`);
      return element("li", {}, label, bar, element("span", { class: "number" }, number(value)));
    });
    this.node.classList.remove("chart-idle");
    this.node.replaceChildren(
      element("h3", { class: "chart-title" }, this.title),
      element("ul", { class: "bars chart-bars" }, ...items),
    );
  }

  say(words) {
    if (this.chart) return;
    this.node.replaceChildren(
      element("h3", { class: "chart-title" }, this.title),
      element("p", { class: "chart-empty" }, words),
    );
  }

  /** Give back what the drawing takes; what has the focus stays. */
  clear() {
    if (this.node.contains(document.activeElement)) return;
    this.chart?.destroy();
    this.chart = null;
    this.node.classList.add("chart-idle");
    this.node.replaceChildren(element("h3", { class: "chart-title" }, this.title));
  }
}
