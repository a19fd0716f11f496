// All charts of one run or of several (templates/runs/_charts.html): one a metric, in sections by what stands before
// the "/" of its name. Only what is seen is fetched and drawn. In the address stand what its tools are set to
// (chart-tools.js), `closed` (sections that are folded, several) and `hide` (runs that are not drawn).

import { ChartCard } from "./chart-card.js";
import { nameMatcher, parameter, parameters, setParameter } from "./chart-state.js";
import { ChartTools } from "./chart-tools.js";
import { element } from "./dom.js";
import { metricValue, number } from "./format.js";
import { Series } from "./series-data.js";
import { SeriesLoader } from "./series-loader.js";

const ROLES = ["train", "val", "test"]; // train_loss and val_loss of one run share a chart
const AHEAD = "500px"; // what is so near to the window is drawn already
const KEPT_METRICS = 120; // whose points are kept after they went out of sight
const DETAIL_DELAY = 150; // ms
const byName = new Intl.Collator("en", { numeric: true }).compare;

export class ChartWall {
  /**
   * @param {HTMLElement} root  templates/runs/_charts.html
   * @param {object} options
   * @param {{id, name, started_at}[]} options.runs
   * @param {[string, number[], (number|string|null)[]][]} options.series  names, counts and last values by run
   * @param {string} options.url  of the points' JSON, with the runs in it
   */
  constructor(root, { runs, series, url }) {
    this.root = root;
    this.runs = new Map(runs.map((run) => [run.id, run]));
    this.loader = new SeriesLoader(url);
    this.cards = new Map(); // title -> ChartCard
    this.sections = new Map(); // name -> { node, grid, count, cards }
    this.metrics = new Map(); // name -> { counts: Map of run id, lasts: Map of run id }
    this.lines = new Map(); // name -> { state, series: Map of run id -> Series, lastIds, pending }
    this.template = root.querySelector("template");
    this.place = root.querySelector("[data-wall-sections]");
    this.values = root.querySelector("[data-chart-values]");
    this.closed = new Set(parameters("closed"));
    this.hidden = new Set((parameter("hide") ?? "").split(",").filter(Boolean).map(Number));
    this.tools = new ChartTools(root, {
      view: (view) => this.eachChart((chart) => chart.configure(view)),
      zoom: (range) => this.zoomedTo(range),
      search: () => this.filter(),
    });
    this.observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.sighted(entry)), {
      rootMargin: AHEAD,
    });
    for (const [name, counts, lasts] of series) {
      const metric = this.metric(name);
      runs.forEach((run, i) => {
        if (!counts[i]) return;
        metric.counts.set(run.id, counts[i]);
        metric.lasts.set(run.id, metricValue(lasts[i]));
      });
    }
    this.arrange();
  }

  // --- What there is -----------------------------------------------------------------------------------------------

  metric(name) {
    if (!this.metrics.has(name)) this.metrics.set(name, { counts: new Map(), lasts: new Map() });
    return this.metrics.get(name);
  }

  /** Whether no run has more than one point of it: a number, and no line. */
  isValue(name) {
    return [...this.metric(name).counts.values()].every((count) => count < 2);
  }

  titleOf(name) {
    if (this.runs.size > 1 || name.includes("/")) return name;
    const role = ROLES.find((prefix) => name.startsWith(`${prefix}_`));
    return role ? name.slice(role.length + 1) : name;
  }

  /** Make cards and sections for metrics that have none yet, in the order of their names. */
  arrange() {
    for (const name of [...this.metrics.keys()].sort(byName)) {
      if (this.runs.size === 1 && this.isValue(name)) continue;
      this.cardOf(name).names.add(name);
    }
    this.showValues();
    this.filter();
  }

  cardOf(name) {
    const title = this.titleOf(name);
    let card = this.cards.get(title);
    if (!card) {
      card = new ChartCard(title, this.template);
      card.node.dataset.chart = title;
      this.cards.set(title, card);
      const section = this.section(title.includes("/") ? title.slice(0, title.indexOf("/")) : "");
      const after = section.cards.find((other) => byName(other.title, title) > 0);
      section.grid.insertBefore(card.node, after?.node ?? null);
      section.cards.splice(after ? section.cards.indexOf(after) : section.cards.length, 0, card);
      this.observer.observe(card.node);
    }
    return card;
  }

  section(name) {
    let section = this.sections.get(name);
    if (!section) {
      const count = element("span", { class: "muted" });
      const grid = element("div", { class: "charts" });
      const summary = element("summary", {}, element("span", {}, name || "Metrics"), " ", count);
      const node = element("details", { class: "chart-section", open: !this.closed.has(name) }, summary, grid);
      section = { name, node, grid, count, cards: [] };
      node.addEventListener("toggle", () => this.folded(section));
      const later = [...this.sections.values()].filter((other) => byName(other.name, name) > 0);
      const [after] = later.sort((a, b) => byName(a.name, b.name));
      this.place.insertBefore(node, after?.node ?? null);
      this.sections.set(name, section);
    }
    return section;
  }

  /** One run's metrics of one point stand in a list; two points make a line. */
  showValues() {
    if (this.runs.size > 1) return;
    const [run] = this.runs.keys();
    const single = [...this.metrics.keys()].filter((name) => this.isValue(name)).sort(byName);
    this.values.hidden = single.length === 0;
    this.values.querySelector("summary").textContent =
      single.length === 1 ? "1 metric with one value" : `${single.length} metrics with one value`;
    this.values.querySelector("dl").replaceChildren(
      ...single.map((name) => {
        const value = number(this.metric(name).lasts.get(run));
        return element("div", {}, element("dt", {}, name), element("dd", {}, value));
      }),
    );
  }

  // --- What is seen ------------------------------------------------------------------------------------------------

  sighted({ target, isIntersecting }) {
    const card = this.cards.get(target.dataset.chart);
    card.seen = isIntersecting;
    if (isIntersecting) this.draw(card);
    else {
      for (const name of card.names) if (this.lines.get(name)?.state === "loading") this.forget(name);
      card.clear();
    }
  }

  forget(name) {
    this.loader.forget(name);
    this.lines.delete(name);
  }

  draw(card) {
    if (this.runs.size > 1 && [...card.names].every((name) => this.isValue(name))) {
      card.drawBars(this.barsOf([...card.names][0]));
      return;
    }
    for (const name of card.names) if (!this.lines.has(name)) this.load(name, card);
    const list = [...card.names].flatMap((name) => [...(this.lines.get(name)?.series.values() ?? [])]);
    if (!list.length) return;
    card.draw(list, {
      view: this.tools.view,
      zoom: this.tools.zoomed,
      options: { group: "wall", onZoom: (range) => this.tools.zoom(range) },
    });
  }

  barsOf(name) {
    const { lasts } = this.metric(name);
    return [...this.runs.values()]
      .filter((run) => lasts.has(run.id) && !this.hidden.has(run.id))
      .map((run) => ({ key: `run-${run.id}`, name: run.name, value: lasts.get(run.id) }));
  }

  async load(name, card) {
    const line = { state: "loading", series: new Map(), lastIds: new Map(), pending: [] };
    this.lines.set(name, line);
    try {
      const loaded = await this.loader.load(name);
      if (this.lines.get(name) !== line) return;
      for (const [id, points] of loaded) {
        line.lastIds.set(id, points.lastId);
        if (points.steps.length) this.fill(this.one(line, name, id), points);
      }
      line.state = "ready";
      for (const point of line.pending.splice(0)) this.add(line, name, point);
      if (card.seen) this.draw(card);
      if (this.tools.zoomed) this.detailSoon();
      this.dropOldest();
    } catch {
      if (this.lines.get(name) !== line) return;
      this.lines.delete(name);
      card.say("The points could not be read. Scroll away and back, or reload the page, to try again.");
    }
  }

  one(line, name, id) {
    let series = line.series.get(id);
    if (!series) {
      const run = this.runs.get(id);
      const many = this.runs.size > 1;
      const role = many ? null : ROLES.find((prefix) => name.startsWith(`${prefix}_`));
      series = new Series(many ? run.name : name, many ? `run-${id}` : (role ?? name), { started: run.started_at });
      series.visible = !this.hidden.has(id);
      line.series.set(id, series);
    }
    return series;
  }

  fill(series, { steps, values, times, thinned }) {
    series.replace(steps, values, times);
    series.thinned = thinned;
    series.wholeIsThinned = thinned;
  }

  /** Points of metrics out of sight are given back, the longest unseen first. */
  dropOldest() {
    for (const [name, line] of this.lines) {
      if (this.lines.size <= KEPT_METRICS) return;
      const card = this.cards.get(this.titleOf(name));
      if (line.state === "ready" && !card.seen) this.lines.delete(name);
    }
  }

  // --- What comes in -----------------------------------------------------------------------------------------------

  /** A point of the live stream: a message of /ws/<run id>. */
  append(message) {
    const { run_id: id, name, step } = message;
    const value = metricValue(message.value);
    const metric = this.metric(name);
    const first = !metric.counts.has(id);
    metric.counts.set(id, (metric.counts.get(id) ?? 0) + 1);
    metric.lasts.set(id, value);
    const time = Date.parse(/[Z+]/.test(message.timestamp) ? message.timestamp : `${message.timestamp}Z`);
    const line = this.lines.get(name);
    const point = { id, seq: message.id, step, value, time };
    if (line?.state === "loading") line.pending.push(point);
    else if (line) this.add(line, name, point);
    if (first || metric.counts.get(id) === 2 || this.isValue(name)) this.arrangeSoon();
  }

  add(line, name, { id, seq, step, value, time }) {
    if (seq <= (line.lastIds.get(id) ?? 0)) return;
    const known = line.series.has(id);
    this.one(line, name, id).add(step, value, time);
    const card = this.cards.get(this.titleOf(name));
    if (!card?.seen) return;
    if (known && card.chart) card.chart.drawSoon();
    else this.draw(card);
  }

  arrangeSoon() {
    this.arranging ??= setTimeout(() => {
      this.arranging = null;
      this.arrange();
      for (const card of this.cards.values()) if (card.seen && !card.chart) this.draw(card);
    }, 100);
  }

  // --- What is set -------------------------------------------------------------------------------------------------

  eachChart(act) {
    for (const card of this.cards.values()) if (card.chart) act(card.chart);
  }

  filter() {
    const matches = nameMatcher(this.tools.sought);
    let shown = 0;
    for (const section of this.sections.values()) {
      let here = 0;
      for (const card of section.cards) {
        card.node.hidden = !matches(card.title);
        if (!card.node.hidden) here += 1;
      }
      section.node.hidden = here === 0;
      section.count.textContent = String(here);
      shown += here;
    }
    this.tools.count(shown, this.cards.size);
    // One section needs no heading.
    this.place.classList.toggle("one-section", this.sections.size < 2);
  }

  folded(section) {
    if (section.node.open !== this.closed.has(section.name)) return; // it was made so
    if (section.node.open) this.closed.delete(section.name);
    else this.closed.add(section.name);
    setParameter("closed", [...this.closed]);
  }

  zoomedTo(range) {
    this.eachChart((chart) => {
      if (chart.zoomed !== range) chart.zoom(range);
    });
    if (range) this.detailSoon();
    else this.forgetDetail();
  }

  forgetDetail() {
    for (const line of this.lines.values()) {
      line.detailed = null;
      for (const series of line.series.values()) series.thinned = Boolean(series.wholeIsThinned);
    }
    this.eachChart((chart) => chart.drawSoon());
  }

  detailSoon() {
    clearTimeout(this.detailTimer);
    this.detailTimer = setTimeout(() => this.fetchDetail(), DETAIL_DELAY);
  }

  /** The stored points of the zoomed range, where the first answer has left some out. */
  async fetchDetail() {
    const range = this.tools.zoomed;
    if (!range) return;
    const names = [...this.lines.keys()].filter((name) => {
      const line = this.lines.get(name);
      const thinned = [...line.series.values()].some((series) => series.wholeIsThinned);
      return thinned && line.state === "ready" && line.detailed !== range && this.cards.get(this.titleOf(name)).seen;
    });
    if (!names.length) return;
    try {
      const found = await this.loader.detail(names, this.stepsOf(names, range));
      if (this.tools.zoomed !== range) return;
      for (const [name, lines] of found) this.takeDetail(name, lines, range);
    } catch {
      // What is drawn already stays; the next zoom asks again.
    }
  }

  takeDetail(name, lines, range) {
    const line = this.lines.get(name);
    if (!line) return;
    line.detailed = range;
    for (const [id, { steps, values, times, thinned }] of lines) {
      const series = line.series.get(id);
      if (!series || !steps.length) continue;
      series.merge(steps, values, times);
      series.thinned = thinned;
    }
    this.cards.get(this.titleOf(name)).chart?.drawSoon();
  }

  /** The steps that lie in a range of x, and the next ones on both sides. */
  stepsOf(names, { min, max }) {
    if (this.tools.view.xMode === "step") return { minStep: Math.floor(min), maxStep: Math.ceil(max) };
    let [minStep, maxStep] = [Infinity, -Infinity];
    for (const name of names) {
      for (const series of this.lines.get(name).series.values()) {
        const { x, steps } = series.view(this.tools.view.xMode);
        const first = x.findIndex((one) => one >= min);
        const last = x.findLastIndex((one) => one <= max);
        if (first < 0 || last < 0) continue;
        minStep = Math.min(minStep, steps[Math.max(0, first - 1)]);
        maxStep = Math.max(maxStep, steps[Math.min(x.length - 1, last + 1)]);
      }
    }
    return minStep <= maxStep ? { minStep, maxStep } : { minStep: 0, maxStep: 0 };
  }

  // --- Runs --------------------------------------------------------------------------------------------------------

  /** Draw a run's lines, or leave them out. */
  showRun(id, shown) {
    if (shown) this.hidden.delete(id);
    else this.hidden.add(id);
    for (const line of this.lines.values()) {
      const series = line.series.get(id);
      if (series) series.visible = shown;
    }
    for (const card of this.cards.values()) {
      if (card.chart) card.chart.rebuild();
      else if (card.seen) this.draw(card);
    }
  }

  /** Let a run's lines stand out; null: none. */
  highlight(id) {
    for (const card of this.cards.values()) {
      if (!card.chart) continue;
      const [name] = card.names;
      card.chart.focus(id === null ? null : (this.lines.get(name)?.series.get(id) ?? null));
    }
  }
}
