// SPDX-License-Identifier: Apache-2.0
// A button that opens a small window below itself. Escape and a click elsewhere close it.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import "./popover.css";

interface Props {
  open: boolean;
  onOpen(open: boolean): void;
  label: ComponentChildren;
  /** For the button, where what it shows does not say it. */
  aria?: string;
  title?: string;
  class?: string;
  /** What the window is for who hears it. */
  name: string;
  /** "menu" when it holds nothing but commands. */
  role?: "dialog" | "menu";
  children: ComponentChildren;
}

export function Popover({ open, onOpen, label, aria, title, name, role = "dialog", children, ...rest }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const close = () => {
    onOpen(false);
    button.current!.focus();
  };
  // From the moment it is seen: Escape may follow at once.
  useLayoutEffect(() => {
    if (!open) return;
    const outside = (e: PointerEvent) => {
      if (!root.current!.contains(e.target as Node)) onOpen(false);
    };
    // What had the focus may be gone: Escape closes from anywhere.
    const escape = (e: KeyboardEvent) => {
      if (e.key !== "Escape" || e.defaultPrevented) return;
      e.preventDefault();
      close();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", escape);
    };
  }, [open]);
  // It stays on the screen, and what it is for has the focus.
  useLayoutEffect(() => {
    if (!open) return;
    const p = panel.current!;
    p.style.translate = "";
    const box = p.getBoundingClientRect();
    const over = box.right - document.documentElement.clientWidth + 8;
    if (over > 0) p.style.translate = `${-Math.min(over, Math.max(0, box.left - 8))}px 0`;
    const first = p.querySelector<HTMLElement>("[data-first]") ?? p.querySelector<HTMLElement>("button, input, select, a");
    first?.focus();
  }, [open]);
  return (
    <div
      class="popover"
      ref={root}
      onKeyDown={(e) => {
        if (open && role === "menu" && /^Arrow(Up|Down)$|^Home$|^End$/.test(e.key)) {
          const items = [...panel.current!.querySelectorAll<HTMLElement>("button:not(:disabled), a")];
          const at = items.indexOf(document.activeElement as HTMLElement);
          const next = e.key === "Home" ? 0 : e.key === "End" ? items.length - 1 : (at + (e.key === "ArrowUp" ? -1 : 1) + items.length) % items.length;
          items[next]?.focus();
          e.preventDefault();
        }
      }}
    >
      <button type="button" ref={button} class={rest.class} aria-haspopup={role} aria-expanded={open} aria-label={aria} title={title} onClick={() => onOpen(!open)}>
        {label}
      </button>
      {open && (
        <div class="popover-panel" ref={panel} role={role} aria-label={name}>
          {children}
        </div>
      )}
    </div>
  );
}
