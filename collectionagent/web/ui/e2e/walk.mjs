// SPDX-License-Identifier: Apache-2.0
// What a walk by keyboard looks at: where the focus is, whether it can be seen there, what it
// is called, and whether Tab goes on.
import assert from "node:assert/strict";

/** Runs in the page: what has the focus, and what is wrong with that; null for nothing. */
function look() {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  // A control that is drawn by its label, such as one for files.
  const drawn = e.matches(".visually-hidden") && e.labels?.[0] ? e.labels[0] : e;
  const text = (x) => x?.textContent.replace(/\s+/g, " ").trim() ?? "";
  const name = e.getAttribute("aria-label") || [...(e.labels ?? [])].map(text).join(" ") || (e.matches("select, input") ? "" : text(e)) || e.title || e.placeholder || "";
  const wrong = [];
  drawn.scrollIntoView({ block: "nearest", inline: "nearest" });
  const box = drawn.getBoundingClientRect();
  const clipped = { left: Math.max(box.left, 0), top: Math.max(box.top, 0), right: Math.min(box.right, innerWidth), bottom: Math.min(box.bottom, innerHeight) };
  if (!drawn.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || box.width < 2 || box.height < 2) wrong.push("is not visible");
  else if (clipped.right <= clipped.left || clipped.bottom <= clipped.top) wrong.push("is outside of the window");
  else {
    // Something of it is not covered.
    const places = [0.1, 0.5, 0.9].flatMap((x) => [0.2, 0.5, 0.8].map((y) => [clipped.left + x * (clipped.right - clipped.left), clipped.top + y * (clipped.bottom - clipped.top)]));
    if (!places.some(([x, y]) => drawn.contains(document.elementFromPoint(x, y)))) wrong.push("is covered");
  }
  // The mark of the focus: what is drawn otherwise than for the same element without the focus.
  const marked = (x) => {
    const plain = x.cloneNode(false);
    plain.removeAttribute("id");
    plain.removeAttribute("autofocus");
    x.after(plain);
    const [on, off] = [x, plain].map((n) => {
      const s = getComputedStyle(n);
      return [s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 1 ? "" : `${s.outlineStyle} ${s.outlineWidth} ${s.outlineColor}`, s.boxShadow];
    });
    plain.remove();
    return on[0] !== off[0] || on[1] !== off[1];
  };
  const children = drawn === e ? [] : [...drawn.children];
  if (![drawn, drawn.parentElement, ...children].some((x) => x && x !== document.body && marked(x))) wrong.push("shows no focus");
  window.walked ??= new WeakSet();
  window.walked.add(e);
  window.numbers ??= new WeakMap();
  if (!window.numbers.has(e)) window.numbers.set(e, (window.counted = (window.counted ?? 0) + 1));
  return { id: window.numbers.get(e), name, tag: e.tagName.toLowerCase(), role: e.getAttribute("role") ?? "", class: e.className?.baseVal ?? e.className, wrong };
}

/** Runs in the page: what Tab should stop at and has not. */
function missed() {
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
    .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }) && !window.walked?.has(e))
    .map((e) => `${e.tagName.toLowerCase()} “${e.getAttribute("aria-label") ?? e.textContent.trim().slice(0, 40)}”`);
}

const told = (s) => `${s.role || s.tag} “${s.name.slice(0, 60)}” (${s.class})`;

/** What has the focus; a fault of it fails the test. */
export async function stop(page, where) {
  const s = await page.evaluate(look);
  if (s) {
    assert.deepEqual(s.wrong, [], `${where}: ${told(s)} ${s.wrong.join(", ")}`);
    assert.ok(s.name, `${where}: ${told(s)} has a name`);
  }
  return s;
}

/** Presses Tab until what has the focus fits. */
export async function tabTo(page, fits, where, { back = false, most = 160 } = {}) {
  const test = fits instanceof RegExp ? (s) => fits.test(s.name) : fits;
  const seen = [];
  for (let i = 0; i < most; i++) {
    const s = await stop(page, where);
    if (s && test(s)) return s;
    if (s) seen.push(s.name.slice(0, 30));
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
  }
  assert.fail(`${where}: Tab reaches ${fits}: ${seen.join(" | ")}`);
}

/**
 * Tabs from the first stop to the last and around, and back again. Every stop can be seen and
 * has a name, nothing that can have the focus is left out, and no element keeps it.
 */
export async function around(page, where, most = 400) {
  await page.evaluate(() => {
    window.walked = new WeakSet();
    document.activeElement?.blur?.();
  });
  for (const key of ["Tab", "Shift+Tab"]) {
    const ids = new Set();
    let before = -1;
    for (let i = 0; ; i++) {
      assert.ok(i < most, `${where}: ${key} comes around within ${most} steps`);
      await page.keyboard.press(key);
      const s = await stop(page, where);
      if (!s) {
        before = -1; // between the last and the first the browser itself has it
        continue;
      }
      if (s.id !== before && ids.has(s.id)) break; // around
      assert.notEqual(s.id, before, `${where}: ${told(s)} keeps the focus when ${key} is pressed`);
      before = s.id;
      ids.add(s.id);
    }
    if (key === "Tab") assert.deepEqual(await page.evaluate(missed), [], `${where}: Tab stops at everything`);
  }
}

const named = ["application", "button", "checkbox", "combobox", "dialog", "grid", "link", "listbox", "menu", "menuitem", "menuitemcheckbox", "option", "radio", "searchbox", "slider", "spinbutton", "tab", "table", "textbox", "treegrid"];

/** Everything that a person can act on has a name, as the browser computes it for a screen reader. */
export async function names(page, where) {
  const lines = (await page.locator("body").ariaSnapshot()).split("\n");
  const nameless = lines.filter((l) => {
    const found = /^\s*- '?([a-z]+)(?: (".*|\/.*))?/.exec(l);
    return found && named.includes(found[1]) && !found[2]?.match(/^("[^"]|\/)/);
  });
  assert.deepEqual(nameless, [], `${where}: everything has a name`);
  assert.ok(lines.length > 10, `${where}: there is something`);
}

/** Keys of a context that the list shows, one by one: "Shift ← →" is two. */
function single(key) {
  if (key.length <= 1) return [key];
  const parts = key.split(/ \/ | \+ | /).filter(Boolean);
  if (parts[0] !== "Shift") return parts;
  return parts.slice(1).map((k) => `Shift ${k}`);
}

/** Headings whose keys work wherever the focus is. */
const everywhere = ["Page", "Views", "Selection", "Time", "Stacks", "Details"];

/** Opens the list of keys by its key, checks it and closes it; keys: those that must be in it. */
export async function help(page, where, keys) {
  await page.keyboard.press("?");
  const dialog = page.getByRole("dialog", { name: "Keys" });
  await dialog.waitFor();
  await stop(page, `${where}: the keys`);
  const list = await dialog.locator("section").evaluateAll((all) =>
    all.flatMap((s) => [...s.querySelectorAll("dl > div")].map((d) => ({ group: s.querySelector("h3").textContent, key: d.querySelector("kbd").textContent, what: d.querySelector("dd").textContent }))),
  );
  const meanings = new Map();
  for (const { group, key, what } of list) {
    assert.ok(what, `${where}: ${key} says what it does`);
    for (const k of single(key)) {
      const context = `${everywhere.includes(group) ? "everywhere" : group}: ${k}`;
      assert.equal(meanings.get(context) ?? what, what, `${where}: a key means one thing (${context})`);
      meanings.set(context, what);
    }
  }
  const listed = new Set(list.flatMap((l) => single(l.key)));
  for (const k of keys) assert.ok(listed.has(k), `${where}: the list has ${k}: ${[...listed].join(" ")}`);
  await page.keyboard.press("Tab");
  assert.ok(await dialog.isVisible());
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  return list;
}
