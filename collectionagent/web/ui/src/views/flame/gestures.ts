// SPDX-License-Identifier: Apache-2.0
// Wheel, pinch and drag on a flame graph. A click is what did not become a drag.

import type { Stage } from "./stage";

/** Pixels that a pointer may move and still click. */
const slack = 4;

/** Listens on the canvas until what it returns is called. dragged() is asked by the click that ends a drag. */
export function listen(el: HTMLElement, scroller: HTMLElement, stage: Stage): { close(): void; dragged(): boolean; busy(): boolean } {
  const pointers = new Map<number, PointerEvent>();
  let moved = false;
  let startX = 0;
  let startY = 0;

  const share = (clientX: number) => (clientX - el.getBoundingClientRect().left) / (stage.width || 1);

  const wheel = (e: WheelEvent) => {
    const lines = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? stage.height : 1;
    if (e.ctrlKey || e.metaKey) {
      // A pinch on a touchpad comes as many small ones, a wheel as few large ones.
      const delta = Math.max(-120, Math.min(120, e.deltaY * lines));
      e.preventDefault();
      stage.zoom(share(e.clientX), Math.exp(-delta * (Math.abs(delta) < 40 ? 0.01 : 0.004)), Math.abs(delta) >= 40);
      return;
    }
    const x = (e.shiftKey && !e.deltaX ? e.deltaY : e.deltaX) * lines;
    if (!e.shiftKey && Math.abs(e.deltaX) <= Math.abs(e.deltaY)) return; // scrolls
    e.preventDefault();
    stage.pan(x / (stage.width || 1), false);
  };

  const down = (e: PointerEvent) => {
    if (e.pointerType === "mouse" && e.button !== 0) return;
    if (pointers.size === 0) {
      moved = false;
      startX = e.clientX;
      startY = e.clientY;
    }
    pointers.set(e.pointerId, e);
  };

  const move = (e: PointerEvent) => {
    const last = pointers.get(e.pointerId);
    if (!last) return;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((p) => p.pointerId !== e.pointerId)!;
      const before = Math.abs(last.clientX - other.clientX);
      const after = Math.abs(e.clientX - other.clientX);
      pointers.set(e.pointerId, e);
      moved = true;
      const middle = (e.clientX + other.clientX) / 2;
      stage.pan(-(e.clientX - last.clientX) / 2 / (stage.width || 1), false);
      if (before > 10 && after > 10) stage.zoom(share(middle), after / before, false);
      return;
    }
    if (!moved) {
      if (Math.abs(e.clientX - startX) <= slack && Math.abs(e.clientY - startY) <= slack) return;
      moved = true;
      if (el.setPointerCapture) el.setPointerCapture(e.pointerId);
      el.classList.add("flame-dragged");
    }
    pointers.set(e.pointerId, e);
    if (e.clientX !== last.clientX) stage.pan(-(e.clientX - last.clientX) / (stage.width || 1), false);
    // A finger scrolls by itself.
    if (e.pointerType === "mouse") scroller.scrollTop -= e.clientY - last.clientY;
  };

  const up = (e: PointerEvent) => {
    pointers.delete(e.pointerId);
    if (pointers.size === 0) el.classList.remove("flame-dragged");
  };

  el.addEventListener("wheel", wheel, { passive: false });
  el.addEventListener("pointerdown", down);
  el.addEventListener("pointermove", move);
  el.addEventListener("pointerup", up);
  el.addEventListener("pointercancel", up);
  return {
    dragged: () => moved,
    busy: () => moved && pointers.size > 0,
    close() {
      el.removeEventListener("wheel", wheel);
      el.removeEventListener("pointerdown", down);
      el.removeEventListener("pointermove", move);
      el.removeEventListener("pointerup", up);
      el.removeEventListener("pointercancel", up);
    },
  };
}
