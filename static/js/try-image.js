// The form to try an image classifier: an image is chosen, dropped or pasted, shown, and made smaller where it is
// larger than any network sees.

import { element, toast } from "./dom.js";
import { fileSize } from "./format.js";

const LARGE_BYTES = 2_000_000;
const MAX_SIDE = 1600; // px of what is sent of a large image

export class TryImage {
  constructor(form) {
    this.input = form.querySelector('input[type="file"]');
    this.zone = form.querySelector(".dropzone");
    this.note = form.querySelector("[data-try-note]");
    this.preview = form.querySelector("[data-try-preview]");
    this.input.addEventListener("change", () => this.chosen(this.input.files[0]));
    for (const kind of ["dragenter", "dragover"])
      this.zone.addEventListener(kind, (event) => {
        event.preventDefault();
        this.zone.dataset.over = "";
      });
    this.zone.addEventListener("dragleave", (event) => {
      if (!this.zone.contains(event.relatedTarget)) delete this.zone.dataset.over;
    });
    this.zone.addEventListener("drop", (event) => {
      event.preventDefault();
      delete this.zone.dataset.over;
      this.take(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const [file] = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
      if (file) this.take(file);
    });
    // A file dropped beside the zone would replace the page.
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
    if (this.input.files.length) this.chosen(this.input.files[0]); // before this script had come
  }

  /** Put a dropped or pasted file where a chosen one would be. */
  take(file) {
    if (!file) return;
    this.hold(file);
    this.chosen(file);
  }

  hold(file) {
    const list = new DataTransfer();
    list.items.add(file);
    this.input.files = list.files;
  }

  async chosen(file) {
    this.show(null);
    if (!file) {
      this.note.textContent = "At most 8 MB";
      return;
    }
    this.note.textContent = `${file.name} · ${fileSize(file.size)}`;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      // The server reads kinds of images that this browser does not; it says so if it cannot either.
      this.note.textContent += ", which this browser cannot show";
      return;
    }
    if (this.input.files[0] !== file) return; // another one was chosen meanwhile
    this.show(file);
    if (file.size > LARGE_BYTES) await this.shrink(file, bitmap);
  }

  async shrink(file, bitmap) {
    const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = element("canvas", {
      width: Math.round(bitmap.width * scale),
      height: Math.round(bitmap.height * scale),
    });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    if (!blob) {
      toast("The image could not be made smaller", { tone: "warning", text: "It is sent as it is." });
      return;
    }
    if (this.input.files[0] !== file || blob.size >= file.size) return;
    this.hold(new File([blob], file.name, { type: blob.type }));
    this.note.textContent = `${file.name} · sent with ${canvas.width} × ${canvas.height} pixels`;
  }

  show(file) {
    const image = this.preview.querySelector("img");
    if (image.src) URL.revokeObjectURL(image.src);
    this.preview.hidden = !file;
    if (file) image.src = URL.createObjectURL(file);
    else image.removeAttribute("src");
  }
}
