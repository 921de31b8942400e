// SPDX-License-Identifier: Apache-2.0
// Holds the panel at the side: as wide as somebody made it, until somebody closes it.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { recall, remember } from "../ui/memory";
import "./sidepanel.css";

const narrowest = 220;
const widest = 900;

interface Props {
  onClose(): void;
  children: ComponentChildren;
}

export function SidePanel({ onClose, children }: Props) {
  const [width, setWidth] = useState(() => within(Number(recall("panel-width")) || 340));
  const set = (w: number) => {
    setWidth(within(w));
    remember("panel-width", String(within(w)));
  };
  const drag = (e: PointerEvent) => {
    const handle = e.currentTarget as HTMLElement;
    const right = handle.parentElement!.getBoundingClientRect().right;
    handle.setPointerCapture(e.pointerId);
    const move = (m: PointerEvent) => set(right - m.clientX);
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
    e.preventDefault();
  };
  return (
    <div class="side" style={{ "--side": `${width}px` }}>
      <div
        class="side-handle"
        role="separator"
        aria-orientation="vertical"
        aria-label="Width of the panel"
        aria-valuenow={width}
        aria-valuemin={narrowest}
        aria-valuemax={widest}
        tabIndex={0}
        onPointerDown={drag}
        onDblClick={() => set(340)}
        onKeyDown={(e) => {
          const by = e.key === "ArrowLeft" ? 24 : e.key === "ArrowRight" ? -24 : 0;
          if (!by) return;
          e.preventDefault();
          set(width + by);
        }}
      />
      <div class="side-body">{children}</div>
      <button type="button" class="side-close" aria-label="Close the panel" title="Close the panel (v)" onClick={onClose}>
        ×
      </button>
    </div>
  );
}

const within = (w: number) => Math.round(Math.min(widest, Math.max(narrowest, Math.min(w, window.innerWidth * 0.7))));
