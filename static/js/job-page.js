// The job page: progress, log and charts, live. It works on what the page marks:
//
//   [data-job-page]       data-socket="/ws/jobs/<uuid>"; data-series="/ui/runs/<id>/series.json" (absent: no charts);
//                         data-final (present: the job has ended, nothing is live)
//   [data-live-status]    status badges
//   [data-live-progress]  progress bars; their note is the message and the time left
//   [data-live-attempt]   number of the attempt
//   [data-live-elapsed]   data-since="<ISO>"; ticks while the job runs
//   [data-live-metrics]   <dl> of last values
//   [data-charts], [data-log], [data-connection]   the partials
//
// On `document.body` it dispatches `job-changed` when the status changes and `job-ended` at the end, for
// hx-trigger="job-ended from:body".

import { element, setStatus } from "./dom.js";
import { duration, metricValue, number, percent } from "./format.js";
import { LiveConnection } from "./live.js";
import { LogView } from "./log-view.js";
import { ChartBoard } from "./chart-board.js";

async function fetchSeries(url) {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`series: HTTP ${response.status}`);
  return response.json();
}

class JobPage {
  constructor(root) {
    this.root = root;
    // The marks may stand anywhere in the page, e.g. beside its heading.
    this.status = document.querySelector("[data-live-status]")?.dataset.status;
    const log = document.querySelector("[data-log]");
    this.log = log && new LogView(log);
    const charts = document.querySelector("[data-charts]");
    this.board = charts && root.dataset.series ? new ChartBoard(charts, { url: root.dataset.series }) : null;
    this.metrics = new Map();
    for (const node of document.querySelectorAll("[data-live-metrics] dd[data-metric]"))
      this.metrics.set(node.dataset.metric, node);
    this.pageTitle = document.title;
  }

  async start() {
    const logSeen = this.log?.lastId ?? 0;
    let chartsSeen = 0;
    if (this.board) {
      try {
        const data = await fetchSeries(`${this.root.dataset.series}?max_points=2000`);
        chartsSeen = data.last_id;
        this.board.load(data.series);
      } catch {
        // Without the stored series the stream is read from its start: the charts fill all the same.
        this.board.failed();
      }
    }
    if ("final" in this.root.dataset) {
      this.board?.finish();
      return;
    }
    // The page's log and the charts' data may have been read at different moments: resume after the older of the
    // two, and skip what the other has already.
    const lastId = this.board ? Math.min(logSeen, chartsSeen) : logSeen;
    this.connection = new LiveConnection(this.root.dataset.socket, {
      lastId,
      indicators: [...document.querySelectorAll("[data-connection]")],
      onMessage: (message) => this.receive(message, { logSeen, chartsSeen }),
    });
    this.clock = setInterval(() => this.tick(), 1000);
  }

  receive(message, { logSeen, chartsSeen }) {
    if (message.type === "metric") {
      if (message.id > chartsSeen) this.board?.append(message.name, message.step, metricValue(message.value));
      this.showMetric(message.name, metricValue(message.value));
    } else if (message.type === "log") {
      if (message.id > logSeen) this.log?.append(message);
    } else if (message.type === "job") this.showJob(message);
    else if (message.type === "end") this.ended();
  }

  showJob({ status, progress, message, eta_seconds: eta, attempt }) {
    for (const badge of document.querySelectorAll("[data-live-status]")) setStatus(badge, status);
    const left = status === "running" && Number.isFinite(eta) ? `about ${duration(Math.ceil(eta))} left` : "";
    for (const node of document.querySelectorAll("[data-live-progress]")) {
      node.querySelector("progress").value = progress;
      node.querySelector(".progress-value").textContent = percent(progress);
      const note = node.querySelector(".progress-note");
      const words = [message, left].filter(Boolean).join(" · ");
      // A waiting job's own message is empty; the page's word on what it waits for stands until it runs.
      if (note && (words || status !== "pending")) note.textContent = words;
    }
    if (attempt) for (const node of document.querySelectorAll("[data-live-attempt]")) node.textContent = attempt;
    document.title = status === "running" ? `${percent(progress)} · ${this.pageTitle}` : this.pageTitle;
    if (status !== this.status) {
      this.status = status;
      document.body.dispatchEvent(new CustomEvent("job-changed", { detail: { status } }));
    }
  }

  showMetric(name, value) {
    const list = document.querySelector("[data-live-metrics]");
    if (!list) return;
    let node = this.metrics.get(name);
    if (!node) {
      node = element("dd", { "data-metric": name });
      list.append(element("dt", {}, name), node);
      list.hidden = false;
      this.metrics.set(name, node);
    }
    node.textContent = number(value);
  }

  tick() {
    if (this.status !== "running") return;
    for (const node of document.querySelectorAll("[data-live-elapsed]")) {
      const since = new Date(node.dataset.since);
      if (!Number.isNaN(since.getTime()))
        node.textContent = duration(Math.max(1, Math.round((Date.now() - since) / 1000)));
    }
  }

  ended() {
    clearInterval(this.clock);
    document.title = this.pageTitle;
    this.board?.finish();
    document.body.dispatchEvent(new CustomEvent("job-ended", { detail: { status: this.status } }));
  }
}

const root = document.querySelector("[data-job-page]");
if (root) new JobPage(root).start();
