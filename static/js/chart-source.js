// From the page's mark to a wall of charts: reads which metrics the runs have, and builds the wall once there are any.

import { ChartWall } from "./chart-wall.js";

export class ChartSource {
  /** @param {HTMLElement} root  templates/runs/_charts.html */
  constructor(root) {
    this.root = root;
    this.placeholder = root.querySelector("[data-wall-placeholder]");
    this.empty = root.querySelector("[data-wall-empty]");
    this.tools = root.querySelector(".wall-tools");
    this.wall = null;
  }

  /** The runs as the server has them (names.json), each with `last_id`; null where they could not be read. */
  async load() {
    try {
      const response = await fetch(this.root.dataset.names, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`names: HTTP ${response.status}`);
      const { runs, series } = await response.json();
      this.wall = new ChartWall(this.root, { runs, series, url: this.root.dataset.points });
      this.placeholder.hidden = true;
      this.showEmpty(series.length === 0);
      return runs;
    } catch {
      this.placeholder.textContent = "The metrics could not be read. Reload the page to try again.";
      return null;
    }
  }

  append(message) {
    this.showEmpty(false);
    this.wall?.append(message);
  }

  showEmpty(isEmpty) {
    this.empty.hidden = !isEmpty;
    this.tools.hidden = isEmpty;
  }
}
