// The jobs' list (templates/jobs/job_list.html): which jobs are chosen, and the question before something is done to them.
//
//   [data-job-table] input[name="job"]   the boxes; [data-select-all] ticks those of the page
//   form[data-bulk]                      its buttons act on the chosen ones; [data-bulk-count] says how many
//   [data-bulk-every]                    a box that means the list's other pages, too; [data-total] says how many
//   #bulk-question                       the dialog that the server's question is put into

import { number } from "./format.js";
import { followChoice } from "./row-choice.js";

const bar = document.querySelector("[data-bulk]");
const every = bar.querySelector('[name="every"]');
const question = document.getElementById("bulk-question");
question.classList.add("confirm"); // without script such a dialog would stand in the page, empty
const total = () => Number(document.querySelector("[data-job-table]").dataset.total);

/** Once a whole page is chosen, and there are more: whether the others are meant as well. */
function showEvery(count, shown) {
  const place = bar.querySelector("[data-bulk-every]");
  place.hidden = !every.checked && (count === 0 || count < shown || total() <= shown);
  place.querySelector("span").textContent = `all ${number(total())} of this list`;
}

function showChoice(count, shown) {
  bar.hidden = shown === 0;
  showEvery(count, shown);
  const words = every.checked ? `${number(total())} chosen` : count ? `${number(count)} chosen` : "Choose jobs";
  const label = bar.querySelector("[data-bulk-count]");
  if (label.textContent !== words) label.textContent = words; // a screen reader says it once
  for (const button of bar.querySelectorAll("button")) button.disabled = count === 0;
}

// Before the boxes are looked at: another choice no longer means the whole list.
document.addEventListener("change", (event) => {
  if (event.target === every) refresh();
  else every.checked = false;
});
const refresh = followChoice('[data-job-table] input[name="job"]', showChoice);
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === question) question.showModal();
  else refresh();
});
