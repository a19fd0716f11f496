// Runs side by side (templates/runs/compare.html): the list of runs with their colours, their charts live, the plots.
//
//   [data-compare-run]   data-run-id; a run of the list: its checkbox draws it or not, pointing at it lets it stand out
//   [data-run-sample]    where the piece of its line stands
//   [data-socket]        of a run that still runs; its connection's state stands beside it

import { ChartSource } from "./chart-source.js";
import { parameter, setParameter } from "./chart-state.js";
import { lineSample, styleOf } from "./chart-style.js";
import { ParallelPlot } from "./compare-parallel.js";
import { ScatterPlot } from "./compare-scatter.js";
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
    const hidden = new Set((parameter("hide") ?? "").split(",").filter(Boolean).map(Number));
    for (const row of this.rows) this.bind(row, hidden);
    const data = document.getElementById("plot-data");
    if (data) this.startPlot(JSON.parse(data.textContent), hidden);
    const runs = (await this.charts?.load()) ?? null;
    if (runs) this.follow(runs);
  }

  showSamples() {
    for (const row of this.rows) {
      const { colour, dash } = styleOf(`run-${row.dataset.runId}`);
      row.querySelector("[data-run-sample]").replaceChildren(lineSample(`var(${colour})`, dash));
    }
  }

  bind(row, hidden) {
    const id = Number(row.dataset.runId);
    const box = row.querySelector("input");
    if (!box) return;
    box.checked = !hidden.has(id);
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(id);
      else hidden.add(id);
      setParameter("hide", hidden.size ? [...hidden].join(",") : null);
      this.charts?.wall?.showRun(id, box.checked);
      this.plot?.showRun(id, box.checked);
    });
    const highlight = (on) => {
      this.charts?.wall?.highlight(on);
      this.plot?.highlight(on);
    };
    row.addEventListener("pointerenter", () => highlight(id));
    row.addEventListener("pointerleave", () => highlight(null));
    row.addEventListener("focusin", () => highlight(id));
    row.addEventListener("focusout", () => highlight(null));
  }

  startPlot(data, hidden) {
    const parallel = this.root.querySelector("[data-parallel]");
    const scatter = this.root.querySelector("[data-scatter]");
    if (parallel) this.plot = new ParallelPlot(parallel, { ...data, hidden });
    if (scatter) this.plot = new ScatterPlot(scatter, { ...data, hidden });
  }

  follow(runs) {
    const running = runs.filter((run) => run.status === "running");
    const rowOf = (run) => this.rows.find((one) => Number(one.dataset.runId) === run.id);
    for (const run of running.slice(MOST_SOCKETS)) {
      const indicator = rowOf(run)?.querySelector("[data-connection]");
      if (!indicator) continue;
      indicator.dataset.state = "ended";
      indicator.querySelector(".connection-text").textContent = "as of now";
      indicator.title = `Only ${MOST_SOCKETS} runs are followed; reload the page for the newest points.`;
    }
    for (const run of running.slice(0, MOST_SOCKETS)) {
      const row = rowOf(run);
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
