// The list of data sets: a stored file leads to its page, or, when several were chosen, into the list.

let pending = 0;

addEventListener("change", (event) => {
  if (event.target.matches('[data-upload] input[type="file"]')) pending = event.target.files.length;
}, true);

addEventListener("drop", (event) => {
  if (event.target.closest?.(".dropzone")) pending = event.dataTransfer.files.length;
}, true);

addEventListener("upload:done", (event) => {
  if (pending > 1) document.querySelector("[data-uploaded]").hidden = false;
  else location.assign(`/ui/datasets/${event.detail.dataset_id}/`);
});
