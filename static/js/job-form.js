// The form for a new training job (templates/jobs/job_new.html). It works on what the form marks:
//
//   form[data-job-form]        data-fields-url: answers #config-fields for the form's model type and data,
//                              keeping what was typed
//   [name="model_type"], [name="data_path"]   a change of either asks for the fields again
//   select[data-dataset-pick]  choosing a data set writes its id into data_path; so does an upload anywhere in the page
//   [data-fields-note]         (optional) says what is going on

import { element, toast } from "./dom.js";

class JobForm {
  constructor(form) {
    this.form = form;
    this.path = form.elements.namedItem("data_path");
    this.pick = form.querySelector("[data-dataset-pick]");
    this.note = form.querySelector("[data-fields-note]");
    form.addEventListener("change", (event) => {
      if (event.target === this.pick) this.choose(this.pick.value);
      else if (event.target === this.path || event.target.name === "model_type") this.refresh();
    });
    document.addEventListener("upload:done", (event) => this.uploaded(event.detail));
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
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("config-fields");
    const old = document.getElementById("config-fields");
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : null;
    old.replaceWith(fresh);
    fresh.querySelectorAll("details").forEach((details, i) => (details.open ||= Boolean(open[i])));
    if (focused) document.getElementById(focused)?.focus();
  }

  say(words) {
    if (this.note) this.note.textContent = words;
  }
}

for (const form of document.querySelectorAll("form[data-job-form]")) new JobForm(form);
