// Finding in a tree of keys or a table of names (templates/runs/_config.html, _metrics.html): what matches stays, with
// all that stands above it. What is sought is kept in the address as `find`.
//
//   [data-tree]         around it all
//   [data-tree-search]  the input; [data-tree-count] says how many match
//   [data-tree-node]    one line; data-path is searched as well as its words

import { nameMatcher, parameter, setParameter } from "./chart-state.js";

function find(root) {
  const input = root.querySelector("[data-tree-search]");
  const sought = input.value.trim();
  const matches = nameMatcher(sought);
  const nodes = [...root.querySelectorAll("[data-tree-node]")];
  let shown = 0;
  let leaves = 0;
  // From the inside out: a node stays where it matches, or something in it does.
  for (const node of nodes.reverse()) {
    const below = node.querySelector("[data-tree-node]");
    if (below) {
      node.hidden = !node.querySelector("[data-tree-node]:not([hidden])");
      continue;
    }
    leaves += 1;
    const words = node.querySelector("th, .config-leaf")?.textContent.trim() ?? "";
    node.hidden = Boolean(sought) && !matches(node.dataset.path) && !matches(words);
    if (!node.hidden) shown += 1;
  }
  root.querySelector("[data-tree-count]").textContent = sought ? `${shown} of ${leaves}` : "";
}

/** Keep the page's search working, also over what htmx puts in. */
export function startFinding() {
  const root = document.querySelector("[data-tree]");
  const input = root?.querySelector("[data-tree-search]");
  if (!input) return;
  input.value = parameter("find") ?? "";
  input.addEventListener("input", () => {
    setParameter("find", input.value.trim() || null);
    find(root);
  });
  document.body.addEventListener("htmx:afterSettle", () => find(root));
  find(root);
}
