// The curves of a training over its epochs: losses and scores, of what was learnt from and of what was held out.
// A run's series are over steps; the series `epoch` says at which step each epoch ended.

import { place } from "./chart-board.js";
import { metricValue } from "./format.js";
import { SeriesChart } from "./series-chart.js";

const WANTED = /^(train|val)[_/]|^learning_rate$/;
const FIRST = ["loss"];
const LAST = ["learning_rate"];

/** A function from a step to the epochs that were over by then, as a fraction. */
export function epochsAt({ steps, values }) {
  const ends = [0, ...steps];
  const epochs = [0, ...values.map(metricValue)];
  return (step) => {
    let i = ends.findIndex((end) => end >= step);
    if (i === 0) return 0;
    if (i < 0) i = ends.length - 1; // beyond the last epoch: at its rate
    const rate = (epochs[i] - epochs[i - 1]) / (ends[i] - ends[i - 1] || 1);
    return epochs[i - 1] + (step - ends[i - 1]) * rate;
  };
}

function rank(title) {
  if (FIRST.includes(title)) return 0;
  return LAST.includes(title) ? 2 : 1;
}

export class TrainingCurves {
  /** @param {HTMLElement} root  [data-curves]: the address of the run's series */
  constructor(root) {
    this.root = root;
    this.grid = root.querySelector(".charts");
    this.placeholder = root.querySelector("[data-curves-placeholder]");
    this.charts = new Map();
  }

  async load() {
    let series;
    try {
      const response = await fetch(`${this.root.dataset.curves}?max_points=2000`, {
        headers: { Accept: "application/json" },
      });
      if (!response.ok) throw new Error(`series: HTTP ${response.status}`);
      ({ series } = await response.json());
    } catch {
      this.placeholder.textContent = "The curves could not be read. Reload the page to try again.";
      return;
    }
    const ends = series.find(({ name }) => name === "epoch");
    if (!ends) {
      this.placeholder.textContent = "The run's metrics are gone.";
      return;
    }
    const epochAt = epochsAt(ends);
    this.placeholder.remove();
    const lines = series
      .filter(({ name }) => WANTED.test(name))
      .map(({ name, steps, values }) => ({ name, steps, values, ...place(name) }))
      .sort((a, b) => rank(a.title) - rank(b.title));
    for (const { name, steps, values, title, key } of lines)
      this.chart(title).set(name, steps.map(epochAt), values.map(metricValue), { key });
  }

  chart(title) {
    let chart = this.charts.get(title);
    if (!chart) {
      const section = this.root.querySelector("template").content.firstElementChild.cloneNode(true);
      section.setAttribute("aria-label", title);
      section.querySelector(".chart-title").textContent = title.replaceAll("_", " ");
      this.grid.append(section);
      chart = new SeriesChart(section, { title, unit: "epoch" });
      this.charts.set(title, chart);
    }
    return chart;
  }
}
