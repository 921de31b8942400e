// SPDX-License-Identifier: Apache-2.0
// A menu: arrows, Home, End and first letters move in it, Enter chooses, Escape closes it and gives the
// focus back. It opens at a point or below a button and stays on the screen.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import "./menu.css";

export interface MenuItem {
  label: string;
  /** Beside the label, faded: a key, a share. */
  hint?: string;
  /** For the tooltip. */
  title?: string;
  run?(): void;
  /** A link in place of a command, with the name of the file when it is one to save. */
  href?: string;
  download?: string;
  /** It can be on or off, and the menu stays open for the next one. */
  checked?: boolean;
  disabled?: boolean;
}

/** Items, lines between them ("-"), and titles of parts. */
export type MenuEntry = MenuItem | "-" | { title: string };

const isItem = (e: MenuEntry): e is MenuItem => e !== "-" && "label" in e;

/** Without lines that separate nothing. */
function tidy(entries: readonly (MenuEntry | false | null | undefined | "")[]): MenuEntry[] {
  const out: MenuEntry[] = [];
  for (const e of entries) {
    if (!e) continue;
    if (e === "-" && (out.length === 0 || out.at(-1) === "-")) continue;
    out.push(e);
  }
  if (out.at(-1) === "-") out.pop();
  return out;
}

interface ListProps {
  /** For who hears it. */
  label: string;
  head?: string;
  entries: readonly (MenuEntry | false | null | undefined | "")[];
  x: number;
  y: number;
  /** The top of what it belongs to: the menu opens above that when there is no room below y. */
  top?: number;
  onClose(): void;
  class?: string;
}

export function MenuList({ label, head, entries, x, y, top = y, onClose, ...rest }: ListProps) {
  const root = useRef<HTMLDivElement>(null);
  const before = useRef<Element | null>(null);
  const list = tidy(entries);

  useEffect(() => {
    const outside = (e: PointerEvent) => {
      if (!root.current?.contains(e.target as Node)) onClose();
    };
    // The click that opened it is over before it listens.
    document.addEventListener("pointerdown", outside, true);
    window.addEventListener("resize", onClose);
    return () => {
      document.removeEventListener("pointerdown", outside, true);
      window.removeEventListener("resize", onClose);
    };
  }, [onClose]);

  useLayoutEffect(() => {
    before.current = document.activeElement;
    return () => {
      // Only when the focus was here: who clicked elsewhere wants it there.
      const el = before.current;
      if (el instanceof HTMLElement && el.isConnected && (document.activeElement === document.body || !document.activeElement)) el.focus({ preventScroll: true });
    };
  }, []);

  useLayoutEffect(() => {
    const el = root.current!;
    const { width, height } = el.getBoundingClientRect();
    const right = document.documentElement.clientWidth - 6;
    const bottom = window.innerHeight - 6;
    el.style.left = `${Math.max(6, Math.min(x, right - width))}px`;
    el.style.top = `${Math.max(6, y + height <= bottom ? y : top - height >= 6 ? top - height : bottom - height)}px`;
  }, [x, y, list.length]);

  // Entries may come later than the menu: until then it has the focus itself, for Escape.
  useLayoutEffect(() => {
    if (root.current!.contains(document.activeElement) && document.activeElement !== root.current) return;
    (items()[0] ?? root.current!).focus({ preventScroll: true });
  }, [list.length]);

  const items = () => [...root.current!.querySelectorAll<HTMLElement>('[role^="menuitem"]')];
  const choose = (item: MenuItem) => {
    if (item.disabled) return;
    if (item.checked === undefined) onClose();
    item.run?.();
  };
  const keys = (e: KeyboardEvent) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const go = (n: number) => all[(n + all.length) % all.length]?.focus();
    if (e.key === "ArrowDown") go(at + 1);
    else if (e.key === "ArrowUp") go(at < 0 ? -1 : at - 1);
    else if (e.key === "Home") go(0);
    else if (e.key === "End") go(-1);
    else if (e.key === "Escape" || e.key === "Tab") {
      onClose();
      (before.current as HTMLElement | null)?.focus?.({ preventScroll: true });
      if (e.key === "Tab") return;
    } else if (e.key.length === 1 && e.key !== " " && !e.ctrlKey && !e.metaKey && !e.altKey) {
      const letter = e.key.toLowerCase();
      const order = [...all.slice(at + 1), ...all.slice(0, at + 1)];
      order.find((i) => i.dataset.first === letter)?.focus();
    } else if (e.key !== "Enter" && e.key !== " ") return;
    e.stopPropagation(); // keys of the page and of what is below do not see it
    if (e.key !== "Enter" && e.key !== " ") e.preventDefault();
  };
  const mark = (item: MenuItem) => item.checked !== undefined && <span class="menulist-mark" aria-hidden="true">{item.checked ? "✓" : ""}</span>;
  return (
    <div ref={root} class={`menulist ${rest.class ?? ""}`} role="menu" aria-label={label} tabIndex={-1} onKeyDown={keys} onContextMenu={(e) => e.preventDefault()}>
      {head && (
        <div class="menulist-head" role="presentation">
          {head}
        </div>
      )}
      {list.map((e, i) => {
        if (e === "-") return <hr key={i} class="menulist-part" />;
        if (!isItem(e)) return <div key={i} class="menulist-title" role="presentation">{e.title}</div>;
        const common = {
          class: "menulist-item",
          tabIndex: -1,
          title: e.title,
          "data-first": e.label[0]?.toLowerCase(),
          "aria-disabled": e.disabled ? ("true" as const) : undefined,
        };
        const inside = (
          <>
            {mark(e)}
            <span class="menulist-text">{e.label}</span>
            {e.hint && <span class="menulist-hint">{e.hint}</span>}
          </>
        );
        return e.href ? (
          <a key={i} {...common} role="menuitem" href={e.href} download={e.download} onClick={() => setTimeout(onClose)}>
            {inside}
          </a>
        ) : (
          <button key={i} {...common} type="button" role={e.checked === undefined ? "menuitem" : "menuitemcheckbox"} aria-checked={e.checked} onClick={() => choose(e)}>
            {inside}
          </button>
        );
      })}
    </div>
  );
}

interface ButtonProps {
  /** What the button shows. */
  children: ComponentChildren;
  /** For who hears it, and as the name of the menu. */
  label: string;
  title?: string;
  head?: string;
  class?: string;
  entries: readonly (MenuEntry | false | null | undefined | "")[];
  disabled?: boolean;
  /** Open it from outside, such as by a key: each new number opens it. */
  open?: number;
}

/** A button that opens a menu below itself. */
export function MenuButton({ children, label, title, head, entries, disabled, open, ...rest }: ButtonProps) {
  const button = useRef<HTMLButtonElement>(null);
  const [at, setAt] = useState<{ x: number; y: number; top: number } | null>(null);
  const show = () => {
    const box = button.current!.getBoundingClientRect();
    button.current!.focus({ preventScroll: true });
    setAt({ x: box.left, y: box.bottom + 3, top: box.top - 3 });
  };
  const close = useRef(() => setAt(null)).current;
  useEffect(() => {
    if (open) show();
  }, [open]);
  return (
    <>
      <button
        ref={button}
        type="button"
        class={rest.class}
        title={title}
        disabled={disabled}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={at !== null}
        onPointerDown={(e) => at && e.stopPropagation()}
        onClick={() => (at ? close() : show())}
        onKeyDown={(e) => {
          if (e.key === "ArrowDown" && !at) {
            e.preventDefault();
            show();
          }
        }}
      >
        {children}
      </button>
      {at && <MenuList label={label} head={head} entries={entries} {...at} onClose={close} />}
    </>
  );
}
