// From a value of a run (a number, a text, true or false, or none) to a place on an axis, and its ticks.

import { number } from "./format.js";

const MOST_KINDS = 12; // ticks of an axis of texts

/** Whether all values of an axis (none aside) are numbers. */
export function isNumeric(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 && known.every((value) => typeof value === "number");
}

/** Whether an axis reads better logarithmically: all above 0, over more than two powers of ten. */
export function wantsLog(values) {
  const known = values.filter((value) => value !== null);
  return isNumeric(values) && Math.min(...known) > 0 && Math.max(...known) / Math.min(...known) > 100;
}

export class Scale {
  /**
   * @param {(number|string|boolean|null)[]} values
   * @param {[number, number]} range  pixels of the least and the greatest value
   * @param {boolean} log
   */
  constructor(values, range, log = false) {
    const known = values.filter((value) => value !== null);
    this.range = range;
    this.numeric = isNumeric(values);
    this.log = log && this.numeric && known.every((value) => value > 0);
    if (this.numeric) {
      const [low, high] = [Math.min(...known), Math.max(...known)].map((value) => this.inner(value));
      [this.low, this.high] = low === high ? [low - 1, high + 1] : [low, high];
    } else {
      // Mixed values stand side by side as the kinds that they are.
      this.kinds = [...new Set(known.map(String))].sort(new Intl.Collator("en", { numeric: true }).compare);
      [this.low, this.high] = this.kinds.length > 1 ? [0, this.kinds.length - 1] : [-1, 1];
    }
  }

  inner(value) {
    if (!this.numeric) return this.kinds.indexOf(String(value));
    return this.log ? Math.log10(value) : value;
  }

  /** The pixel of a value; null for none. */
  place(value) {
    if (value === null) return null;
    const share = (this.inner(value) - this.low) / (this.high - this.low);
    return this.range[0] + share * (this.range[1] - this.range[0]);
  }

  /** How far a value lies on the axis, 0..1; null for none. */
  share(value) {
    return value === null ? null : (this.inner(value) - this.low) / (this.high - this.low);
  }

  /** What stands at a share of the axis, in words. */
  words(share) {
    const inner = this.low + share * (this.high - this.low);
    if (!this.numeric) return this.kinds[Math.round(Math.min(Math.max(inner, 0), this.kinds.length - 1))];
    return number(this.log ? 10 ** inner : inner, 3);
  }

  /** [{ at, text }] */
  ticks(count = 5) {
    if (!this.numeric) {
      const every = Math.ceil(this.kinds.length / MOST_KINDS);
      return this.kinds.filter((_, i) => i % every === 0).map((kind) => ({ at: this.place(kind), text: kind }));
    }
    return Array.from({ length: count }, (_, i) => {
      const share = i / (count - 1);
      return { at: this.range[0] + share * (this.range[1] - this.range[0]), text: this.words(share) };
    });
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** svg("circle", { r: 3 }, child) */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Long words cut for a label. */
export function short(text, letters = 18) {
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
}
