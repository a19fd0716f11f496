// What every upload on a page shares: a zone for dropping and choosing (templates/partials/dropzone.html), and a row a
// file with its progress, its end in words, and its buttons.

import { element, icon } from "./dom.js";
import { fileSize, percent } from "./format.js";

/** What went wrong, from an error answer of any of the contracts: {"errors"}, {"message"}, {"detail"}, {"error"}. */
export function errorWords(request) {
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy's page, not the platform's answer.
  }
  const first = Object.values(body?.errors ?? {}).flat()[0];
  if (typeof first === "string") return first;
  if (typeof body?.message === "string") return body.message;
  if (typeof body?.detail === "string") return body.detail;
  if (request.status === 413) return "The file is larger than the server takes.";
  if (request.status === 401 || request.status === 403) return "You are signed out. Reload the page and sign in.";
  return `The server answered ${request.status}. Try again; if it stays so, tell the operator.`;
}

/** Let files be dropped on the zone in `root`, or chosen: `send(files)` gets them. */
export function attachZone(root, send) {
  const zone = root.querySelector(".dropzone");
  const input = root.querySelector('input[type="file"]');
  const some = (files) => send(input.multiple ? [...files] : [...files].slice(0, 1));
  const chosen = () => {
    some(input.files);
    input.value = ""; // the same file may be chosen again
  };
  input.addEventListener("change", chosen);
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.dataset.over = "";
    });
  }
  for (const kind of ["dragleave", "drop"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      if (kind === "drop" || !zone.contains(event.relatedTarget)) delete zone.dataset.over;
    });
  }
  zone.addEventListener("drop", (event) => some(event.dataTransfer.files));
  if (input.files.length) chosen(); // before this script had come
}

/** A file's row in the list of uploads of `root`. */
export class UploadRow {
  constructor(root, name, size, { onCancel }) {
    this.name = name;
    this.announcer = root.querySelector("[data-upload-announce]");
    this.bar = element("progress", { max: 1, value: 0, "aria-label": `Upload of ${name}` });
    this.state = element("span", { class: "upload-state small muted" });
    this.buttons = element("span", { class: "row" });
    this.item = element(
      "li",
      { class: "upload-item", "data-state": "sending" },
      element("span", { class: "truncate", title: name }, `${name} · ${fileSize(size)}`),
      this.buttons,
      this.bar,
      this.state,
    );
    this.setButtons(this.button("Cancel", `Cancel the upload of ${name}`, onCancel));
    root.querySelector(".upload-list").prepend(this.item);
  }

  /** So many bytes have been sent; `more`: words after that, such as the time left. */
  progress(loaded, total, more = "") {
    this.bar.value = total ? loaded / total : 1;
    this.words(`${percent(this.bar.value)} · ${fileSize(loaded)} of ${fileSize(total)}${more && ` · ${more}`}`);
  }

  /** Under way, unknown how far. */
  busy(words) {
    this.bar.removeAttribute("value");
    this.words(words);
  }

  words(text) {
    this.state.textContent = text;
  }

  /** The end: "done", "failed" or "cancelled"; `again`: { label, act }, another try that the reader may ask for. */
  finish(outcome, words, again = null) {
    this.item.dataset.state = outcome;
    this.state.classList.remove("muted");
    this.words(words);
    this.announcer.textContent = `${this.name}: ${words}`;
    this.bar.remove();
    const dismiss = element(
      "button",
      { class: "button button-quiet button-icon button-small", type: "button" },
      icon("close"),
    );
    dismiss.setAttribute("aria-label", `Remove ${this.name} from this list`);
    dismiss.addEventListener("click", () => this.item.remove());
    if (!again) {
      this.setButtons(dismiss);
      return;
    }
    const act = () => {
      this.item.remove();
      again.act();
    };
    this.setButtons(this.button(again.label, `${again.label} with the upload of ${this.name}`, act), dismiss);
  }

  button(text, label, act) {
    const button = element("button", { class: "button button-small", type: "button", "aria-label": label }, text);
    button.addEventListener("click", act);
    return button;
  }

  /** Other buttons; the focus stays where it was, on the first of them. */
  setButtons(...buttons) {
    const hadFocus = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...buttons);
    if (hadFocus) buttons[0]?.focus();
  }
}

// A file dropped beside the zone would replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
