// The stream of events and of looks at the server. It comes back by itself, and knows since when it is gone.

const AGAIN_MS = 250;
// The server says something every second.
const SILENCE_MS = 4000;

export class Stream {
  constructor({ begin, event, look, changed }) {
    Object.assign(this, { begin, event, look, changed });
    this.goneSince = Date.now();
    this.#open();
    setInterval(() => this.#watch(), 500);
  }

  get isLive() {
    return this.goneSince === undefined;
  }

  #open() {
    this.heardAt = Date.now();
    this.source = new EventSource("/api/events");
    this.source.addEventListener("begin", () => {
      this.#heard();
      this.begin();
    });
    this.source.addEventListener("now", (message) => {
      this.#heard();
      this.look(JSON.parse(message.data));
    });
    this.source.onmessage = (message) => {
      this.#heard();
      this.event(JSON.parse(message.data));
    };
    // A connection that breaks, breaks at once.
    this.source.onerror = () => this.#gone(Date.now());
  }

  #heard() {
    this.heardAt = Date.now();
    if (this.isLive) return;
    this.goneSince = undefined;
    this.changed();
  }

  #watch() {
    if (this.source && Date.now() - this.heardAt > SILENCE_MS) this.#gone(this.heardAt);
  }

  #gone(since) {
    this.source?.close();
    this.source = undefined;
    if (this.isLive) {
      this.goneSince = since;
      this.changed();
    }
    setTimeout(() => this.#open(), AGAIN_MS);
  }
}
