// What uPlot is told to draw: the lines of each series (raw behind smoothed, the band of a thinned one), axes, scales,
// and a mark where a point is no number.

import { cssColour, faded, styleOf } from "./chart-style.js";
import { duration, number } from "./format.js";
import { aligned, envelope, smoothed, union } from "./series-data.js";

const STEP_INCREMENTS = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((unit) => unit * 10 ** power)).flat();
const MARK = 3.5; // px, half of a cross's width

/**
 * The lines that draw `list`, in uPlot's order (its first column is x): [{ series, role }], role one of
 *   raw    the points behind a smoothed line
 *   main   the line that the legend tells of
 *   low, high   the edges of a thinned line's band
 */
export function layoutOf(list, smoothing) {
  return list.flatMap((series) => [
    ...(smoothing ? [{ series, role: "raw" }] : []),
    { series, role: "main" },
    ...(series.thinned ? ["low", "high"].map((role) => ({ series, role })) : []),
  ]);
}

/** uPlot's data for a layout. */
export function columnsOf(layout, { xMode, xLog, log, smoothing }) {
  const views = new Map(layout.map(({ series }) => [series, series.view(xMode, xLog)]));
  const xs = union([...views.values()].map((view) => view.x));
  const column = ({ series, role }) => {
    const view = views.get(series);
    let { values } = view;
    if (role === "main" && smoothing) values = smoothed(values, smoothing);
    if (role === "low") values = envelope(values, Math.min);
    if (role === "high") values = envelope(values, Math.max);
    return aligned(view, values, xs, { log });
  };
  return [xs, ...layout.map(column)];
}

/** uPlot's options but size, cursor and hooks; `range(least, greatest)` says what part of x is shown. */
export function plotOptions(layout, { root, xMode, xLog, log, smoothing, range }) {
  const colour = (property) => cssColour(property, root);
  const alone = new Set(layout.map(({ series }) => series)).size === 1;
  const axis = {
    stroke: colour("--text-muted"),
    grid: { stroke: colour("--chart-grid"), width: 1 },
    ticks: { stroke: colour("--chart-grid"), width: 1, size: 4 },
    font: `12px ${getComputedStyle(root).fontFamily}`,
  };
  const x = { ...axis, size: 26 };
  if (xMode === "step") {
    x.incrs = xLog ? undefined : STEP_INCREMENTS;
    x.values = (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick)));
  } else if (xMode === "relative") {
    x.values = (_, ticks) => ticks.map((tick) => (tick === null ? "" : shortDuration(tick)));
  } else x.size = 40; // a date stands below the times
  const y = {
    ...axis,
    values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick, 3))),
    size: (_, labels) => 18 + 7 * Math.max(3, ...(labels ?? []).map((label) => label.length)),
  };
  return {
    padding: [8, 20, 0, 0],
    legend: { show: false },
    focus: { alpha: 0.2 },
    scales: {
      x: {
        time: xMode === "time",
        range: (_, least, greatest) => range(least, greatest),
        ...(xLog ? { distr: 3 } : {}),
      },
      y: log ? { distr: 3 } : {},
    },
    axes: [x, y],
    series: [{}, ...layout.map((line) => lineOptions(line, { colour, smoothing, alone }))],
    bands: layout.flatMap(({ series, role }, i) =>
      role === "high" ? [{ series: [i + 1, i], fill: faded(colour(styleOf(series.key).colour), 0.2) }] : [],
    ),
  };
}

function lineOptions({ series, role }, { colour, smoothing, alone }) {
  const { colour: property, dash } = styleOf(series.key);
  const stroke = colour(property);
  // Dashes tell lines apart: a line alone needs none.
  const line = { show: series.visible, stroke, dash: alone ? [] : dash, width: 1.75, points: { show: false } };
  const thin = { ...line, width: 1, dash: [] };
  if (role === "raw") return { ...thin, stroke: faded(stroke, series.thinned ? 0.12 : 0.3) };
  if (role === "low" || role === "high") return { ...line, stroke: "transparent", width: 0 };
  // From extreme to extreme it would hide its own band.
  if (series.thinned && !smoothing) return { ...thin, stroke: faded(stroke, 0.45) };
  return smoothing ? line : { ...line, points: { size: 5, fill: stroke } };
}

/** Crosses at the foot of the plot, where a point is NaN or infinite. */
export function drawOddPoints(plot, layout, { root, xMode, xLog }) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.setLineDash([]);
  ctx.lineWidth = 1.5 * scale;
  for (const { series, role } of layout) {
    if (role !== "main" || !series.visible) continue;
    const { x, values } = series.view(xMode, xLog);
    ctx.strokeStyle = cssColour(styleOf(series.key).colour, root);
    ctx.beginPath();
    values.forEach((value, i) => {
      if (Number.isFinite(value)) return;
      const left = plot.valToPos(x[i], "x", true);
      if (left < bbox.left || left > bbox.left + bbox.width) return;
      const size = MARK * scale;
      const top = bbox.top + bbox.height - 2 * size;
      ctx.moveTo(left - size, top - size);
      ctx.lineTo(left + size, top + size);
      ctx.moveTo(left - size, top + size);
      ctx.lineTo(left + size, top - size);
    });
    ctx.stroke();
  }
  ctx.restore();
}

/** A value of x in words. */
export function xWords(x, xMode, unit = "step") {
  if (xMode === "relative") return `after ${shortDuration(x)}`;
  if (xMode === "time") return new Date(x * 1000).toLocaleString();
  return `${unit} ${number(x)}`;
}

function shortDuration(seconds) {
  return seconds < 0 ? `-${duration(-seconds)}` : duration(seconds);
}
