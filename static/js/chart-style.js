// How the lines of charts look: told apart by dashes as well as by colour, alike in all charts of a page.

const COLOURS = 8; // --chart-1 … --chart-8 of app.css
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

const FIXED = new Map([
  ["train", 0],
  ["val", 1],
  ["test", 2],
]);

const styles = new Map(); // key -> { colour, dash }

/**
 * The look of a key: the same on every page and whatever else is drawn. Keys `run-<id>` count their looks up, so that
 * runs made one after the other never look alike; others are scattered by their letters.
 */
export function styleOf(key) {
  let style = styles.get(key);
  if (!style) {
    const slot = FIXED.get(key) ?? slotOf(key);
    style = {
      colour: `--chart-${(slot % COLOURS) + 1}`,
      dash: DASHES[(slot + Math.floor(slot / COLOURS)) % DASHES.length],
    };
    styles.set(key, style);
  }
  return style;
}

function slotOf(key) {
  const run = /^run-(\d+)$/.exec(key);
  if (run) return Number(run[1]) % (COLOURS * DASHES.length);
  let hash = 0x811c9dc5; // FNV-1a
  for (const letter of key) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 8) % (COLOURS * DASHES.length);
}

/** A custom property as a colour that a canvas understands (light-dark() resolved). */
export function cssColour(property, probe) {
  probe.style.color = `var(${property})`;
  const colour = getComputedStyle(probe).color;
  probe.style.color = "";
  return colour;
}

export function faded(colour, alpha) {
  return `color-mix(in srgb, ${colour} ${alpha * 100}%, transparent)`;
}

/** The piece of line that stands before a name in a legend. */
export function lineSample(colour, dash) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 28 12");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 6h28");
  line.setAttribute("stroke", colour);
  line.setAttribute("stroke-width", "2.5");
  if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}
