// The controls above a wall of charts (templates/runs/_charts.html), and what they are set to, kept in the address:
//
//   chart   what names must contain        x       "time" or "relative" instead of steps
//   smooth  weight of the moving average    xlog, ylog   "1": logarithmic
//   zoom    the part of x that is shown

import { parameter, readSmoothing, readZoom, setParameter, writeSmoothing, writeZoom } from "./chart-state.js";
import { number } from "./format.js";

const X_MODES = ["step", "time", "relative"];

export class ChartTools {
  /**
   * @param {HTMLElement} root  the wall
   * @param {object} on
   * @param {(view: object) => void} on.view  a part of `view` has changed
   * @param {(range: {min, max} | null) => void} on.zoom
   * @param {() => void} on.search
   */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    const mode = parameter("x");
    this.view = {
      xMode: X_MODES.includes(mode) ? mode : "step",
      xLog: parameter("xlog") === "1" && mode !== "time",
      log: parameter("ylog") === "1",
      smoothing: readSmoothing(),
    };
    this.zoomed = readZoom();
    this.sought = parameter("chart") ?? "";
    this.counter = this.find("count");
    this.resetButton = this.find("reset");
    this.xLogInput = this.find("xlog");
    this.resetButton.addEventListener("click", () => this.zoom(null));
    this.bindSearch(this.find("search"));
    this.bindScales(this.find("x"), this.find("ylog"), this.find("smooth"));
    this.show();
  }

  find(name) {
    return this.root.querySelector(`[data-wall-${name}]`);
  }

  bindSearch(search) {
    search.value = this.sought;
    search.addEventListener("input", () => {
      this.sought = search.value;
      setParameter("chart", search.value.trim() || null);
      this.on.search();
    });
  }

  bindScales(mode, yLog, smooth) {
    mode.value = this.view.xMode;
    mode.addEventListener("change", () => {
      setParameter("x", mode.value === "step" ? null : mode.value);
      this.zoom(null); // a step is no second
      this.configure({ xMode: mode.value, xLog: this.view.xLog && mode.value !== "time" });
    });
    this.xLogInput.addEventListener("change", () => this.configure({ xLog: this.xLogInput.checked }));
    yLog.checked = this.view.log;
    yLog.addEventListener("change", () => this.configure({ log: yLog.checked }));
    smooth.value = this.view.smoothing;
    smooth.addEventListener("input", () => {
      writeSmoothing(Number(smooth.value));
      this.configure({ smoothing: Number(smooth.value) });
    });
  }

  configure(view) {
    Object.assign(this.view, view);
    setParameter("xlog", this.view.xLog ? "1" : null);
    setParameter("ylog", this.view.log ? "1" : null);
    this.show();
    this.on.view(view);
  }

  zoom(range) {
    this.zoomed = range;
    writeZoom(range);
    this.show();
    this.on.zoom(range);
  }

  show() {
    this.resetButton.hidden = this.zoomed === null;
    this.xLogInput.checked = this.view.xLog;
    this.xLogInput.disabled = this.view.xMode === "time";
  }

  /** Tell how many charts the search leaves. */
  count(shown, all) {
    const words = all === 1 ? "1 chart" : `${number(all)} charts`;
    this.counter.textContent = shown === all ? words : `${number(shown)} of ${words}`;
  }
}
