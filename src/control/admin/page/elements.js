// Elements that are kept: only what changed is written, so focus and selection stay. Texts are set as text, so that no
// name can become markup.

import { NONE } from "./texts.js";

export const byId = (id) => document.getElementById(id);
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.firstChild?.nodeType === Node.TEXT_NODE && node.childNodes.length === 1) {
    if (node.firstChild.data !== text) node.firstChild.data = text;
  } else if (node.childNodes.length > 0 || text !== "") {
    node.replaceChildren(text);
  }
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** Makes the children of `parent` those of `items`, in order; a child stays with its key. */
export function keyed(parent, items, keyOf, make, update) {
  const known = (parent.known ??= new Map());
  const kept = new Set();
  let next = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (kept.has(key)) continue;
    kept.add(key);
    let node = known.get(key);
    if (!node) {
      node = make(item);
      known.set(key, node);
    }
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  for (const [key, node] of known) {
    if (kept.has(key)) continue;
    node.remove();
    known.delete(key);
  }
}

/** A table of columns {label, text(item)} or {label, fill(cell, item)}; the first column heads its row.
    On a phone a `wide` one has a line of its own, and one that `isNumber` alone has its label before it. */
export class Table {
  constructor(holder, label, empty, columns, keyOf) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.empty = element("p", { class: "empty" }, empty);
    // Roles are named, as a phone's layout takes those of the elements away.
    const heads = columns.map(({ label, number, about }) => element("th", {
      scope: "col", role: "columnheader", class: number ? "number" : "", ...(about && { title: about }),
    }, label));
    this.body = element("tbody", { role: "rowgroup" });
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads));
    this.table = element("table", { role: "table", "aria-label": label }, head, this.body);
    holder.append(this.empty, this.table);
  }

  show(items) {
    this.empty.hidden = items.length > 0;
    this.table.hidden = items.length === 0;
    keyed(this.body, items, this.keyOf, () => this.row(), (row, item) => this.fill(row, item));
  }

  row() {
    const cells = this.columns.map((column, index) => {
      const look = { class: [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") };
      if (index > 0) return element("td", { role: "cell", "data-label": column.label, ...look });
      if (column.isNumber) look["data-label"] = column.label;
      return element("th", { scope: "row", role: "rowheader", ...look });
    });
    return element("tr", { role: "row" }, ...cells);
  }

  fill(row, item) {
    this.columns.forEach((column, index) => {
      const cell = row.children[index];
      if (column.fill) {
        column.fill(cell, item);
        return;
      }
      const text = column.text(item);
      setText(cell, text);
      cell.classList.toggle("none", text === NONE || text === "");
    });
  }
}

/** A text, and a smaller one below it. */
export function textAndNote(cell, text, note) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", { class: "note" }));
  setText(cell.children[0], text);
  setText(cell.children[1], note);
}

/** A state with its colour, and a smaller text below it. */
export function pill(cell, text, kind, note) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", { class: "note" }));
  setClass(cell.children[0], `pill ${kind ?? ""}`);
  setText(cell.children[0], text);
  setText(cell.children[1], note);
}
