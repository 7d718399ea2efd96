// Small helpers to build and change what is shown. Everything goes through text nodes: nothing of it becomes markup.
// @ts-check

/**
 * The element with an id, which the page has.
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * An element with attributes and children. `undefined` leaves an attribute out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  attach(made, attributes, children);
  return made;
}

/**
 * The same for SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  attach(made, attributes, children);
  return made;
}

/**
 * @param {Element} made
 * @param {Record<string, string | number | undefined>} attributes
 * @param {(Node | string)[]} children
 */
function attach(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, String(value));
  }
  made.append(...children);
}

/**
 * Sets an element's text, if it is another.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets an attribute, if it is another; `undefined` takes it away.
 * @param {Element} element
 * @param {string} name
 * @param {string | undefined} value
 */
export function mark(element, name, value) {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Makes a list of terms and values show these, touching only what differs.
 * @param {HTMLElement} list A `dl`.
 * @param {[string, string, string?][]} pairs Term, value and tone.
 */
export function define(list, pairs) {
  const known = pairs.filter(([, value]) => value !== "");
  while (list.children.length > known.length) list.lastElementChild?.remove();
  while (list.children.length < known.length) list.append(html("div", {}, html("dt"), html("dd")));
  known.forEach(([term, value, tone], i) => {
    const [dt, dd] = list.children[i].children;
    say(dt, term);
    say(dd, value);
    mark(dd, "data-tone", tone);
  });
}
