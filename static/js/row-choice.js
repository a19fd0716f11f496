// The rows of a table that are chosen by their boxes. They stay chosen when the table comes anew.
//
//   [data-select-all]   ticks the boxes of the page

/**
 * Follow the boxes that `selector` finds, and call `show(count, total)` after each change: of the page's `total` boxes
 * `count` are ticked. Returns what is to be called once the table has come anew.
 */
export function followChoice(selector, show) {
  const chosen = new Set();
  const boxes = () => [...document.querySelectorAll(selector)];

  function refresh() {
    const shown = boxes();
    for (const box of shown) box.checked = chosen.has(box.value);
    const count = shown.filter((box) => box.checked).length;
    const all = document.querySelector("[data-select-all]");
    if (all) {
      all.checked = count > 0 && count === shown.length;
      all.indeterminate = count > 0 && count < shown.length;
    }
    show(count, shown.length);
  }

  function choose(box, isChosen) {
    if (isChosen) chosen.add(box.value);
    else chosen.delete(box.value);
  }

  document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-select-all]")) for (const box of boxes()) choose(box, target.checked);
    else if (target.matches(selector)) choose(target, target.checked);
    else return;
    refresh();
  });
  // Back from another page the browser may tick the boxes that were ticked.
  addEventListener("pageshow", () => {
    for (const box of boxes()) if (box.checked) chosen.add(box.value);
    refresh();
  });
  return refresh;
}
