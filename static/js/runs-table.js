// The runs table (templates/projects/project_detail.html): which runs are chosen, also when the table comes anew, and the
// search among the columns.

const chosen = new Set();
const bar = document.querySelector("[data-bulk]");
const boxes = () => [...document.querySelectorAll('[data-run-table] input[name="run"]')];

function showChoice() {
  const shown = boxes();
  for (const box of shown) box.checked = chosen.has(box.value);
  const count = shown.filter((box) => box.checked).length;
  const all = document.querySelector("[data-select-all]");
  if (all) {
    all.checked = count > 0 && count === shown.length;
    all.indeterminate = count > 0 && count < shown.length;
  }
  if (!bar) return;
  bar.querySelector("[data-bulk-count]").textContent = count ? `${count} chosen` : "Choose runs";
  for (const button of bar.querySelectorAll("button")) button.disabled = count === 0;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of boxes()) {
      if (event.target.checked) chosen.add(box.value);
      else chosen.delete(box.value);
    }
  } else if (event.target.matches('[data-run-table] input[name="run"]')) {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
  } else return;
  showChoice();
});
document.body.addEventListener("htmx:afterSwap", showChoice);
// Back from another page the browser may tick the boxes that were ticked.
addEventListener("pageshow", () => {
  for (const box of boxes()) if (box.checked) chosen.add(box.value);
  showChoice();
});

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
