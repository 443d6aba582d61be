// Elements from data. Strings become text nodes and attributes, never markup: what is on the topics was written by anybody.

/** el("p.quiet", {title: "..."}, "text", otherElement): classes after dots; null and false children are left out. */
export function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) if (value != null) element.setAttribute(key, value);
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) if (value != null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const drawn = new Map();

/** Fill a place only when its data changed, so that selections, focus and screen readers are left in peace. */
export function show(id, data, build) {
  const key = JSON.stringify(data);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  document.getElementById(id).replaceChildren(...[build(data)].flat());
}

export const empty = (title, ...rest) => el("p.empty", {}, el("strong", {}, title), ...rest);
