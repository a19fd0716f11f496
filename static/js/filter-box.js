// The filter of the runs table ([data-filter-box]): offers what may stand at the caret, as the ARIA combobox has it.
//
//   data-complete  answers ?text=&caret= with {start, end, suggestions: [{text, detail}]}
//
// Arrow keys choose, Enter or Tab takes the chosen one, Escape closes; Enter without a choice sends the form.

import { element } from "./dom.js";

const PAUSE = 120; // ms after the last key

class FilterBox {
  constructor(box) {
    this.box = box;
    this.input = box.querySelector("input");
    this.list = element("ul", { class: "completions", id: "filter-options", role: "listbox", hidden: true });
    this.list.setAttribute("aria-label", "What may stand here");
    box.append(this.list);
    for (const [name, value] of [
      ["role", "combobox"],
      ["aria-autocomplete", "list"],
      ["aria-expanded", "false"],
      ["aria-controls", this.list.id],
    ])
      this.input.setAttribute(name, value);
    this.input.addEventListener("input", () => this.ask(PAUSE));
    this.input.addEventListener("click", () => this.ask(PAUSE));
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.input.addEventListener("blur", () => this.close());
    // Before the input loses the focus.
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = event.target.closest("li");
      if (option) this.take([...this.list.children].indexOf(option));
    });
    const position = this.input.dataset.errorPosition;
    if (position !== undefined) {
      this.input.focus();
      this.input.setSelectionRange(Number(position), Number(position));
    }
  }

  ask(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fetch(), pause);
  }

  async fetch() {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    const caret = this.input.selectionStart;
    const query = new URLSearchParams({ text: this.input.value, caret });
    try {
      const response = await fetch(`${this.box.dataset.complete}?${query}`, { signal: request.signal });
      if (!response.ok) throw new Error(`completion: HTTP ${response.status}`);
      const found = await response.json();
      if (document.activeElement === this.input && this.input.selectionStart === caret) this.show(found);
    } catch {
      // The server is away: typing goes on without help. A question that was dropped for a newer one closes nothing.
      if (this.request === request) this.close();
    }
  }

  show(found) {
    this.found = found;
    this.active = -1;
    this.list.replaceChildren(
      ...found.suggestions.map(({ text, detail }, index) =>
        element(
          "li",
          { role: "option", id: `filter-option-${index}`, "aria-selected": "false" },
          element("span", {}, text),
          element("span", { class: "muted" }, detail),
        ),
      ),
    );
    this.list.scrollTop = 0;
    this.open(found.suggestions.length > 0);
  }

  open(shown) {
    this.list.hidden = !shown;
    this.input.setAttribute("aria-expanded", String(shown));
    this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.open(false);
  }

  move(by) {
    const count = this.list.children.length;
    this.active = this.active < 0 && by < 0 ? count - 1 : (this.active + by + count) % count;
    for (const [index, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", String(index === this.active));
    }
    const option = this.list.children[this.active];
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  take(index) {
    const { start, end, suggestions } = this.found;
    const { value } = this.input;
    const after = value.slice(end);
    const space = after.startsWith(" ") ? "" : " ";
    const before = value.slice(0, start) + suggestions[index].text;
    this.input.value = before + space + after;
    const caret = before.length + 1;
    this.input.setSelectionRange(caret, caret);
    this.ask(0);
  }

  pressed(event) {
    const opened = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (opened) this.move(event.key === "ArrowDown" ? 1 : -1);
      else this.ask(0);
    } else if (opened && this.active >= 0 && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      this.take(this.active);
    } else if (opened && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    }
  }
}

for (const box of document.querySelectorAll("[data-filter-box]")) new FilterBox(box);
