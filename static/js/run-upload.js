// Upload of a run's files, of any size: [data-run-upload="/runs/<id>"], data-folder="plots/". Small files go as one
// request; large ones in pieces, so that a connection that breaks costs one piece: it goes on by itself when the
// network is back, and after a reload when the same file is chosen again.

import { csrfToken } from "./dom.js";
import { duration, fileSize } from "./format.js";
import { attachZone, errorWords, UploadRow } from "./upload-list.js";

const DIRECT_BYTES = 4 * 2 ** 20; // up to this size a file is one request
const PIECE_BYTES = 4 * 2 ** 20; // the server takes 256 KiB to 16 MiB
const AT_ONCE = 3; // files
const PASSING = [429, 502, 503, 504]; // answers after which the same request may succeed
const WAITS = [1, 2, 4, 8, 15, 15, 15]; // seconds after one failure after the other; then the reader is asked

/** An answer that is no success; its request says why. */
class Refused extends Error {
  constructor(request) {
    super(errorWords(request));
    this.status = request.status;
    this.seconds = Number(request.getResponseHeader("Retry-After")) || 0;
  }
}

/** No answer: the network is away, or the server is. */
class Broken extends Error {}

class Cancelled extends Error {}

/** The file cannot be read any more: it was changed or removed. */
class Unreadable extends Error {}

/** The digest of what is sent, for the server to check; browsers make none on plain http to another machine. */
async function digestHeader(bytes) {
  if (!crypto.subtle) return {};
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { "X-Content-SHA256": [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
}

class RunUpload {
  constructor(zone, file) {
    this.zone = zone;
    this.file = file;
    this.path = zone.folder + file.name;
    this.cancelled = false;
    this.row = new UploadRow(zone.root, file.name, file.size, { onCancel: () => this.cancel() });
    this.row.words("Waiting");
  }

  async start() {
    if (this.cancelled) return;
    this.begun = true;
    try {
      const small = this.file.size <= DIRECT_BYTES;
      const { status, answer } = await (small ? this.sendWhole() : this.sendPieces());
      const stored = answer.version > 1 ? `Stored as version ${answer.version}` : "Stored";
      this.row.finish("done", status === 200 ? "Stored already: the run had these bytes" : stored);
      document.body.dispatchEvent(new CustomEvent("run-files"));
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    const again = { label: "Go on", act: () => this.zone.add([this.file]) };
    if (error instanceof Cancelled || this.cancelled) this.row.finish("cancelled", "Cancelled");
    else if (error instanceof Broken) this.row.finish("failed", "The connection broke. Go on when it is back.", again);
    else if (error instanceof Unreadable) this.row.finish("failed", "The file was changed or removed. Choose it again.");
    else if (error instanceof Refused) this.row.finish("failed", error.message, error.status >= 500 ? again : null);
    else throw error;
  }

  cancel() {
    this.cancelled = true;
    // What begins an upload is answered with the name of what is to be removed: it is not broken off.
    if (!this.beginning) this.request?.abort();
    this.wake?.();
    if (!this.begun) this.row.finish("cancelled", "Cancelled");
    if (this.beginning) this.row.busy("Cancelling");
    this.giveUp();
  }

  /** Remove what the server has of the file. */
  giveUp() {
    const known = this.recall();
    this.remember(null);
    // Should this not arrive, the server gives the upload up a day later.
    if (known) this.call("DELETE", `${this.zone.place}/uploads/${known}`).catch(() => {});
  }

  // --- The two ways ---

  async sendWhole() {
    const bytes = await this.read(0, this.file.size);
    const path = this.path.split("/").map(encodeURIComponent).join("/");
    const headers = await digestHeader(bytes);
    return this.persist(() => this.send("PUT", `${this.zone.place}/artifacts/${path}`, bytes, headers, 0));
  }

  async sendPieces() {
    let upload = await this.begin();
    const place = `${this.zone.place}/uploads/${upload.id}`;
    this.meter = { since: performance.now(), from: upload.offset };
    while (upload.offset < this.file.size) {
      const { offset } = upload;
      const bytes = await this.read(offset, Math.min(offset + PIECE_BYTES, this.file.size));
      const headers = { "Upload-Offset": offset, ...(await digestHeader(bytes)) };
      upload = await this.persist(async () => {
        try {
          return (await this.send("PATCH", place, bytes, headers, offset)).answer;
        } catch (error) {
          // 400: the piece had arrived, and only its answer was lost. Where the upload is, it says itself.
          if (!(error instanceof Refused) || error.status !== 400) throw error;
          const now = (await this.send("GET", place)).answer;
          if (now.offset === offset) throw error;
          return now;
        }
      });
    }
    this.row.busy("Sent; the server is reading it");
    this.row.setButtons(); // it is too late to cancel
    let done = { status: 202 };
    while (done.status === 202) {
      done = await this.complete(place);
      if (done.status === 202) await this.pause(1);
    }
    this.remember(null);
    return done;
  }

  async complete(place) {
    try {
      return await this.persist(() => this.send("POST", `${place}/complete`));
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      // An earlier try was carried out and its answer lost? Then the file is there.
      const address = `${this.zone.place}/artifacts?limit=1&prefix=${encodeURIComponent(this.path)}`;
      const [found] = (await this.persist(() => this.send("GET", address))).answer;
      if (found?.path !== this.path || found.size !== this.file.size) throw error;
      return { status: 201, answer: found };
    }
  }

  /** The upload that this file was begun with before, or a new one. */
  async begin() {
    const known = this.recall();
    if (known) {
      try {
        return (await this.persist(() => this.send("GET", `${this.zone.place}/uploads/${known}`))).answer;
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 404) throw error; // 404: given up meanwhile
      }
    }
    const order = JSON.stringify({ path: this.path, size: this.file.size });
    const headers = { "Content-Type": "application/json" };
    this.beginning = true;
    const begun = await this.persist(() => this.send("POST", `${this.zone.place}/uploads`, order, headers));
    this.beginning = false;
    this.remember(begun.answer.id);
    if (this.cancelled) {
      this.giveUp();
      throw new Cancelled();
    }
    return begun.answer;
  }

  /** Under what the browser remembers the upload: another file, or the same one changed, has another name. */
  get memory() {
    return `upload:${this.zone.place}:${this.path}:${this.file.size}:${this.file.lastModified}`;
  }

  recall() {
    try {
      return localStorage.getItem(this.memory);
    } catch {
      return null; // the browser keeps nothing: after a reload the file is sent anew
    }
  }

  remember(id) {
    try {
      if (id) localStorage.setItem(this.memory, id);
      else localStorage.removeItem(this.memory);
    } catch {
      // As above.
    }
  }

  // --- Sending ---

  async read(from, to) {
    try {
      return await this.file.slice(from, to).arrayBuffer();
    } catch {
      throw new Unreadable();
    }
  }

  /** Try `act` until the server answers; what only the network or the server's load hinders is tried again. */
  async persist(act) {
    for (let failures = 0; ; failures += 1) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof Broken || PASSING.includes(error.status)) || failures === WAITS.length) throw error;
        const seconds = Math.max(WAITS[failures], error.seconds ?? 0);
        const what = error instanceof Broken ? "The connection broke" : "The server is busy";
        this.row.words(`${what}; trying again in ${duration(seconds)}`);
        await this.pause(seconds);
      }
    }
  }

  /** Wait; the network's return and the reader's cancelling end it early. */
  async pause(seconds) {
    const over = new AbortController();
    await new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, seconds * 1000);
      addEventListener("online", resolve, { signal: over.signal });
    });
    over.abort();
    this.wake = null;
    if (this.cancelled) throw new Cancelled();
  }

  /** One request; bytes from `offset` on move the bar. */
  async send(method, address, body = null, headers = {}, offset = null) {
    if (this.cancelled) throw new Cancelled();
    const moved = offset === null ? null : (loaded) => this.moved(offset + loaded);
    try {
      return await this.call(method, address, body, headers, moved);
    } finally {
      this.request = null;
    }
  }

  call(method, address, body = null, headers = {}, moved = null) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open(method, address);
      const all = { "Content-Type": "application/octet-stream", Accept: "application/json", ...headers };
      for (const [name, value] of Object.entries({ ...all, "X-CSRFToken": csrfToken() })) {
        request.setRequestHeader(name, value);
      }
      if (moved) request.upload.addEventListener("progress", (event) => moved(event.loaded));
      request.addEventListener("load", () => {
        if (request.status < 200 || request.status >= 300) reject(new Refused(request));
        else resolve({ status: request.status, answer: JSON.parse(request.responseText || "{}") });
      });
      request.addEventListener("error", () => reject(new Broken()));
      request.addEventListener("abort", () => reject(new Cancelled()));
      request.send(body);
    });
  }

  moved(sent) {
    const seconds = this.meter ? (performance.now() - this.meter.since) / 1000 : 0;
    const rate = seconds > 1 ? (sent - this.meter.from) / seconds : 0; // bytes a second
    const left = rate && `${fileSize(rate)}/s, ${duration(Math.ceil((this.file.size - sent) / rate))} left`;
    this.row.progress(sent, this.file.size, left || "");
  }
}

/** The zone of a page: so many of its files are sent at once, in the order in which they were chosen. */
class UploadZone {
  constructor(root) {
    this.root = root;
    this.place = root.dataset.runUpload;
    this.folder = root.dataset.folder;
    this.waiting = [];
    this.sending = 0;
    attachZone(root, (files) => this.add(files));
    addEventListener("beforeunload", (event) => {
      if (this.sending) event.preventDefault();
    });
  }

  add(files) {
    this.waiting.push(...files.map((file) => new RunUpload(this, file)));
    while (this.sending < AT_ONCE && this.waiting.length) this.next();
  }

  async next() {
    const upload = this.waiting.shift();
    this.sending += 1;
    try {
      await upload.start();
    } finally {
      this.sending -= 1;
      if (this.waiting.length) this.next();
    }
  }
}

for (const root of document.querySelectorAll("[data-run-upload]")) new UploadZone(root);
