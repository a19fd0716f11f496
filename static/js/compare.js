// Runs side by side (templates/runs/compare.html): the list of runs with their colours and their charts, live.
//
//   [data-compare-run]   data-run-id; a run of the list: its checkbox draws it or not, pointing at it lets it stand out
//   [data-run-sample]    where the piece of its line stands
//   [data-socket]        of a run that still runs; its connection's state stands beside it

import { ChartSource } from "./chart-source.js";
import { cssColour, lineSample, styleOf } from "./chart-style.js";
import { parameter } from "./chart-state.js";
import { setStatus } from "./dom.js";
import { LiveConnection } from "./live.js";

const MOST_SOCKETS = 10; // browsers allow few; the other runs' lines stand still until the page is loaded again

class ComparePage {
  constructor(root) {
    this.root = root;
    this.rows = [...root.querySelectorAll("[data-compare-run]")];
    const wall = root.querySelector("[data-wall]");
    this.charts = wall && new ChartSource(wall);
  }

  async start() {
    this.showSamples();
    document.addEventListener("theme:changed", () => this.showSamples());
    const hidden = new Set((parameter("hide") ?? "").split(",").filter(Boolean).map(Number));
    for (const row of this.rows) this.bind(row, hidden);
    const runs = (await this.charts?.load()) ?? null;
    if (runs) this.follow(runs);
  }

  showSamples() {
    for (const row of this.rows) {
      const { colour, dash } = styleOf(`run-${row.dataset.runId}`);
      row.querySelector("[data-run-sample]").replaceChildren(lineSample(cssColour(colour, row), dash));
    }
  }

  bind(row, hidden) {
    const id = Number(row.dataset.runId);
    const box = row.querySelector("input");
    if (!box) return;
    box.checked = !hidden.has(id);
    box.addEventListener("change", () => {
      this.charts?.wall?.showRun(id, box.checked);
    });
    const highlight = (on) => this.charts?.wall?.highlight(on);
    row.addEventListener("pointerenter", () => highlight(id));
    row.addEventListener("pointerleave", () => highlight(null));
    row.addEventListener("focusin", () => highlight(id));
    row.addEventListener("focusout", () => highlight(null));
  }

  follow(runs) {
    const running = runs.filter((run) => run.status === "running").slice(0, MOST_SOCKETS);
    for (const run of running) {
      const row = this.rows.find((one) => Number(one.dataset.runId) === run.id);
      new LiveConnection(`/ws/${run.id}`, {
        lastId: run.last_id,
        indicators: [...(row?.querySelectorAll("[data-connection]") ?? [])],
        onMessage: (message) => {
          if (message.type === "metric") this.charts.append(message);
          else if (message.status && row) setStatus(row.querySelector(".badge"), message.status);
        },
      });
    }
  }
}

const root = document.querySelector("[data-compare]");
if (root) new ComparePage(root).start();
