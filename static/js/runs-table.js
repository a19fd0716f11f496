// The runs table (templates/projects/project_detail.html): which runs are chosen, and the search among the columns.

import { followChoice } from "./row-choice.js";

const bar = document.querySelector("[data-bulk]");

function showChoice(count) {
  if (!bar) return;
  bar.querySelector("[data-bulk-count]").textContent = count ? `${count} chosen` : "Choose runs";
  for (const button of bar.querySelectorAll("button")) button.disabled = count === 0;
}

document.body.addEventListener("htmx:afterSwap", followChoice('[data-run-table] input[name="run"]', showChoice));

const find = document.querySelector("[data-columns-find]");
find?.addEventListener("input", () => {
  const words = find.value.toLowerCase();
  for (const entry of document.querySelectorAll("[data-column]")) {
    const name = entry.getAttribute("aria-label") ?? entry.textContent;
    entry.hidden = !name.toLowerCase().includes(words);
  }
});
// Enter in the search is no wish to leave the menu.
find?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault();
});
