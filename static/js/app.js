// What every page has: menus, theme, copy buttons, dialogs, tabs, ticking times, and words for failed htmx requests.

import { copyText, setIcon, toast } from "./dom.js";
import { relativeTime } from "./format.js";

const root = document.documentElement;

// --- Theme ---------------------------------------------------------------------------------------------------------

function chosenTheme() {
  try {
    return localStorage.getItem("theme") ?? root.dataset.theme ?? "system";
  } catch {
    return root.dataset.theme ?? "system";
  }
}

function applyTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage is forbidden; the cookie is enough.
  }
  const age = theme === "system" ? 0 : 365 * 86400;
  document.cookie = `theme=${theme}; path=/; max-age=${age}; samesite=lax`;
  document.dispatchEvent(new CustomEvent("theme:changed"));
}

for (const radio of document.querySelectorAll("[data-theme-choice] input")) {
  radio.checked = radio.value === chosenTheme();
  radio.addEventListener("change", () => applyTheme(radio.value));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("theme:changed"));
});

// --- Navigation drawer (narrow screens) and menus ------------------------------------------------------------------

const frame = document.getElementById("frame");
const navToggle = document.querySelector("[data-nav-toggle]");

function setNavigation(open) {
  if (!frame || !navToggle) return;
  frame.classList.toggle("nav-open", open);
  navToggle.setAttribute("aria-expanded", String(open));
  frame.querySelector(".nav-backdrop")?.remove();
  for (const part of frame.querySelectorAll(":scope > main, :scope > footer")) part.inert = open;
  if (open) {
    const backdrop = document.createElement("div");
    backdrop.className = "nav-backdrop";
    backdrop.addEventListener("click", () => setNavigation(false));
    frame.append(backdrop);
    const navigation = document.getElementById("navigation");
    (navigation.querySelector("a[aria-current]") ?? navigation.querySelector("a")).focus();
  }
}

navToggle?.addEventListener("click", () => setNavigation(!frame.classList.contains("nav-open")));
matchMedia("(max-width: 52rem)").addEventListener("change", () => setNavigation(false));
document.getElementById("navigation")?.addEventListener("focusout", (event) => {
  if (!frame?.classList.contains("nav-open") || !event.relatedTarget) return;
  if (!event.currentTarget.contains(event.relatedTarget) && event.relatedTarget !== navToggle) setNavigation(false);
});

function closeMenus(except = null) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) if (menu !== except) menu.open = false;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (frame?.classList.contains("nav-open")) {
      setNavigation(false);
      navToggle.focus();
    }
    const menu = document.querySelector("details[data-menu][open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
});

// --- Buttons that carry data attributes ----------------------------------------------------------------------------

async function copy(button) {
  const text = button.dataset.copy || document.getElementById(button.dataset.copyFrom)?.textContent || "";
  if (!(await copyText(text))) {
    toast("The browser did not allow copying", { text: "Select the text and copy it by hand." });
    return;
  }
  const label = button.dataset.label ?? button.getAttribute("aria-label") ?? "";
  button.dataset.label = label;
  button.dataset.copied = "";
  button.setAttribute("aria-label", "Copied");
  setIcon(button, "check");
  setTimeout(() => {
    delete button.dataset.copied;
    if (label) button.setAttribute("aria-label", label);
    setIcon(button, "copy");
  }, 1600);
}

document.addEventListener("click", (event) => {
  closeMenus(event.target.closest("details[data-menu]"));
  const button = event.target.closest("button");
  if (!button) {
    // A click on the backdrop of a dialog is a click on the dialog itself.
    if (event.target.matches("dialog.confirm[open]")) event.target.close();
    return;
  }
  if ("copy" in button.dataset || "copyFrom" in button.dataset) copy(button);
  else if ("dialogOpen" in button.dataset) document.getElementById(button.dataset.dialogOpen)?.showModal();
  else if ("dialogClose" in button.dataset) button.closest("dialog")?.close();
  else if ("dismiss" in button.dataset) dismiss(button);
});

function dismiss(button) {
  const notice = button.closest(".notice");
  const list = notice.parentElement;
  notice.remove();
  if (list.matches(".messages") && !list.children.length) list.remove();
  if (!list.matches(".toasts")) document.getElementById("content")?.focus();
}

// --- Tabs within a page ([data-tabs]): arrow keys move, as the ARIA pattern has it ---------------------------------

function selectTab(tab, { focus = false } = {}) {
  for (const other of tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = !chosen;
  }
  if (focus) tab.focus();
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest('[data-tabs] [role="tab"]');
  if (tab) selectTab(tab);
});

document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[data-tabs] [role="tab"]');
  if (!tab || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  const last = tabs.length - 1;
  const here = tabs.indexOf(tab);
  const target = { ArrowLeft: here ? here - 1 : last, ArrowRight: here < last ? here + 1 : 0, Home: 0, End: last }[
    event.key
  ];
  event.preventDefault();
  selectTab(tabs[target], { focus: true });
});

function hideOtherTabs(within) {
  for (const panel of within.querySelectorAll("[data-tab-hidden]")) panel.hidden = true;
}

// --- Times that tick -----------------------------------------------------------------------------------------------

const exactLocal = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function tick() {
  const now = new Date();
  for (const node of document.querySelectorAll("time[data-relative]")) {
    const date = new Date(node.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const text = relativeTime(date, now);
    if (node.textContent !== text) node.textContent = text;
    if (!node.dataset.exact) {
      node.dataset.exact = node.title;
      node.title = `${exactLocal.format(date)} (${node.title})`;
    }
  }
}

setInterval(() => {
  if (!document.hidden) tick();
}, 5000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tick();
});

// --- htmx ----------------------------------------------------------------------------------------------------------

const HTTP_WORDS = {
  400: "The server did not understand the request. Reload the page and try again.",
  401: "You are signed out. Sign in and try again.",
  403: "You may not do this, or the page is too old. Reload it and try again.",
  404: "It is not there any more. Reload the page.",
  409: "It has changed in the meantime. Reload the page and look again.",
  413: "That is more than the server takes at once.",
  429: "Too many requests in a short time. Wait a minute and try again.",
};

document.body.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  const reference = event.detail.xhr.getResponseHeader("X-Request-ID");
  const text = HTTP_WORDS[status] ?? "The server failed. Try again; if it stays so, tell the operator";
  toast(`That did not work (${status})`, {
    text: status >= 500 ? `${text}${reference ? `, naming request ${reference}.` : "."}` : text,
  });
});
document.body.addEventListener("htmx:sendError", () => {
  toast("The server was not reached", {
    text: "Check the connection; what you typed is still here. Then try again.",
  });
});
document.body.addEventListener("htmx:timeout", () => {
  toast("The server took too long", { text: "Try again in a moment." });
});
document.body.addEventListener("htmx:load", (event) => {
  tick();
  hideOtherTabs(event.target);
});

tick();
hideOtherTabs(document);
