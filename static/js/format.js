// How numbers and times are worded; automl_site/templatetags/ui.py words them the same on the server.

/** Seconds in two units at most: "85 ms", "12.3 s", "4 min 05 s", "3 h 07 min", "2 d 4 h". */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** "just now", "12 s ago", "in 3 h"; a year away or more, the date. */
export function relativeTime(date, now = new Date()) {
  const distance = (now - date) / 1000;
  const size = Math.abs(distance);
  if (size < 5) return "just now";
  if (size >= 365 * 86400) return date.toISOString().slice(0, 10);
  let text;
  if (size < 60) text = `${Math.floor(size)} s`;
  else if (size < 3600) text = `${Math.floor(size / 60)} min`;
  else if (size < 86400) text = `${Math.floor(size / 3600)} h`;
  else text = `${Math.floor(size / 86400)} d`;
  return distance > 0 ? `${text} ago` : `in ${text}`;
}

/** A number with `digits` significant digits; whole ones with thousands separators. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e15) return value.toExponential(digits - 1);
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(decimals, 20) });
}

/** 0.914 -> "91%"; rounded down, so that only the whole is 100%. */
export function percent(fraction) {
  return Number.isFinite(fraction) ? `${Math.floor(fraction * 100 + 1e-9)}%` : "–";
}

/** Bytes in decimal units: "14.2 kB". */
export function fileSize(bytes) {
  if (!Number.isFinite(bytes) || bytes < 0) return "–";
  if (bytes < 1000) return `${bytes} B`;
  let size = bytes;
  for (const unit of ["kB", "MB", "GB"]) {
    size /= 1000;
    if (size < 999.95) return `${size.toFixed(1)} ${unit}`;
  }
  return `${(size / 1000).toFixed(1)} TB`;
}

/** A metric's value as messages carry it: a number, or "NaN", "Infinity", "-Infinity". */
export function metricValue(value) {
  return typeof value === "number" ? value : Number(value);
}
