// Upload by drag and drop or picker (templates/partials/dropzone.html), with progress, cancelling, and errors in words.
// Dispatches `upload:done` (bubbles; detail: the answer's JSON) on the [data-upload] element for each file that was
// stored.

import { csrfToken, element, icon } from "./dom.js";
import { fileSize, percent } from "./format.js";

const FAILED_BEFORE_ANSWER = "The connection broke. Check it, then choose the file again.";

/** What went wrong, from an error answer of any of the contracts: {"message"}, {"detail"}, {"error"}. */
function errorWords(request) {
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy's page, not the platform's answer.
  }
  if (typeof body?.message === "string") return body.message;
  if (typeof body?.detail === "string") return body.detail;
  if (request.status === 413) return "The file is larger than the server takes.";
  if (request.status === 401 || request.status === 403) return "You are signed out. Reload the page and sign in.";
  return `The server answered ${request.status}. Try again; if it stays so, tell the operator.`;
}

function uploadFile(root, file) {
  const list = root.querySelector(".upload-list");
  const announcer = root.querySelector("[data-upload-announce]");
  const bar = element("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const state = element("span", { class: "upload-state small muted" });
  const cancel = element("button", { class: "button button-small", type: "button" }, "Cancel");
  cancel.setAttribute("aria-label", `Cancel the upload of ${file.name}`);
  const item = element(
    "li",
    { class: "upload-item", "data-state": "sending" },
    element("span", { class: "truncate", title: file.name }, `${file.name} · ${fileSize(file.size)}`),
    cancel,
    bar,
    state,
  );
  list.prepend(item);

  const request = new XMLHttpRequest();
  const finish = (outcome, words) => {
    item.dataset.state = outcome;
    state.classList.remove("muted");
    state.textContent = words;
    announcer.textContent = `${file.name}: ${words}`;
    bar.remove();
    const dismiss = element(
      "button",
      { class: "button button-quiet button-icon button-small", type: "button" },
      icon("close"),
    );
    dismiss.setAttribute("aria-label", `Remove ${file.name} from this list`);
    dismiss.addEventListener("click", () => item.remove());
    cancel.replaceWith(dismiss);
  };
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    bar.value = event.loaded / event.total;
    state.textContent =
      event.loaded < event.total
        ? `${percent(bar.value)} · ${fileSize(event.loaded)} of ${fileSize(event.total)}`
        : "Sent; the server is reading it";
    if (event.loaded >= event.total) bar.removeAttribute("value"); // under way, unknown how far
  });
  request.addEventListener("load", () => {
    if (request.status < 200 || request.status >= 300) {
      finish("failed", errorWords(request));
      return;
    }
    const answer = JSON.parse(request.responseText);
    finish("done", "Stored");
    root.dispatchEvent(new CustomEvent("upload:done", { bubbles: true, detail: answer }));
  });
  request.addEventListener("error", () => finish("failed", FAILED_BEFORE_ANSWER));
  request.addEventListener("abort", () => finish("cancelled", "Cancelled"));
  cancel.addEventListener("click", () => request.abort());

  const body = new FormData();
  body.append("file", file);
  request.open("POST", root.dataset.upload);
  request.setRequestHeader("X-CSRFToken", csrfToken());
  request.setRequestHeader("Accept", "application/json");
  request.send(body);
}

function attach(root) {
  const zone = root.querySelector(".dropzone");
  const input = root.querySelector('input[type="file"]');
  const send = (files) => {
    for (const file of input.multiple ? files : [...files].slice(0, 1)) uploadFile(root, file);
  };
  input.addEventListener("change", () => {
    send([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
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
  zone.addEventListener("drop", (event) => send([...event.dataTransfer.files]));
}

for (const root of document.querySelectorAll("[data-upload]")) attach(root);
// A file dropped beside the zone would replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
