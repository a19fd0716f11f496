// A model's page: its training curves, an image to try, the playground of a language model. Works on what it marks:
//
//   [data-curves]          partials of charts (training-curves.js)
//   form[data-try-image]   an image's form (try-image.js)
//   form[data-playground]  what was refused goes with the next attempt; [data-go-on] in an answer takes its text up
//   form[data-submit-keys] Ctrl+Enter submits

import { TrainingCurves } from "./training-curves.js";
import { TryImage } from "./try-image.js";

for (const root of document.querySelectorAll("[data-curves]")) new TrainingCurves(root).load();
for (const form of document.querySelectorAll("form[data-try-image]")) new TryImage(form);

document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form[data-submit-keys]");
  if (!form || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

const playground = document.querySelector("form[data-playground]");
if (playground) {
  const answers = document.getElementById("generations");
  const prompt = playground.querySelector("textarea");
  playground.addEventListener("submit", () => {
    for (const refused of answers.querySelectorAll(":scope > .generation:has(.notice)")) refused.remove();
  });
  answers.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go-on]");
    if (!button) return;
    prompt.value = button.closest(".generation").querySelector("[data-copy]").dataset.copy;
    prompt.focus();
    prompt.setSelectionRange(prompt.value.length, prompt.value.length);
    prompt.scrollTop = prompt.scrollHeight;
  });
}
