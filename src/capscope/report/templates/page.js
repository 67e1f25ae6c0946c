"use strict";
/* Tables sort by their headings and long ones filter; without this script the page shows the same numbers. */
(() => {
  const FILTER_FROM = 12;
  const lead = (cell) => (cell.querySelector("bdi, summary") ?? cell.firstChild ?? cell).textContent.trim();
  const number = (text) => {
    const found = text.replaceAll("\u2212", "-").replace(/[\s\u202f,]/g, "").match(/^[<>]?(-?\d+(?:\.\d+)?)/);
    return found ? Number(found[1]) : null;
  };
  const order = (left, right) => {
    const [a, b] = [number(left), number(right)];
    return a !== null && b !== null ? a - b : left.localeCompare(right, undefined, { numeric: true });
  };
  const missing = (text) => text === "" || text === "\u2013";

  const sortBy = (table, column, heading) => {
    const direction = heading.getAttribute("aria-sort") === "descending" ? 1 : -1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: lead(row.cells[column]) }));
    rows.sort((a, b) => {
      if (missing(a.key) || missing(b.key)) return missing(a.key) - missing(b.key);
      return direction * order(a.key, b.key);
    });
    body.append(...rows.map((entry) => entry.row));
  };

  const addSorting = (table) => {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, column, heading));
      heading.append(button);
    });
  };

  const addFilter = (table) => {
    const caption = table.caption ? table.caption.textContent.trim() : "this table";
    const field = document.createElement("input");
    field.type = "search";
    field.className = "filter";
    field.placeholder = "Filter rows";
    field.setAttribute("aria-label", `Filter rows of: ${caption}`);
    const shown = document.createElement("span");
    shown.className = "hint";
    shown.setAttribute("role", "status");
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLocaleLowerCase();
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
      const left = rows.filter((row) => !row.hidden).length;
      shown.textContent = wanted ? ` ${left} of ${rows.length} rows` : "";
    });
    table.parentElement.prepend(field, shown);
  };

  for (const table of document.querySelectorAll("table")) {
    const rows = table.tBodies[0]?.rows ?? [];
    const even = table.tHead?.rows.length === 1 && [...rows].every((row) => row.cells.length === rows[0].cells.length);
    if (rows.length < 2 || !even) continue;
    addSorting(table);
    if (rows.length >= FILTER_FROM) addFilter(table);
  }
})();
