// SPDX-License-Identifier: Apache-2.0
// What moves: the part of the tree that is shown, how it gets there, and when it is drawn. It
// lives beside the component, so that zooming and panning render no component at all.

import type { Theme } from "../../model/colour";
import type { Matches, Tree } from "../../model/tree";
import { formatPart, parsePart, sameNode } from "./same";
import { indexOf, type Index, type Item, type Window } from "./layout";
import { Painter } from "./paint";
import * as viewport from "./viewport";
import type { Span } from "./viewport";

const baseRow = 19;
const animation = 220; // ms

export interface Input {
  tree: Tree;
  matches: Matches;
  searching: boolean;
  zoom: number;
  theme: Theme;
  colour(node: number): string;
  up: boolean;
  hover: number;
  /** -1: the focus is elsewhere. */
  focus: number;
  /** The part of the zoomed frame that a link wants to be shown, "" for all of it. */
  part: string;
}

/** What the stage tells after it has drawn. */
export interface Seen {
  span: Span;
  /** Rows out of sight above and below, and those in sight. */
  above: number;
  below: number;
  rows: number;
  /** The span is not that of the zoomed frame. */
  free: boolean;
}

export class Stage {
  readonly window: Window = { left: 0, right: 1, scale: 1 };
  index!: Index;
  ratio = 1;
  rowHeight = baseRow;
  width = 0;
  height = 0;
  /** How high all rows are. */
  space = 0;
  /** The span was chosen by hand and is not that of the zoomed frame. */
  free = false;
  private input!: Input;
  private painter: Painter;
  private readonly from: Span = { left: 0, right: 1 };
  private readonly target: Span = { left: 0, right: 1 };
  private began = -1;
  private request = 0;
  private pending = 0; // scrolls to this node's row once the height is known
  private fromBottom = 0;
  private laidOut = 0; // the height that the spacer was made for
  private told = ""; // the part that was told last
  private step = false; // what is told next is worth a way back
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly seen: Seen = { span: this.window, above: 0, below: 0, rows: 0, free: false };

  constructor(
    private readonly scroller: HTMLElement,
    private readonly spacer: HTMLElement,
    canvas: HTMLCanvasElement,
    private readonly onSeen: (seen: Seen) => void,
    private readonly onFree: (free: boolean) => void,
    private readonly onPart: (part: string, step: boolean) => void,
  ) {
    this.painter = new Painter(canvas);
  }

  private spanOf(zoom: number): Span {
    const { tree } = this.index;
    const left = tree.start[zoom] ?? 0;
    return { left, right: left + (tree.width[zoom] || 1) };
  }

  get total(): number {
    return this.index.tree.width[0] || 1;
  }

  /** Takes what the component was given. */
  update(input: Input): void {
    const old = this.input as Input | undefined;
    this.input = input;
    if (!old || old.tree !== input.tree) {
      const before = old ? this.spanOf(old.zoom) : null;
      this.index = indexOf(input.tree);
      const now = this.spanOf(input.zoom);
      // The same question, asked again, shows the same place.
      const kept = old && this.free && sameNode(old.tree, old.zoom, input.tree) === input.zoom;
      if (kept && before) this.jump(viewport.carry(this.window, before, now, this.total));
      else {
        this.jump(now);
        this.setFree(false);
      }
      if (!old) this.pending = input.zoom;
    } else if (old.zoom !== input.zoom) {
      this.setFree(false);
      this.goTo(this.spanOf(input.zoom));
      this.pending = input.zoom;
    }
    // What is asked for from outside: a link, or the way back.
    if (input.part !== this.told) {
      this.told = input.part;
      const span = parsePart(input.part, this.spanOf(input.zoom));
      if (span) {
        const { left, right } = viewport.clamp(span.left, span.right, this.total);
        this.show({ left, right }, !!old && old.tree === input.tree);
      } else if (this.free) this.reset();
    }
    if (old && old.up !== input.up) this.pending = input.zoom || -1;
    this.layout(old?.up !== input.up);
    this.invalidate();
  }

  /** Measures: call when the size may have changed. */
  measure(): void {
    this.ratio = window.devicePixelRatio || 1;
    this.rowHeight = Math.round(baseRow * this.ratio) / this.ratio;
    this.width = this.scroller.clientWidth;
    this.height = this.scroller.clientHeight;
    if (this.index) {
      this.layout(false);
      this.draw(performance.now()); // at once: a canvas of another size is empty
    }
  }

  private layout(turned: boolean): void {
    const { tree } = this.index;
    const deepest = this.free ? tree.maxDepth : (this.index.deepest[this.input.zoom] ?? 0) + 1;
    const space = Math.max(deepest * this.rowHeight + 4, this.height);
    if (space !== this.space || turned || this.height !== this.laidOut) {
      this.space = space;
      this.laidOut = this.height;
      this.spacer.style.height = `${Math.max(0, space - this.height)}px`;
      if (this.input.up) this.scroller.scrollTop = turned ? space : space - this.height - this.fromBottom;
    }
    if (this.pending > 0 && this.height > 0) {
      const y = this.rowTop(tree.depth[this.pending]!);
      const at = this.scroller.scrollTop;
      if (y < at || y + 2 * this.rowHeight > at + this.height) this.scroller.scrollTop = this.input.up ? y - this.height * 0.7 : y - this.height * 0.3;
    }
    if (this.height > 0) this.pending = 0;
    this.scrolled();
  }

  /** Call when it was scrolled. */
  scrolled(): void {
    this.fromBottom = this.space - this.height - this.scroller.scrollTop;
    this.invalidate();
  }

  /** Scrolls a row to the middle. */
  scrollToRow(depth: number): void {
    this.scroller.scrollTop = this.rowTop(depth) - this.height / 2;
  }

  /** Where a row is, in pixels from the top of all rows. */
  rowTop(depth: number): number {
    return this.input.up ? this.space - (depth + 1) * this.rowHeight : depth * this.rowHeight;
  }

  /** What is drawn at a place of the screen, null for nothing. */
  itemAt(clientX: number, clientY: number): Item | null {
    const rect = this.scroller.getBoundingClientRect();
    const y = clientY - rect.top - this.scroller.clientTop + this.scroller.scrollTop;
    const depth = Math.floor((this.input.up ? this.space - y : y) / this.rowHeight);
    const x = clientX - rect.left - this.scroller.clientLeft;
    if (x < 0 || x >= this.width) return null;
    return this.index.itemAt(depth, x * this.ratio, this.window);
  }

  /** The rectangle of an item on the screen: what a tooltip must not cover. */
  rectOf(item: Item): { left: number; right: number; top: number; bottom: number } {
    const rect = this.scroller.getBoundingClientRect();
    const top = rect.top + this.rowTop(this.index.tree.depth[this.index.node[item.first]!]!) - this.scroller.scrollTop;
    const left = rect.left + item.x / this.ratio;
    return { left: Math.max(left, rect.left), right: Math.min(left + item.w / this.ratio, rect.right), top, bottom: top + this.rowHeight };
  }

  /** Tells the part that is shown when it has not changed for a while: an address is no place for a film. */
  private tell() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const part = this.free ? formatPart(this.target, this.spanOf(this.input.zoom)) : "";
      if (part === this.told) return;
      this.told = part;
      this.onPart(part, this.step);
      this.step = false;
    }, 300);
  }

  private setFree(free: boolean) {
    this.tell();
    if (this.free === free) return;
    this.free = free;
    this.onFree(free);
    if (this.input) this.layout(false);
  }

  private rescale() {
    this.window.scale = Math.max(1, Math.round(this.width * this.ratio)) / (this.window.right - this.window.left || 1);
  }

  private jump(to: Span) {
    this.began = -1;
    this.window.left = this.target.left = to.left;
    this.window.right = this.target.right = to.right;
    this.rescale();
    this.invalidate();
  }

  /** Shows a span, smoothly where that is wanted. */
  private goTo(to: Span) {
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches || this.width === 0) {
      this.jump(to);
      return;
    }
    this.from.left = this.window.left;
    this.from.right = this.window.right;
    this.target.left = to.left;
    this.target.right = to.right;
    this.began = 0; // at the next frame
    this.scroller.dataset.still = "false";
    this.invalidate();
  }

  /** Comes closer to frames that are merged; the browser's way back leads out again. */
  open(to: Span): void {
    this.step = true;
    this.show(to, true);
  }

  /** Shows a span that is not that of a frame. */
  show(to: Span, smooth: boolean): void {
    const whole = to.right - to.left >= this.total * (1 - 1e-12);
    this.setFree(!(whole && this.input.zoom === 0));
    if (smooth) this.goTo(to);
    else this.jump(to);
  }

  /** Back to the zoomed frame. */
  reset(): void {
    this.setFree(false);
    this.goTo(this.spanOf(this.input.zoom));
  }

  /** Zooms around a place of the screen, 0 … 1 from the left. From where it is going to, when it is on its way. */
  zoom(at: number, factor: number, smooth: boolean): void {
    this.show(viewport.zoomAround(smooth ? this.target : this.window, at, factor, this.total), smooth);
  }

  /** Moves by a part of the screen. */
  pan(part: number, smooth: boolean): void {
    this.show(viewport.pan(smooth ? this.target : this.window, part, this.total), smooth);
  }

  /** Moves and scrolls so that a node can be seen. */
  reveal(node: number): void {
    const { tree } = this.index;
    const span = viewport.reveal(this.target, tree.start[node]!, tree.width[node]!, this.width, this.total);
    if (span !== this.target) this.show(span, true);
    const y = this.rowTop(tree.depth[node]!);
    const at = this.scroller.scrollTop;
    if (y < at || y + 2 * this.rowHeight > at + this.height) this.scroller.scrollTop = y - this.height / 2;
  }

  /** Scrolls the row of a node into sight, and pans when the node is wholly outside. */
  follow(node: number): void {
    const { tree } = this.index;
    const start = tree.start[node]!;
    const end = start + tree.width[node]!;
    if (end <= this.target.left || start >= this.target.right) this.reveal(node);
    const y = this.rowTop(tree.depth[node]!);
    const at = this.scroller.scrollTop;
    if (y < at) this.scroller.scrollTop = y - this.rowHeight;
    else if (y + 2 * this.rowHeight > at + this.height) this.scroller.scrollTop = y + 3 * this.rowHeight - this.height;
  }

  invalidate(): void {
    if (!this.request) this.request = requestAnimationFrame(this.tick);
  }

  private readonly tick = (now: number) => {
    this.request = 0;
    this.draw(now);
  };

  private draw(now: number): void {
    if (!this.width || !this.height || !this.input) return;
    if (this.began >= 0) {
      if (this.began === 0) this.began = now;
      const t = Math.min((now - this.began) / animation, 1);
      viewport.between(this.from, this.target, viewport.ease(t), this.window);
      if (t >= 1) this.began = -1;
      else this.invalidate();
    }
    const began = performance.now();
    this.rescale();
    const { scene, input } = this;
    scene.index = this.index;
    scene.colour = input.colour;
    scene.theme = input.theme;
    scene.searching = input.searching;
    scene.matches = input.matches;
    scene.zoom = input.zoom;
    scene.hover = input.hover;
    scene.focus = input.focus;
    scene.up = input.up;
    scene.width = this.width;
    scene.height = this.height;
    scene.ratio = this.ratio;
    scene.rowHeight = this.rowHeight;
    scene.space = this.space;
    scene.top = this.scroller.scrollTop;
    this.painter.draw(scene);
    this.seen.above = scene.top / this.rowHeight;
    this.seen.rows = this.height / this.rowHeight;
    this.seen.below = Math.max(0, this.space - scene.top - this.height) / this.rowHeight;
    this.seen.free = this.free;
    this.onSeen(this.seen);
    const data = this.scroller.dataset;
    const drawn = String(this.painter.drawn);
    if (data.drawn !== drawn) data.drawn = drawn;
    data.drawMs = (performance.now() - began).toFixed(2);
    if (this.began < 0 !== (data.still === "true")) data.still = String(this.began < 0);
  }

  private readonly scene = { window: this.window } as Parameters<Painter["draw"]>[0];

  close(): void {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.request);
  }
}
