// Points of runs' metrics, asked for as they are needed: names wanted in one moment share a request.

import { metricValue } from "./format.js";

const GATHER = 30; // ms
const MOST_NAMES = 40; // of one request; tracking/compare_views.py takes no more
const MOST_LETTERS = 3000; // of the names in one address

/**
 * @typedef {object} Line
 * @property {number[]} steps  ascending
 * @property {number[]} values
 * @property {number[]} times  ms since 1970
 * @property {boolean} thinned  points were left out
 * @property {number} lastId  the place in the run's stream that the points go up to
 */

export class SeriesLoader {
  /** @param {string} url  of the points' JSON, with the runs in it: "/ui/compare/points.json?runs=1,2" */
  constructor(url) {
    this.url = url;
    this.waiting = new Map(); // name -> { promise, resolve, reject }
  }

  /** Promise of the metric's lines: Map of run id -> Line; runs without points have an empty one. */
  load(name) {
    let request = this.waiting.get(name);
    if (!request) {
      request = {};
      request.promise = new Promise((resolve, reject) => Object.assign(request, { resolve, reject }));
      this.waiting.set(name, request);
      this.timer ??= setTimeout(() => this.flush(), GATHER);
    }
    return request.promise;
  }

  /** It is not wanted any more; does nothing once it has been asked for. */
  forget(name) {
    this.waiting.delete(name);
  }

  flush() {
    this.timer = null;
    const waiting = this.waiting;
    this.waiting = new Map();
    for (const names of batches([...waiting.keys()])) {
      this.fetch(names).then(
        (lines) => names.forEach((name) => waiting.get(name).resolve(lines.get(name))),
        (error) => names.forEach((name) => waiting.get(name).reject(error)),
      );
    }
  }

  /** The lines of several metrics between two steps: Map of name -> Map of run id -> Line. */
  async detail(names, { minStep, maxStep }) {
    const parts = await Promise.all(
      batches(names).map((batch) => this.fetch(batch, { min_step: minStep, max_step: maxStep })),
    );
    return new Map(parts.flatMap((part) => [...part]));
  }

  async fetch(names, bounds = {}) {
    const url = new URL(this.url, location.href);
    for (const name of names) url.searchParams.append("name", name);
    for (const [key, value] of Object.entries(bounds)) url.searchParams.set(key, value);
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(`points: HTTP ${response.status}`);
    const { runs } = await response.json();
    const found = new Map(names.map((name) => [name, new Map()]));
    for (const { id, last_id: lastId, series } of runs) {
      for (const name of names) {
        found.get(name).set(id, { steps: [], values: [], times: [], thinned: false, lastId });
      }
      for (const { name, steps, values, times, thinned } of series) {
        found.get(name)?.set(id, { steps, values: values.map(metricValue), times, thinned, lastId });
      }
    }
    return found;
  }
}

function batches(names) {
  const found = [];
  let letters = Infinity;
  for (const name of names) {
    const size = encodeURIComponent(name).length;
    if (letters + size > MOST_LETTERS || found.at(-1)?.length >= MOST_NAMES) {
      found.push([]);
      letters = 0;
    }
    found.at(-1).push(name);
    letters += size;
  }
  return found;
}
