// The jobs' list (templates/jobs/job_list.html): which jobs are chosen, also when the table comes anew, and the question
// before something is done to them.
//
//   [data-job-table] input[name="job"]   the boxes; [data-select-all] ticks those of the page
//   form[data-bulk]                      its buttons act on the chosen ones; [data-bulk-count] says how many
//   [data-bulk-every]                    a box that means the list's other pages, too; [data-total] says how many
//   #bulk-question                       the dialog that the server's question is put into

import { number } from "./format.js";

const chosen = new Set();
const bar = document.querySelector("[data-bulk]");
const every = bar.querySelector('[name="every"]');
const question = document.getElementById("bulk-question");
question.classList.add("confirm"); // without script such a dialog would stand in the page, empty
const boxes = () => [...document.querySelectorAll('[data-job-table] input[name="job"]')];
const total = () => Number(document.querySelector("[data-job-table]").dataset.total);

/** Once a whole page is chosen, and there are more: whether the others are meant as well. */
function showEvery(shown, count) {
  const place = bar.querySelector("[data-bulk-every]");
  place.hidden = !every.checked && (count === 0 || count < shown || total() <= shown);
  place.querySelector("span").textContent = `all ${number(total())} of this list`;
}

function showChoice() {
  const shown = boxes();
  for (const box of shown) box.checked = chosen.has(box.value);
  const count = shown.filter((box) => box.checked).length;
  const all = document.querySelector("[data-select-all]");
  if (all) {
    all.checked = count > 0 && count === shown.length;
    all.indeterminate = count > 0 && count < shown.length;
  }
  bar.hidden = shown.length === 0;
  showEvery(shown.length, count);
  const words = every.checked ? `${number(total())} chosen` : count ? `${number(count)} chosen` : "Choose jobs";
  const label = bar.querySelector("[data-bulk-count]");
  if (label.textContent !== words) label.textContent = words; // a screen reader says it once
  for (const button of bar.querySelectorAll("button")) button.disabled = count === 0;
}

document.addEventListener("change", (event) => {
  if (event.target !== every) every.checked = false;
  if (event.target.matches("[data-select-all]")) {
    for (const box of boxes()) {
      if (event.target.checked) chosen.add(box.value);
      else chosen.delete(box.value);
    }
  } else if (event.target.matches('[data-job-table] input[name="job"]')) {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
  } else if (event.target !== every) return;
  showChoice();
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === question) question.showModal();
  else showChoice();
});
// Back from another page the browser may tick the boxes that were ticked.
addEventListener("pageshow", () => {
  for (const box of boxes()) if (box.checked) chosen.add(box.value);
  showChoice();
});
