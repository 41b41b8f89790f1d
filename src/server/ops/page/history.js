// What the server's events add up to: who has a link, who was away and why, and the runs of the server. No drawing.

// With what each of them means, in the order of the legend.
export const CAUSES = {
  restart: "the server was started again",
  reset: "the connection broke",
  silence: "nothing was heard",
  refused: "the server had let go",
  replaced: "a new connection came before the old one was found dead",
  unknown: "not known any more",
};

const BEFORE = new Set(["recovered", "state-note", "state-lost", "events-left-out"]);

const OUTAGES_MAX = 2000;
const EVENTS_MAX = 2000;
const RUNS_MAX = 100;
const ENDED_MAX = 20;

export const known = (cause) => (cause in CAUSES ? cause : "unknown");

export class History {
  // When the page itself saw a run go, by its number: this outlives what is sent anew.
  #seenGone = new Map();

  constructor() {
    this.clear();
  }

  gone(boot, at) {
    this.#seenGone.set(boot, at);
  }

  // What follows is all that is remembered.
  clear() {
    this.events = [];
    this.outages = [];
    this.runs = [];
    this.users = new Map();
    this.since = new Map();
    this.live = new Set();
    this.lost = new Map();
    this.before = new Map();
  }

  take(event) {
    this.events.push(event);
    if (this.events.length > EVENTS_MAX) this.events.shift();
    if (event.user && event.session) {
      this.users.set(event.session, event.user);
      if (!this.since.has(event.session)) this.since.set(event.session, event.at);
    }
    if (event.event === "server-started") this.#started(event);
    // A run that begins has something to say before it serves.
    else if (!BEFORE.has(event.event)) this.#run(event.at).last = event.at;
    if (event.event === "server-stopping") this.#run(event.at).ended = "well";
    if (event.event === "login-ok") this.#loggedIn(event);
    if (event.event === "logged-out") this.#forget(event.user);
    if (event.event === "link-lost") {
      this.live.delete(event.session);
      this.lost.set(event.session, { at: event.at, cause: causeOf(event.cause) });
    }
    if (event.event === "resumed") {
      this.before.set(event.session, this.lost.get(event.session));
      this.lost.delete(event.session);
      this.live.add(event.session);
    }
    if (event.event === "outage") this.#outage(event);
    if (event.event === "outage-told") this.#told(event);
  }

  // A look at the server: sessions that no event was remembered of.
  look(now) {
    for (const { session, user } of now.sessions ?? []) this.users.set(session, user);
    if (now.at && this.runs.length > 0) this.runs.at(-1).last = Math.max(this.runs.at(-1).last, now.at);
  }

  // Matches that were settled, the last one first, as rows like those of the server.
  ended() {
    const games = new Map(this.events.filter((event) => event.event === "match-started").map((event) => [event.match_id, event.game]));
    const settled = this.events.filter((event) => event.event === "match-settled").slice(-ENDED_MAX).toReversed();
    return settled.map(({ match_id, x, o, plies }) => ({ match: match_id, x, o, game: games.get(match_id) ?? "–", ply: plies, state: "over" }));
  }

  #run(at) {
    if (this.runs.length === 0) this.runs.push({ at, last: at, cut: true });
    return this.runs.at(-1);
  }

  #started(event) {
    const last = this.runs.at(-1);
    if (last) {
      last.boot ??= event.boot - 1;
      last.ended ??= event.last_run === "well" ? "well" : "failed";
      // Of a run that was killed the log does not say when: the page may have seen it, the clients tell it.
      last.end = last.ended === "well" ? last.last : (this.#seenGone.get(last.boot) ?? event.at);
    }
    const { at, boot, sessions, matches } = event;
    this.runs.push({ at, last: at, boot, sessions, matches });
    if (this.runs.length > RUNS_MAX) this.runs.shift();
    // Nobody has a link to a server that has just begun.
    for (const session of this.live) this.lost.set(session, { at: last?.end ?? at, cause: "restart" });
    this.live.clear();
  }

  // A client has lost its link then, so the run that it lost had ended.
  #ranUntil(at, before) {
    const next = this.runs.findLastIndex((run) => run.at <= before);
    const run = this.runs[next - 1];
    if (run && run.ended !== "well") run.end = Math.max(run.last, Math.min(run.end, at));
  }

  #loggedIn({ user, session }) {
    // A login ends the session before.
    this.#forget(user);
    this.users.set(session, user);
    this.live.add(session);
  }

  #forget(user) {
    for (const [session, whose] of this.users) {
      if (whose !== user) continue;
      this.live.delete(session);
      this.lost.delete(session);
    }
  }

  #outage(event) {
    const { session, user, at, cause, length_ms, at_least, ended } = event;
    const before = this.before.get(session);
    const start = Math.min(at - length_ms, before?.at ?? at);
    this.lost.delete(session);
    this.live.add(session);
    this.outages.push({ key: `${session}-${at}`, session, user, cause: known(cause), start, end: at, at_least, ended });
    if (this.outages.length > OUTAGES_MAX) this.outages.shift();
  }

  // Only the client knows its dials, and when it lost a server that was killed.
  #told({ session, cause, length_ms, attempts, waits_ms }) {
    const outage = this.outages.findLast((outage) => outage.session === session);
    if (!outage || outage.attempts !== undefined) return;
    outage.attempts = attempts;
    outage.waits = String(waits_ms).split(" ").filter((wait) => wait !== "").map(Number);
    outage.found = cause;
    outage.start = Math.min(outage.start, outage.end - length_ms);
    outage.at_least = false;
    if (outage.cause === "restart") this.#ranUntil(outage.start, outage.end);
  }
}

function causeOf(word) {
  return { closed: "reset", ours: "refused" }[word] ?? known(word);
}

// One outage in a sentence, for whoever does not see the bar.
export function sentence(outage, words) {
  const { length, clock, count } = words;
  const more = outage.at_least ? "at least " : "";
  const times = `${more}${length(outage.end - outage.start)}, from ${clock(outage.start)}`;
  return `${outage.user}: ${outage.cause}, ${times}; ${dials(outage, count)}; ${outage.ended}`;
}

export function dials(outage, count) {
  if (outage.attempts === undefined) return "dials not told by the client";
  const waits = outage.waits.length > 8 ? [...outage.waits.slice(0, 8), "…"] : outage.waits;
  return `${count(outage.attempts, "dial")} after waits of ${waits.join(", ")} ms`;
}
