// Small helpers for building what the server's partials build (templates/partials/).

const SVG = "http://www.w3.org/2000/svg";

/** element("p", { class: "muted", hidden: true }, "text", child) */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** A symbol of static/img/icons.svg. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${document.body.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

/** Point an icon that is in the page at another symbol. */
export function setIcon(container, name) {
  container.querySelector("svg.icon use")?.setAttribute("href", `${document.body.dataset.icons}#${name}`);
}

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

// Tones as in STATUS_TONES of automl_site/templatetags/ui.py, for the states that change while a page is open.
const TONES = { pending: "waiting", running: "running", completed: "good", failed: "bad", cancelled: "neutral" };

/** Make a status badge (partials/status_badge.html) show another state. */
export function setStatus(badge, status) {
  if (badge.dataset.status === status) return;
  badge.dataset.status = status;
  badge.className = `badge tone-${TONES[status] ?? "neutral"}`;
  setIcon(badge, status in TONES ? `status-${status}` : "status-unknown");
  badge.querySelector(".badge-text").textContent =
    status.charAt(0).toUpperCase() + status.slice(1).replaceAll("_", " ");
}

const TOAST_ICONS = { bad: "status-failed", warning: "warning", good: "check", running: "info" };

/** Say something in the corner. Errors stay until dismissed; the rest goes by itself. */
export function toast(title, { text = "", tone = "bad" } = {}) {
  const region = document.getElementById("toasts");
  if (!region) return;
  const words = element("div", {}, element("p", { class: "notice-title" }, title));
  if (text) words.append(element("p", {}, text));
  const dismiss = element(
    "button",
    {
      class: "button button-quiet button-icon button-small",
      type: "button",
      "data-dismiss": true,
      "aria-label": "Dismiss",
    },
    icon("close"),
  );
  const role = tone === "bad" ? "alert" : "status";
  const notice = element(
    "div",
    { class: `notice tone-${tone}`, role },
    icon(TOAST_ICONS[tone] ?? "info"),
    words,
    dismiss,
  );
  region.append(notice);
  while (region.children.length > 4) region.firstElementChild.remove();
  if (tone !== "bad") setTimeout(() => notice.remove(), 6000);
}

/** Copy text; where the clipboard API is not allowed (plain http to another machine), through a selection. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "visually-hidden", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Save a blob under a file name. */
export function download(blob, filename) {
  const link = element("a", { href: URL.createObjectURL(blob), download: filename });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
