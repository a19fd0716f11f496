// A chart as a file: its points as CSV, its plot as PNG.

import { cssColour, styleOf } from "./chart-style.js";
import { download, element } from "./dom.js";
import { toCsv } from "./series-data.js";

/** All points with full precision. */
export function saveCsv(chart) {
  download(new Blob([toCsv([...chart.series.values()], chart.unit)], { type: "text/csv" }), `${fileName(chart.title)}.csv`);
}

/** The plot on the page's own background, with title and legend. */
export function savePng(chart) {
  if (!chart.plot) return;
  const source = chart.plot.ctx.canvas;
  const scale = source.width / chart.plot.width;
  const shown = [...chart.series.values()].filter((series) => series.visible);
  const head = 30;
  const canvas = element("canvas");
  canvas.width = source.width;
  canvas.height = source.height + (head + 20 * shown.length + 8) * scale;
  const context = canvas.getContext("2d");
  context.fillStyle = cssColour("--surface", chart.root);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, head * scale);
  context.scale(scale, scale);
  const text = cssColour("--text", chart.root);
  const family = getComputedStyle(chart.root).fontFamily;
  context.fillStyle = text;
  context.font = `600 14px ${family}`;
  context.fillText(chart.title, 12, 20);
  context.font = `12px ${family}`;
  shown.forEach((series, i) => {
    const { colour, dash } = styleOf(series.key);
    const y = head + source.height / scale + 14 + 20 * i;
    context.strokeStyle = cssColour(colour, chart.root);
    context.lineWidth = 2;
    context.setLineDash(chart.series.size > 1 ? dash : []);
    context.beginPath();
    context.moveTo(12, y - 4);
    context.lineTo(44, y - 4);
    context.stroke();
    context.fillText(series.name, 52, y);
  });
  canvas.toBlob((blob) => download(blob, `${fileName(chart.title)}.png`));
}

function fileName(title) {
  return title.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_") || "chart";
}
