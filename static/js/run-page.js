// A run's page, live: its state, and on each tab what grows there. It works on what the page marks:
//
//   [data-run-page]      data-socket="/ws/<id>"; data-seq: the place in the stream that the page goes up to
//   [data-wall]          the charts (chart-source.js)
//   [data-log]           the log
//   [data-live-status], [data-live-elapsed], [data-connection]   the state, the time since the start, the connection
//   form[data-keep-state]   its `next` is the page's address, with what the reader has set since it was loaded
//
// On `document.body` it dispatches `run-changed` when the run's row has changed, `run-metrics` when points came in,
// and `run-files` when files did.

import { ChartSource } from "./chart-source.js";
import { setStatus, toast } from "./dom.js";
import { duration } from "./format.js";
import { LiveConnection } from "./live.js";
import { LogView } from "./log-view.js";
import { startFinding } from "./run-find.js";

const SUMMARY_EVERY = 2000; // ms at least between two readings of the summary
const FILES_EVERY = 1000; // … and of the files

class RunPage {
  constructor(root) {
    this.root = root;
    const log = document.querySelector("[data-log]");
    this.log = log && new LogView(log);
    const wall = document.querySelector("[data-wall]");
    this.charts = wall && new ChartSource(wall);
  }

  async start() {
    startFinding();
    const runs = (await this.charts?.load()) ?? null;
    const logSeen = this.log?.lastId ?? 0;
    this.connection = new LiveConnection(this.root.dataset.socket, {
      lastId: runs ? runs[0].last_id : Number(this.root.dataset.seq),
      indicators: [...document.querySelectorAll("[data-connection]")],
      onMessage: (message) => this.receive(message, logSeen),
    });
    setInterval(() => this.tick(), 1000);
  }

  receive(message, logSeen) {
    if (message.type === "metric") {
      this.charts?.append(message);
      this.summarySoon();
    } else if (message.type === "log") {
      document.querySelector("[data-log-none]")?.remove();
      if (message.id > logSeen) this.log?.append(message);
    } else if (message.type === "run") this.changed(message);
  }

  changed(message) {
    if (message.status) {
      for (const badge of document.querySelectorAll("[data-live-status]")) setStatus(badge, message.status);
    }
    if (message.deleted_at) {
      toast("The run was put into the trash", { tone: "warning", text: "Reload the page to restore it." });
      return;
    }
    if (message.name) for (const node of document.querySelectorAll("[data-run-name]")) node.textContent = message.name;
    if (message.changed?.includes("artifacts")) this.filesSoon();
    else this.refreshHeader();
  }

  /** Many files come one after the other. */
  filesSoon() {
    this.filesTimer ??= setTimeout(() => {
      this.filesTimer = null;
      document.body.dispatchEvent(new CustomEvent("run-files"));
    }, FILES_EVERY);
  }

  /** Read the header anew, but not while somebody is typing into it. */
  refreshHeader() {
    if (document.querySelector("#run-header .inline-edit[open]")) return;
    document.body.dispatchEvent(new CustomEvent("run-changed"));
  }

  summarySoon() {
    this.summaryTimer ??= setTimeout(() => {
      this.summaryTimer = null;
      document.body.dispatchEvent(new CustomEvent("run-metrics"));
    }, SUMMARY_EVERY);
  }

  tick() {
    for (const node of document.querySelectorAll("[data-live-elapsed]")) {
      const since = new Date(node.dataset.since);
      if (!Number.isNaN(since.getTime()))
        node.textContent = duration(Math.max(1, Math.round((Date.now() - since) / 1000)));
    }
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("form[data-keep-state]")) event.target.elements.next.value = location.search.slice(1);
});
document.addEventListener("toggle", (event) => {
  if (event.target.matches?.(".inline-edit") && event.target.open) {
    event.target.querySelector("input:not([type=hidden]), textarea")?.focus();
  }
}, true);

const root = document.querySelector("[data-run-page]");
if (root) new RunPage(root).start();
