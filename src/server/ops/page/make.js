// Making elements and words. Everything that came from outside is put in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function dressed(made, attributes, content) {
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  if (Array.isArray(content)) made.append(...content);
  else if (content !== undefined) made.textContent = content;
  return made;
}

export const element = (name, attributes = {}, content) => dressed(document.createElement(name), attributes, content);
export const drawn = (name, attributes = {}, content) => dressed(document.createElementNS(SVG, name), attributes, content);

// Sets what has changed, so that what somebody is at stays as it is.
export function set(made, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (made.getAttribute(key) !== String(value)) made.setAttribute(key, value);
  }
  return made;
}

export function say(made, text) {
  if (made.textContent !== text) made.textContent = text;
}

// The children of an element by key: those that stay are not made anew, and keep the focus.
export class Children {
  #parent;
  #known = new Map();

  constructor(parent) {
    this.#parent = parent;
  }

  begin() {
    this.#known.forEach((child) => (child.stale = true));
  }

  at(key, make) {
    let known = this.#known.get(key);
    if (!known) {
      known = { made: make() };
      this.#known.set(key, known);
      this.#parent.append(known.made);
    }
    known.stale = false;
    return known.made;
  }

  end() {
    for (const [key, { made, stale }] of this.#known) {
      if (!stale) continue;
      made.remove();
      this.#known.delete(key);
    }
  }
}

const two = (number) => String(number).padStart(2, "0");

// The time of day, where the reader is.
export function clock(at) {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function day(at) {
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function length(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${(ms / 60_000).toFixed(1)} min`;
  return ms < 172_800_000 ? `${(ms / 3_600_000).toFixed(1)} h` : `${(ms / 86_400_000).toFixed(1)} days`;
}

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
export const short = (id) => id.slice(0, 8);
