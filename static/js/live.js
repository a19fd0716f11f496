// A WebSocket that resumes: it reconnects after the last id it saw, so that nothing is missed and nothing comes
// twice, and it tells the truth about its state: connecting, live, reconnecting (with how long it has been
// without), refused, ended.

import { setIcon } from "./dom.js";

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 15_000;
const STEADY_AFTER = 5000; // ms; a connection that held this long counts as a success
// Close codes after which another try would end the same way.
const REFUSALS = {
  4401: "signed out: reload the page and sign in",
  4403: "you may not see this",
  4404: "it is not there any more",
};

export class LiveConnection {
  /**
   * @param {string} path         e.g. "/ws/jobs/<uuid>"; `last_id` is added
   * @param {object} options
   * @param {number} options.lastId         resume after this id
   * @param {(message: object) => void} options.onMessage  each message, once, in order; `end` included
   * @param {HTMLElement[]} [options.indicators]  partials/connection.html, kept up to date
   */
  constructor(path, { lastId = 0, onMessage, indicators = [] }) {
    this.path = path;
    this.lastId = lastId;
    this.onMessage = onMessage;
    this.indicators = indicators;
    this.failures = 0;
    this.state = "connecting";
    this.lostAt = null; // when the connection was lost, ms of performance.now()
    this.online = () => this.retryNow();
    this.offline = () => this.abandon(); // the browser may take minutes to notice by itself
    addEventListener("online", this.online);
    addEventListener("offline", this.offline);
    addEventListener("pagehide", () => this.close(), { once: true });
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const url = new URL(this.path, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("last_id", this.lastId);
    const socket = new WebSocket(url);
    this.socket = socket;
    // One that was abandoned may still speak: what it says comes again over the next one.
    const heard = (type, listener) =>
      socket.addEventListener(type, (event) => {
        if (socket === this.socket) listener(event);
      });
    heard("open", () => {
      // Not at once: a server that accepts and then closes must be met with growing delays too.
      this.steady = setTimeout(() => (this.failures = 0), STEADY_AFTER);
      this.show("live");
    });
    heard("message", (event) => this.receive(event.data));
    heard("close", (event) => this.closed(event));
  }

  /** Take the connection for lost. Its closing handshake needs the network too, so nobody waits for that. */
  abandon() {
    if (!this.socket) return; // lost already
    this.socket.close();
    this.closed({ code: 1006 });
  }

  receive(data) {
    const message = JSON.parse(data);
    if (typeof message.id === "number") {
      if (message.id <= this.lastId) return; // seen before the reconnection
      this.lastId = message.id;
    }
    this.onMessage(message);
    if (message.type === "end") {
      this.show("ended");
      this.close();
    }
  }

  closed(event) {
    this.socket = null;
    clearTimeout(this.steady);
    if (this.state === "ended" || this.stopped) return;
    if (event.code in REFUSALS) {
      this.show("refused", REFUSALS[event.code]);
      this.close();
      return;
    }
    this.lostAt ??= performance.now();
    this.failures += 1;
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(this.failures - 1, 10));
    // Jitter: the clients of a restarted server must not all come back in the same instant.
    const delay = ceiling / 2 + Math.random() * (ceiling / 2);
    this.timer = setTimeout(() => this.connect(), delay);
    this.show("reconnecting");
  }

  retryNow() {
    if (this.state === "reconnecting" && !this.socket) this.connect();
  }

  show(state, words = "") {
    this.state = state;
    clearInterval(this.clock);
    if (state === "live") this.lostAt = null;
    if (state === "reconnecting") this.clock = setInterval(() => this.render(words), 1000);
    this.render(words);
  }

  render(words) {
    const behind = this.lostAt === null ? 0 : Math.round((performance.now() - this.lostAt) / 1000);
    const text = words || (this.state === "reconnecting" ? `reconnecting, ${behind} s behind` : this.state);
    for (const indicator of this.indicators) {
      // Only a change of state is announced; the seconds that pass are not.
      if (indicator.dataset.state !== this.state) {
        indicator.dataset.state = this.state;
        indicator.setAttribute("aria-live", "polite");
        setIcon(indicator, { live: "dot", ended: "ring", refused: "close" }[this.state] ?? "repeat");
      } else {
        indicator.setAttribute("aria-live", "off");
      }
      indicator.querySelector(".connection-text").textContent = text;
    }
  }

  close() {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.steady);
    clearInterval(this.clock);
    removeEventListener("online", this.online);
    removeEventListener("offline", this.offline);
    this.socket?.close();
  }
}
