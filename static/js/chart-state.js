// The state of charts in the page's address, so that a reload or a shared link restores it.
//
// Links marked [data-tab-link] lead to other views of the same thing: they take the state along.

const TAB = "tab";

export function parameter(name) {
  return new URL(location.href).searchParams.get(name);
}

/** All values of a parameter that may be there several times. */
export function parameters(name) {
  return new URL(location.href).searchParams.getAll(name);
}

/** Set a parameter; null takes it away, a list sets it several times. */
export function setParameter(name, value) {
  const url = new URL(location.href);
  url.searchParams.delete(name);
  if (Array.isArray(value)) for (const one of value) url.searchParams.append(name, one);
  else if (value !== null) url.searchParams.set(name, value);
  history.replaceState(history.state, "", url);
  for (const link of document.querySelectorAll("a[data-tab-link]")) {
    const target = new URL(url);
    target.searchParams.set(TAB, link.dataset.tabLink);
    link.href = target.search;
  }
}

/** `?zoom=10.5..20` as {min, max}; null where there is none. */
export function readZoom() {
  const match = /^(-?[\d.]+)\.\.(-?[\d.]+)$/.exec(parameter("zoom") ?? "");
  const [min, max] = match ? [Number(match[1]), Number(match[2])] : [NaN, NaN];
  return min < max ? { min, max } : null;
}

export function writeZoom(range) {
  setParameter("zoom", range && `${range.min.toFixed(2)}..${range.max.toFixed(2)}`);
}

/** `?smooth=0.9` as the weight of the past; 0 where there is none. */
export function readSmoothing() {
  const weight = Number(parameter("smooth") ?? 0);
  return weight > 0 && weight < 1 ? weight : 0;
}

export function writeSmoothing(weight) {
  setParameter("smooth", weight || null);
}

/** A matcher of names for what was typed: a part of the name, or a whole one with `*` for anything. */
export function nameMatcher(text) {
  const sought = text.trim().toLowerCase();
  if (!sought.includes("*")) return (name) => name.toLowerCase().includes(sought);
  // Piece by piece, not by a regular expression: many stars would take it for ever.
  const pieces = sought.split("*");
  return (name) => {
    const subject = name.toLowerCase();
    const first = pieces[0];
    const last = pieces.at(-1);
    if (!subject.startsWith(first) || subject.length < first.length + last.length || !subject.endsWith(last)) {
      return false;
    }
    let from = first.length;
    const end = subject.length - last.length;
    for (const piece of pieces.slice(1, -1)) {
      const at = subject.indexOf(piece, from);
      if (at < 0 || at + piece.length > end) return false;
      from = at + piece.length;
    }
    return true;
  };
}
