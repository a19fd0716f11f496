// Upload of data sets by drag and drop or picker (templates/partials/dropzone.html), with progress, cancelling, and
// errors in words. Dispatches `upload:done` (bubbles; detail: the answer's JSON) on the [data-upload] element for each
// file that was stored.

import { csrfToken } from "./dom.js";
import { attachZone, errorWords, UploadRow } from "./upload-list.js";

const FAILED_BEFORE_ANSWER = "The connection broke. Check it, then choose the file again.";

function uploadFile(root, file) {
  const request = new XMLHttpRequest();
  const row = new UploadRow(root, file.name, file.size, { onCancel: () => request.abort() });
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    if (event.loaded < event.total) row.progress(event.loaded, event.total);
    else row.busy("Sent; the server is reading it");
  });
  request.addEventListener("load", () => {
    if (request.status < 200 || request.status >= 300) {
      row.finish("failed", errorWords(request));
      return;
    }
    const answer = JSON.parse(request.responseText);
    row.finish("done", "Stored");
    root.dispatchEvent(new CustomEvent("upload:done", { bubbles: true, detail: answer }));
  });
  request.addEventListener("error", () => row.finish("failed", FAILED_BEFORE_ANSWER));
  request.addEventListener("abort", () => row.finish("cancelled", "Cancelled"));

  const body = new FormData();
  body.append("file", file);
  request.open("POST", root.dataset.upload);
  request.setRequestHeader("X-CSRFToken", csrfToken());
  request.setRequestHeader("Accept", "application/json");
  request.send(body);
}

for (const root of document.querySelectorAll("[data-upload]")) {
  attachZone(root, (files) => files.forEach((file) => uploadFile(root, file)));
}
