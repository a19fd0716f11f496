// Parallel coordinates: an axis for each chosen value, a line for each run. An axis is narrowed by dragging along it,
// or by the two sliders that it has below the plot. In the address: `axis` (several), `brush` (several: key=low..high).

import { parameters, setParameter } from "./chart-state.js";
import { styleOf } from "./chart-style.js";
import { Scale, short, svg, wantsLog } from "./compare-scale.js";
import { element } from "./dom.js";

const HEIGHT = 380;
const TOP = 48;
const BOTTOM = 24;
const SIDE = 60;
const LEAST_GAP = 105; // px between axes; more of them scroll
const FIRST_AXES = 7;
const WHOLE = { low: 0, high: 1 };

export class ParallelPlot {
  /** @param {HTMLElement} root  templates/runs/_parallel.html */
  constructor(root, { runs, axes, hidden }) {
    this.runs = runs;
    this.axes = new Map(axes.map((axis) => [axis.key, axis]));
    this.hidden = hidden;
    this.place = root.querySelector("[data-plot]");
    this.counter = root.querySelector("[data-plot-count]");
    this.sliders = root.querySelector("[data-brushes]");
    this.chosen = this.readAxes(axes);
    this.brushes = new Map(parameters("brush").map(readBrush).filter(Boolean));
    this.buildPicker(root.querySelector("[data-axis-picker]"), axes);
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.place);
    this.buildSliders();
    this.draw();
  }

  readAxes(axes) {
    const asked = parameters("axis").filter((key) => this.axes.has(key));
    if (asked.length) return asked;
    const varying = axes.filter((axis) => axis.varies);
    // Config first, what came of it at the right.
    const config = varying.filter((axis) => !axis.metric).slice(0, FIRST_AXES - 2);
    const metrics = varying.filter((axis) => axis.metric).slice(0, FIRST_AXES - config.length);
    return [...config, ...metrics].map((axis) => axis.key);
  }

  buildPicker(picker, axes) {
    picker.append(
      ...axes.map((axis) => {
        const box = element("input", { type: "checkbox" });
        box.checked = this.chosen.includes(axis.key);
        box.addEventListener("change", () => this.choose(axis.key, box.checked));
        return element("label", {}, box, element("span", {}, axis.label));
      }),
    );
  }

  choose(key, on) {
    this.chosen = on ? [...this.chosen, key] : this.chosen.filter((one) => one !== key);
    if (!on) this.brushes.delete(key);
    setParameter("axis", this.chosen);
    this.buildSliders();
    this.brushed();
  }

  // --- Narrowing ---------------------------------------------------------------------------------------------------

  buildSliders() {
    this.sliders.replaceChildren(
      ...this.chosen.map((key) => {
        const axis = this.axes.get(key);
        const scale = new Scale(axis.values, [0, 1], wantsLog(axis.values));
        const slider = (edge, words) => {
          const input = element("input", { type: "range", min: 0, max: 1, step: 0.01, "data-edge": edge });
          input.value = (this.brushes.get(key) ?? WHOLE)[edge];
          input.setAttribute("aria-label", `${words} of ${axis.label}`);
          const tell = () => input.setAttribute("aria-valuetext", scale.words(Number(input.value)) ?? "");
          tell();
          input.addEventListener("input", () => {
            tell();
            this.brush(key, { ...WHOLE, ...this.brushes.get(key), [edge]: Number(input.value) });
          });
          return input;
        };
        const legend = element("legend", {}, axis.label);
        const sliders = [slider("low", "From"), slider("high", "To")];
        return element("fieldset", { class: "axis-brush", "data-key": key }, legend, ...sliders);
      }),
    );
  }

  /** Keep the runs between two shares (0..1) of an axis. */
  brush(key, { low, high }) {
    if (low <= 0 && high >= 1) this.brushes.delete(key);
    else this.brushes.set(key, { low: Math.min(low, high), high: Math.max(low, high) });
    this.brushed();
  }

  brushed() {
    const words = [...this.brushes].map(([key, { low, high }]) => `${key}=${low.toFixed(2)}..${high.toFixed(2)}`);
    setParameter("brush", words);
    this.draw();
  }

  keeps(index) {
    if (this.hidden.has(this.runs[index].id)) return false;
    return [...this.brushes].every(([key, { low, high }]) => {
      const share = this.chosen.includes(key) ? this.scales?.get(key)?.share(this.axes.get(key).values[index]) : 0.5;
      return share !== null && share !== undefined && share >= low - 0.006 && share <= high + 0.006;
    });
  }

  // --- Drawing -----------------------------------------------------------------------------------------------------

  draw() {
    const room = this.place.clientWidth - 24;
    const gaps = Math.max(1, this.chosen.length - 1);
    const width = Math.max(room, 2 * SIDE + gaps * LEAST_GAP);
    const gap = (width - 2 * SIDE) / gaps;
    const range = [HEIGHT - BOTTOM, TOP];
    this.scales = new Map(
      this.chosen.map((key) => {
        const { values } = this.axes.get(key);
        return [key, new Scale(values, range, wantsLog(values))];
      }),
    );
    const at = (i) => SIDE + i * gap;
    const kept = this.runs.filter((_, index) => this.keeps(index));
    const label = `Parallel coordinates of ${this.runs.length} runs over ${this.chosen.length} values`;
    const plot = svg("svg", { width, height: HEIGHT, role: "img", "aria-label": label });
    plot.append(...this.runs.map((run, index) => this.line(run, index, at)).filter(Boolean));
    this.chosen.forEach((key, i) => plot.append(...this.axis(key, at(i))));
    const nothing = element("p", { class: "chart-empty" }, "Choose axes first.");
    this.place.replaceChildren(this.chosen.length ? plot : nothing);
    this.counter.textContent = this.brushes.size
      ? `${kept.length} of ${this.runs.length} runs: ${kept.map((run) => run.name).join(", ") || "none"}`
      : "Drag along an axis to keep the runs in a part of it; double click to keep all again.";
    for (const box of this.sliders.children) {
      for (const input of box.querySelectorAll("input")) {
        input.value = (this.brushes.get(box.dataset.key) ?? WHOLE)[input.dataset.edge];
      }
    }
  }

  line(run, index, at) {
    if (this.hidden.has(run.id)) return null;
    let path = "";
    let pen = "M";
    this.chosen.forEach((key, i) => {
      const y = this.scales.get(key).place(this.axes.get(key).values[index]);
      if (y === null) {
        pen = "M"; // the run has no such value: the line breaks
        return;
      }
      path += `${pen}${at(i)} ${y}`;
      pen = "L";
    });
    const { colour, dash } = styleOf(`run-${run.id}`);
    const classes = this.keeps(index) ? "plot-line" : "plot-line is-out";
    const line = svg("path", { d: path, class: classes, stroke: `var(${colour})`, "data-run": run.id });
    if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
    line.append(svg("title", {}, run.name));
    return line;
  }

  axis(key, x) {
    const axis = this.axes.get(key);
    const scale = this.scales.get(key);
    const title = svg("text", { x, y: 18, "text-anchor": "middle", class: "plot-title" }, short(axis.label));
    title.append(svg("title", {}, axis.label));
    const parts = [
      title,
      svg("text", { x, y: 33, "text-anchor": "middle" }, scale.log ? "log" : ""),
      svg("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, class: "plot-axis" }),
      ...scale.ticks().map(({ at, text }) => svg("text", { x: x + 5, y: at + 4 }, short(text, 14))),
    ];
    const brush = this.brushes.get(key);
    const length = HEIGHT - BOTTOM - TOP;
    if (brush) {
      const y = HEIGHT - BOTTOM - brush.high * length;
      const height = Math.max(2, (brush.high - brush.low) * length);
      parts.push(svg("rect", { x: x - 8, y, width: 16, height, class: "plot-brush" }));
    }
    const hit = svg("rect", { x: x - 14, y: TOP - 6, width: 28, height: length + 12, class: "plot-hit" });
    hit.addEventListener("pointerdown", (event) => this.drag(event, key));
    hit.addEventListener("dblclick", () => this.brush(key, WHOLE));
    return [...parts, hit];
  }

  drag(event, key) {
    event.preventDefault();
    const box = this.place.querySelector("svg").getBoundingClientRect();
    const shareOf = ({ clientY }) => {
      const share = (box.top + HEIGHT - BOTTOM - clientY) / (HEIGHT - BOTTOM - TOP);
      return Math.min(1, Math.max(0, share));
    };
    const from = shareOf(event);
    const move = (moved) => {
      const to = shareOf(moved);
      if (Math.abs(to - from) > 0.01) this.brush(key, { low: Math.min(from, to), high: Math.max(from, to) });
    };
    const ended = new AbortController();
    const end = () => ended.abort();
    document.addEventListener("pointermove", move, { signal: ended.signal });
    document.addEventListener("pointerup", end, { signal: ended.signal });
    document.addEventListener("pointercancel", end, { signal: ended.signal });
  }

  showRun() {
    this.draw(); // `hidden` is the page's
  }

  highlight(id) {
    for (const line of this.place.querySelectorAll(".plot-line")) {
      line.classList.toggle("is-near", Number(line.dataset.run) === id);
    }
  }
}

/** "config.lr=0.10..0.50" -> [key, { low, high }]; null for anything else. */
function readBrush(text) {
  const match = /^(.+)=([\d.]+)\.\.([\d.]+)$/.exec(text);
  const [low, high] = match ? [Number(match[2]), Number(match[3])] : [NaN, NaN];
  return low <= high ? [match[1], { low, high }] : null;
}
