// The log viewer (templates/partials/log.html): lines appended in batches, bounded in number, followed until the
// reader scrolls up.

import { copyText, element, setIcon, toast } from "./dom.js";

const MOST_LINES = 5000;
const SLACK = 500; // lines above that are removed this many at once: removing the first ones moves all the others
const RANK = { INFO: 0, WARN: 1, ERROR: 2 };
const DRAW_EVERY = 100; // ms at most between a line's arrival and its being shown
const ANNOUNCE_EVERY = 5000; // ms; a screen reader is told of problems, not of each line

export class LogView {
  constructor(root) {
    this.scroller = root.querySelector(".log");
    this.list = root.querySelector(".log-lines");
    this.counter = root.querySelector("[data-log-count]");
    this.announcer = root.querySelector("[data-log-announce]");
    this.followButton = root.querySelector("[data-log-follow]");
    this.levelSelect = root.querySelector("[data-log-level]");
    this.searchInput = root.querySelector("[data-log-search]");
    this.waiting = [];
    this.dropped = 0;
    this.problems = 0;
    this.following = true;

    this.followButton.addEventListener("click", () => this.follow(!this.following));
    this.levelSelect.addEventListener("change", () => this.filter());
    this.searchInput.addEventListener("input", () => this.filter());
    root.querySelector("[data-log-copy]").addEventListener("click", () => this.copy());
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.filter();
    this.toEnd();
  }

  /** The id of the newest line, 0 where there is none. */
  get lastId() {
    return Number(this.waiting.at(-1)?.id ?? this.list.lastElementChild?.dataset.id ?? 0);
  }

  /** @param {{id: number, level: string, message: string, timestamp: string}} line */
  append(line) {
    this.waiting.push(line);
    if (this.waiting.length > 2 * MOST_LINES) this.dropped += this.waiting.splice(0, MOST_LINES).length;
    this.timer ??= setTimeout(() => this.flush(), DRAW_EVERY);
  }

  flush() {
    this.timer = null;
    const lines = this.waiting.splice(0);
    const skipped = Math.max(0, lines.length - MOST_LINES);
    const fragment = document.createDocumentFragment();
    for (const line of lines.slice(skipped)) {
      const item = this.build(line);
      this.judge(item);
      fragment.append(item);
    }
    this.list.append(fragment);
    const excess = this.list.childElementCount - MOST_LINES;
    const surplus = excess > SLACK ? excess : 0;
    this.dropped += skipped + surplus;
    for (let i = 0; i < surplus; i++) this.list.firstElementChild.remove();
    this.count();
    this.announce(lines);
    if (this.following) this.toEnd();
  }

  build({ id, level, message, timestamp }) {
    const date = new Date(timestamp);
    const known = !Number.isNaN(date.getTime());
    const time = element("time", known ? { datetime: timestamp, title: timestamp } : {});
    time.textContent = known ? date.toISOString().slice(11, 19) : "";
    return element(
      "li",
      { class: "log-line", "data-id": id, "data-level": level },
      time,
      element("span", { class: "log-level" }, level),
      element("span", { class: "log-message" }, message),
    );
  }

  judge(item) {
    const message = item.querySelector(".log-message");
    const text = message.textContent;
    const sought = this.sought;
    const at = sought ? text.toLowerCase().indexOf(sought) : -1;
    item.hidden = (RANK[item.dataset.level] ?? 0) < this.leastRank || (Boolean(sought) && at < 0);
    if (at < 0) {
      if (message.firstElementChild) message.textContent = text;
      return;
    }
    const mark = element("mark", {}, text.slice(at, at + sought.length));
    message.replaceChildren(text.slice(0, at), mark, text.slice(at + sought.length));
  }

  filter() {
    this.leastRank = RANK[this.levelSelect.value] ?? 0;
    this.sought = this.searchInput.value.trim().toLowerCase();
    for (const item of this.list.children) this.judge(item);
    this.count();
    if (this.following) this.toEnd();
  }

  count() {
    const all = this.list.childElementCount;
    const filtered = this.leastRank > 0 || this.sought;
    const shown = filtered ? this.list.querySelectorAll(".log-line:not([hidden])").length : all;
    const total = all === 1 ? "1 line" : `${all} lines`;
    const words = filtered ? `${shown} of ${total}` : total;
    this.counter.textContent = this.dropped ? `${words}, ${this.dropped} older ones not shown` : words;
  }

  announce(lines) {
    this.problems += lines.filter((line) => line.level === "ERROR" || line.level === "WARN").length;
    if (!this.problems || this.announcing) return;
    this.announcing = setTimeout(() => {
      const text =
        this.problems === 1
          ? "1 new warning or error in the log"
          : `${this.problems} new warnings or errors in the log`;
      this.announcer.textContent = text;
      this.problems = 0;
      this.announcing = null;
    }, ANNOUNCE_EVERY);
  }

  follow(on) {
    this.following = on;
    this.followButton.setAttribute("aria-pressed", String(on));
    setIcon(this.followButton, on ? "sort-down" : "pause");
    if (on) this.toEnd();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < 24;
    // Scrolling up pauses, scrolling to the end follows again; growth by new lines moves the end, not the reader.
    if (this.lastTop !== undefined && scrollTop < this.lastTop && !atEnd && this.following) this.follow(false);
    else if (atEnd && !this.following) this.follow(true);
    this.lastTop = scrollTop;
  }

  async copy() {
    const lines = [...this.list.children].filter((item) => !item.hidden);
    const text = lines.map((item) => {
      const [time, level, message] = item.children;
      return `${time.dateTime} ${level.textContent} ${message.textContent}`;
    });
    const copied = await copyText(text.join("\n"));
    if (copied) toast(`${lines.length} log lines copied`, { tone: "good" });
    else toast("The browser did not allow copying", { text: "Select the lines and copy them by hand." });
  }
}
