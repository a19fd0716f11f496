// What a chart says in words: the label that a screen reader reads, and its points as a table.

import { element } from "./dom.js";
import { number } from "./format.js";
import { union } from "./series-data.js";

const TABLE_ROWS = 200;
const NAMED_LINES = 8; // of a label; many more would not be listened to

/** "Line chart of loss. loss: 12 points, last 0.1 at step 11, from 0.1 to 2" */
export function chartLabel(title, list, unit = "step") {
  const parts = list.slice(0, NAMED_LINES).map((series) => {
    const { last, lastStep, least, greatest, count, odd } = series.summary();
    const oddWords = odd ? `, ${odd} of them not a number` : "";
    return (
      `${series.name}: ${count} points${oddWords}, last ${number(last)} at ${unit} ${number(lastStep)}, ` +
      `from ${number(least)} to ${number(greatest)}`
    );
  });
  if (list.length > NAMED_LINES) parts.push(`and ${list.length - NAMED_LINES} more lines`);
  return `Line chart of ${title}. ${parts.join("; ")}`;
}

/** A closed <details> whose table is made by `fill` (pointsTable) when it is opened. */
export function tableDisclosure(title, fill) {
  const body = element("div", { class: "table-scroll table-tall", tabindex: "0", role: "region" });
  body.setAttribute("aria-label", `Points of ${title}`);
  const details = element("details", { class: "chart-data" }, element("summary", {}, "Data as a table"), body);
  details.addEventListener("toggle", () => {
    if (details.open) fill(body);
  });
  return details;
}

/** The last steps of all series, the newest first. */
export function pointsTable(list, unit = "step") {
  const steps = union(list.map((series) => series.steps));
  const lookup = list.map((series) => new Map(series.steps.map((step, i) => [step, series.values[i]])));
  const rows = steps
    .slice(-TABLE_ROWS)
    .reverse()
    .map((step) => {
      const cells = lookup.map((values) =>
        element("td", { class: "number" }, values.has(step) ? number(values.get(step)) : ""),
      );
      return element("tr", {}, element("th", { scope: "row" }, number(step)), ...cells);
    });
  const words =
    steps.length > TABLE_ROWS ? `The last ${TABLE_ROWS} of ${steps.length} ${unit}s; the CSV has all` : `All ${unit}s`;
  const header = [unit, ...list.map((series) => series.name)];
  return element(
    "table",
    {},
    element("caption", {}, words),
    element("thead", {}, element("tr", {}, ...header.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows),
  );
}
