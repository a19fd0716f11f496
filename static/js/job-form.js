// The form for a new training job. It works on what the form marks:
//
//   form[data-job-form]                 data-columns-url="/ui/datasets/{id}/columns.json"
//   select or radios [data-model-type]  its value chooses which [data-model-fields="<value>"] fieldset is shown and sent
//   select[data-dataset]                the data set; an upload in the form ([data-upload]) adds its own and chooses it
//   select[data-target]                 filled with the data set's columns; data-selected: the one to choose
//   [data-target-note]                  says what is going on
//
// columns.json: {"columns": [{"name": "…", "type": "…"}], "target": "the suggested one or null"}

import { element } from "./dom.js";

class JobForm {
  constructor(form) {
    this.form = form;
    this.dataset = form.querySelector("[data-dataset]");
    this.target = form.querySelector("[data-target]");
    this.note = form.querySelector("[data-target-note]");
    form.addEventListener("change", (event) => {
      if (event.target.matches("[data-model-type]")) this.showModelFields();
      if (event.target === this.dataset) this.loadColumns();
    });
    form.addEventListener("upload:done", (event) => this.uploaded(event.detail));
    this.showModelFields();
    if (this.dataset?.value) this.loadColumns();
  }

  showModelFields() {
    const chosen =
      this.form.querySelector("select[data-model-type]") ?? this.form.querySelector("[data-model-type]:checked");
    if (!chosen) return;
    for (const group of this.form.querySelectorAll("[data-model-fields]")) {
      const shown = group.dataset.modelFields === chosen.value;
      group.hidden = !shown;
      group.disabled = !shown; // a disabled fieldset is not sent
    }
  }

  uploaded({ dataset_id: id, filename }) {
    if (![...this.dataset.options].some((option) => option.value === id)) {
      this.dataset.append(element("option", { value: id }, `${filename} (${id})`));
    }
    this.dataset.value = id;
    delete this.target?.dataset.selected;
    this.dataset.dispatchEvent(new Event("change", { bubbles: true }));
  }

  async loadColumns() {
    if (!this.target) return;
    this.request?.abort();
    const id = this.dataset.value;
    if (!id) {
      this.fill([], null);
      this.say("Choose a data set first.");
      return;
    }
    this.request = new AbortController();
    this.say("Reading the columns…");
    try {
      const url = this.form.dataset.columnsUrl.replace("{id}", encodeURIComponent(id));
      const response = await fetch(url, { headers: { Accept: "application/json" }, signal: this.request.signal });
      if (!response.ok) throw new Error(`columns: HTTP ${response.status}`);
      const { columns, target } = await response.json();
      this.fill(columns, target);
      this.say(`${columns.length} columns; the target is what the model learns to predict.`);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.fill([], null);
      this.say("The columns could not be read. Choose the data set again, or leave the target to the platform (the last column).");
    }
  }

  fill(columns, suggested) {
    const wanted = this.target.dataset.selected || suggested || "";
    const options = columns.map(({ name, type }) => element("option", { value: name }, type ? `${name} (${type})` : name));
    this.target.replaceChildren(element("option", { value: "" }, "Last column"), ...options);
    this.target.value = columns.some(({ name }) => name === wanted) ? wanted : "";
  }

  say(words) {
    if (this.note) this.note.textContent = words;
  }
}

for (const form of document.querySelectorAll("form[data-job-form]")) new JobForm(form);
