// What a chart draws, as plain arrays: points of one series in the order of their steps, what they are drawn over
// (step, time or time since the run began), aligned columns of several, smoothing.

const MOST_POINTS = 20_000; // a series is thinned beyond this, keeping its spikes

export class Series {
  /**
   * @param {string} name
   * @param {string} key  what its colour and dashes are chosen by
   * @param {object} [options]
   * @param {number} [options.started]  when its run began, ms since 1970; what relative times are counted from
   */
  constructor(name, key, { started = NaN } = {}) {
    this.name = name;
    this.key = key;
    this.started = started;
    this.visible = true;
    this.thinned = false; // points between these were left out; their extremes are there
    this.steps = [];
    this.values = [];
    this.times = []; // ms since 1970, NaN where it is not known
    this.views = new Map();
  }

  /** Replace all points; `steps` must ascend. */
  replace(steps, values, times = null) {
    this.steps = Array.from(steps);
    this.values = Array.from(values);
    this.times = times ? Array.from(times) : new Array(this.steps.length).fill(NaN);
    this.views.clear();
  }

  /** Add a point; a second one at the same step replaces the first. */
  add(step, value, time = NaN) {
    const { steps, values, times } = this;
    this.views.clear();
    const at = steps.length && step <= steps.at(-1) ? firstNotBelow(steps, step) : steps.length;
    if (steps[at] === step) {
      values[at] = value;
      times[at] = time;
    } else {
      steps.splice(at, 0, step);
      values.splice(at, 0, value);
      times.splice(at, 0, time);
    }
    if (steps.length > MOST_POINTS) this.thin();
  }

  /** Add many points at once; `steps` must ascend. New ones win over old ones of the same step. */
  merge(steps, values, times = null) {
    const merged = { steps: [], values: [], times: [] };
    const keep = (i) => {
      merged.steps.push(this.steps[i]);
      merged.values.push(this.values[i]);
      merged.times.push(this.times[i]);
    };
    let old = 0;
    for (let i = 0; i < steps.length; i++) {
      while (old < this.steps.length && this.steps[old] < steps[i]) keep(old++);
      if (this.steps[old] === steps[i]) old += 1;
      merged.steps.push(steps[i]);
      merged.values.push(values[i]);
      merged.times.push(times?.[i] ?? NaN);
    }
    while (old < this.steps.length) keep(old++);
    Object.assign(this, merged);
    this.views.clear();
  }

  /** Of each four points keep the least and the greatest (and any that is no number), so that no spike is lost. */
  thin() {
    const kept = [];
    for (let start = 0; start < this.steps.length; start += 4) {
      const end = Math.min(start + 4, this.steps.length);
      let low = start;
      let high = start;
      for (let i = start + 1; i < end; i++) {
        if (this.values[i] < this.values[low]) low = i;
        if (this.values[i] > this.values[high]) high = i;
      }
      for (let i = start; i < end; i++) {
        if (i === low || i === high || !Number.isFinite(this.values[i]) || i === this.steps.length - 1) kept.push(i);
      }
    }
    this.steps = kept.map((i) => this.steps[i]);
    this.values = kept.map((i) => this.values[i]);
    this.times = kept.map((i) => this.times[i]);
    this.views.clear();
  }

  /**
   * The points as they are drawn: `x` ascending, each once.
   * @param {"step"|"time"|"relative"} mode  time and relative are in seconds
   * @param {boolean} positive  leave out what a logarithmic x axis cannot show
   */
  view(mode = "step", positive = false) {
    const name = `${mode} ${positive}`;
    let view = this.views.get(name);
    if (!view) {
      view = mode === "step" ? { x: this.steps, values: this.values, steps: this.steps } : this.overTime(mode);
      if (positive) view = pick(view, (i) => view.x[i] > 0);
      this.views.set(name, view);
    }
    return view;
  }

  overTime(mode) {
    const origin = mode === "relative" ? this.started : 0;
    const x = this.times.map((time) => (time - origin) / 1000);
    const order = x.map((_, i) => i).filter((i) => Number.isFinite(x[i]));
    order.sort((a, b) => x[a] - x[b] || a - b);
    const last = order.filter((i, place) => x[order[place + 1]] !== x[i]);
    return pick({ x, values: this.values, steps: this.steps }, null, last);
  }

  /** {last, lastStep, least, greatest, count, odd}: `odd` counts NaN and infinities, which a line cannot show. */
  summary() {
    let least = Infinity;
    let greatest = -Infinity;
    let odd = 0;
    for (const value of this.values) {
      if (!Number.isFinite(value)) odd += 1;
      else {
        if (value < least) least = value;
        if (value > greatest) greatest = value;
      }
    }
    const numbers = this.values.length > odd;
    return {
      last: this.values.at(-1),
      lastStep: this.steps.at(-1),
      least: numbers ? least : undefined,
      greatest: numbers ? greatest : undefined,
      count: this.values.length,
      odd,
    };
  }
}

function pick({ x, values, steps }, wanted, indices = x.map((_, i) => i).filter(wanted)) {
  return { x: indices.map((i) => x[i]), values: indices.map((i) => values[i]), steps: indices.map((i) => steps[i]) };
}

function firstNotBelow(sorted, step) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The numbers of all these ascending lists, ascending, each once. */
export function union(lists) {
  if (lists.length === 1) return lists[0].slice();
  const all = Float64Array.from(lists.flat()).sort();
  return Array.from(all.filter((x, i) => i === 0 || x !== all[i - 1]));
}

/**
 * A view's values at `xs`: undefined where it has no point (the line goes on), null where a point cannot be drawn
 * (the line breaks): NaN, infinities, and on a log scale what is not above 0.
 */
export function aligned(view, values, xs, { log = false } = {}) {
  const column = new Array(xs.length);
  let at = 0;
  for (let i = 0; i < xs.length; i++) {
    if (view.x[at] !== xs[i]) continue;
    const value = values[at++];
    column[i] = !Number.isFinite(value) || (log && value <= 0) ? null : value;
  }
  return column;
}

/** Exponential moving average without the bias of its start; NaN and infinities pass through, uncounted. */
export function smoothed(values, weight) {
  let average = 0;
  let mass = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    average = average * weight + value * (1 - weight);
    mass = mass * weight + (1 - weight);
    return average / mass;
  });
}

/** The least (`pick` Math.min) or greatest of each point and its neighbours: the edge of a thinned line's band. */
export function envelope(values, pickOf) {
  return values.map((value, i) => {
    if (!Number.isFinite(value)) return value;
    const near = [values[i - 1], value, values[i + 1]].filter(Number.isFinite);
    return pickOf(...near);
  });
}

/** All points as CSV with full precision: a step (or `unit`) a row, a series a column. */
export function toCsv(seriesList, unit = "step") {
  const steps = union(seriesList.map((series) => series.steps));
  // A quote doubles; a leading = + - @ would be run as a formula by a spreadsheet.
  const cell = (text) => `"${(/^[=+\-@]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const rows = [[unit, ...seriesList.map((series) => cell(series.name))]];
  const places = seriesList.map(() => 0);
  for (const step of steps) {
    rows.push([
      step,
      ...seriesList.map((series, i) => (series.steps[places[i]] === step ? String(series.values[places[i]++]) : "")),
    ]);
  }
  return `${rows.map((row) => row.join(",")).join("\r\n")}\r\n`;
}
