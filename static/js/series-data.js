// What a chart draws, as plain arrays: points of one series in the order of their steps, aligned columns of
// several, smoothing.

const MOST_POINTS = 20_000; // a series is thinned beyond this, keeping its spikes

export class Series {
  /** @param {string} name @param {string} key  what its colour and dashes are chosen by */
  constructor(name, key) {
    this.name = name;
    this.key = key;
    this.visible = true;
    this.steps = [];
    this.values = [];
  }

  /** Replace all points; `steps` must ascend. */
  replace(steps, values) {
    this.steps = Array.from(steps);
    this.values = Array.from(values);
  }

  /** Add a point; a second one at the same step replaces the first. */
  add(step, value) {
    const { steps, values } = this;
    const at = steps.length && step <= steps.at(-1) ? firstNotBelow(steps, step) : steps.length;
    if (steps[at] === step) values[at] = value;
    else if (at === steps.length) {
      steps.push(step);
      values.push(value);
    } else {
      steps.splice(at, 0, step);
      values.splice(at, 0, value);
    }
    if (steps.length > MOST_POINTS) this.thin();
  }

  /** Add many points at once; `steps` must ascend. New ones win over old ones of the same step. */
  merge(steps, values) {
    const mergedSteps = [];
    const mergedValues = [];
    let old = 0;
    for (let i = 0; i < steps.length; i++) {
      while (old < this.steps.length && this.steps[old] < steps[i]) {
        mergedSteps.push(this.steps[old]);
        mergedValues.push(this.values[old++]);
      }
      if (this.steps[old] === steps[i]) old += 1;
      mergedSteps.push(steps[i]);
      mergedValues.push(values[i]);
    }
    this.steps = mergedSteps.concat(this.steps.slice(old));
    this.values = mergedValues.concat(this.values.slice(old));
  }

  /** Of each four points keep the least and the greatest (and any that is no number), so that no spike is lost. */
  thin() {
    const steps = [];
    const values = [];
    for (let start = 0; start < this.steps.length; start += 4) {
      const end = Math.min(start + 4, this.steps.length);
      let low = start;
      let high = start;
      for (let i = start + 1; i < end; i++) {
        if (this.values[i] < this.values[low]) low = i;
        if (this.values[i] > this.values[high]) high = i;
      }
      for (let i = start; i < end; i++) {
        if (i === low || i === high || !Number.isFinite(this.values[i]) || i === this.steps.length - 1) {
          steps.push(this.steps[i]);
          values.push(this.values[i]);
        }
      }
    }
    this.steps = steps;
    this.values = values;
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

/** The steps of all series, ascending, each once. */
export function unionOfSteps(seriesList) {
  if (seriesList.length === 1) return seriesList[0].steps.slice();
  const all = Float64Array.from(seriesList.flatMap((series) => series.steps)).sort();
  return Array.from(all.filter((step, i) => i === 0 || step !== all[i - 1]));
}

/**
 * A series' values at `steps`: undefined where it has no point (the line goes on), null where a point cannot be
 * drawn (the line breaks): NaN, infinities, and on a log scale what is not above 0.
 */
export function aligned(series, values, steps, { log = false } = {}) {
  const column = new Array(steps.length);
  let at = 0;
  for (let i = 0; i < steps.length; i++) {
    if (series.steps[at] !== steps[i]) continue;
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

/** All points as CSV with full precision: a step a row, a series a column. */
export function toCsv(seriesList) {
  const steps = unionOfSteps(seriesList);
  // A quote doubles; a leading = + - @ would be run as a formula by a spreadsheet.
  const cell = (text) => `"${(/^[=+\-@]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const rows = [["step", ...seriesList.map((series) => cell(series.name))]];
  const places = seriesList.map(() => 0);
  for (const step of steps) {
    rows.push([
      step,
      ...seriesList.map((series, i) => (series.steps[places[i]] === step ? String(series.values[places[i]++]) : "")),
    ]);
  }
  return `${rows.map((row) => row.join(",")).join("\r\n")}\r\n`;
}
