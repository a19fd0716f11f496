// The form for a new training job (templates/jobs/job_new.html). It works on what the form marks:
//
//   form[data-job-form]        data-fields-url: answers #config-fields for the form's model type and data,
//                              keeping what was typed, and #destination, the queue that it would go to
//   [name="model_type"], [name="data_path"] …   a change of one of DECIDING asks for both again
//   #config-fields             data-accept, data-formats, data-hint: what such a model learns from, for the upload and
//                              the list of data sets
//   [data-architecture]        shown while the model type is "other", which is named there
//   select[data-dataset-pick]  choosing a data set writes its id into data_path; so does an upload anywhere in the page
//   [data-fields-note]         (optional) says what is going on
//
// The first field that was refused is shown and focused; what is being sent is not sent twice.

import { element, toast } from "./dom.js";

const DECIDING = new Set(["data_path", "model_type", "architecture", "framework_override", "requires_gpu"]);

class JobForm {
  constructor(form) {
    this.form = form;
    this.path = form.elements.namedItem("data_path");
    this.pick = form.querySelector("[data-dataset-pick]");
    this.note = form.querySelector("[data-fields-note]");
    form.addEventListener("change", (event) => {
      if (event.target === this.pick) this.choose(this.pick.value);
      else if (DECIDING.has(event.target.name)) this.refresh();
      if (event.target.name === "model_type") this.showArchitecture();
    });
    document.addEventListener("upload:done", (event) => this.uploaded(event.detail));
    form.addEventListener("submit", (event) => this.submitted(event));
    // Back from the job's page the browser may show this page as it was left.
    addEventListener("pageshow", () => (this.sent = false));
    this.showArchitecture();
    this.showKind();
    this.form.querySelector('[aria-invalid="true"]')?.focus();
  }

  submitted(event) {
    if (this.sent) event.preventDefault();
    else this.say("Starting…");
    this.sent = true;
  }

  showArchitecture() {
    const place = this.form.querySelector("[data-architecture]");
    if (place) place.hidden = this.form.elements.namedItem("model_type").value !== "other";
  }

  /** What the model type learns from: which files the picker offers, and which data sets the list. */
  showKind() {
    const { accept, formats, hint } = document.getElementById("config-fields").dataset;
    const input = document.querySelector('[data-upload] input[type="file"]');
    if (input) input.accept = accept;
    const words = document.querySelector("[data-upload-hint]");
    if (words) words.textContent = hint;
    for (const option of this.pick?.options ?? []) {
      option.hidden = option.disabled = Boolean(option.dataset.format) && !formats.split(" ").includes(option.dataset.format);
    }
  }

  uploaded({ dataset_id: id, filename }) {
    if (this.pick) {
      this.pick.append(element("option", { value: id }, filename));
      this.pick.value = id;
    }
    this.choose(id);
  }

  choose(id) {
    if (!id) return;
    this.path.value = id;
    this.refresh();
  }

  async refresh() {
    this.request?.abort();
    this.request = new AbortController();
    const query = new URLSearchParams(new FormData(this.form));
    query.delete("csrfmiddlewaretoken");
    this.say("Reading the columns…");
    try {
      const response = await fetch(`${this.form.dataset.fieldsUrl}?${query}`, { signal: this.request.signal });
      if (!response.ok) throw new Error(`fields: HTTP ${response.status}`);
      this.replaceFields(await response.text());
      this.say("");
    } catch (error) {
      if (error.name === "AbortError") return; // a newer choice is on its way
      this.say("");
      toast("The form's fields could not be read", {
        text: "What you typed is still here. Change the model type or the data again.",
      });
    }
  }

  replaceFields(html) {
    const answer = new DOMParser().parseFromString(html, "text/html");
    const fresh = answer.getElementById("config-fields");
    const old = document.getElementById("config-fields");
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const caret = focused?.selectionEnd;
    carryOver(old, fresh);
    old.replaceWith(fresh);
    document.getElementById("destination")?.replaceWith(answer.getElementById("destination"));
    this.showKind();
    fresh.querySelectorAll("details").forEach((details, i) => (details.open ||= Boolean(open[i])));
    const again = focused && document.getElementById(focused.id);
    again?.focus();
    if (typeof caret === "number") again?.setSelectionRange?.(caret, caret);
  }

  say(words) {
    if (this.note) this.note.textContent = words;
  }
}

/** What was typed or chosen while the answer was on its way stays, where the new fields can hold it. */
function carryOver(old, fresh) {
  for (const control of old.querySelectorAll("input[name], select[name], textarea[name]")) {
    const heir = fresh.querySelector(`[name="${CSS.escape(control.name)}"]`);
    if (!heir) continue;
    const holds = !heir.options || [...heir.options].some((option) => option.value === control.value);
    if (holds) heir.value = control.value;
  }
}

for (const form of document.querySelectorAll("form[data-job-form]")) new JobForm(form);
