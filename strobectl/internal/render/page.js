// SPDX-License-Identifier: Apache-2.0
(() => {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  const text = data.strings, columns = data.nodes;
  const nodes = columns.name.map((t, i) => ({
    t, f: columns.file[i], b: columns.binary[i], l: columns.line[i], d: columns.depth[i], s: columns.self[i], v: columns.total[i],
    p: columns.base ? columns.base[i] : 0, c: columns.colour[i].toString(16).padStart(6, '0'),
  }));
  const count = nodes.length;
  const $ = (id) => document.getElementById(id);
  const canvas = $('graph'), tip = $('tip'), search = $('search'), context = canvas.getContext('2d');
  const rowHeight = 20, root = nodes[0];

  // Where each node starts, who calls it, and where what it calls ends.
  const start = new Float64Array(count), parent = new Int32Array(count).fill(-1), end = new Int32Array(count);
  const path = [], next = new Float64Array(count);
  let deepest = 0;
  nodes.forEach((n, i) => {
    while (path.length > n.d) end[path.pop()] = i;
    if (path.length) {
      const above = path[path.length - 1];
      parent[i] = above;
      start[i] = start[above] + next[above];
      next[above] += n.v;
    }
    path.push(i);
    deepest = Math.max(deepest, n.d);
  });
  for (const i of path) end[i] = count;

  let zoom = 0, hover = -1, focus = 0, pattern = null, width = 0;
  let drawn = [];

  const number = (v, digits = 3) => Number(v.toPrecision(digits)).toLocaleString();
  const scaled = (v, units, step) => {
    let i = 0;
    while (v >= step[i] && i < step.length) v /= step[i++];
    return number(v) + ' ' + units[i];
  };
  const value = (v) => data.unit === 'nanoseconds' ? scaled(v, ['ns', 'µs', 'ms', 's', 'min', 'h'], [1e3, 1e3, 1e3, 120, 120])
    : data.unit === 'bytes' ? scaled(v, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], [1024, 1024, 1024, 1024]) : v.toLocaleString();
  const percent = (v, of) => of ? (100 * v / of).toFixed(2) + ' %' : '–';

  const matches = (i) => pattern !== null && pattern.test(text[nodes[i].t]);

  const draw = () => {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const ratio = devicePixelRatio || 1;
    width = canvas.clientWidth;
    const height = (deepest + 1) * rowHeight + 8;
    canvas.style.height = height + 'px';
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = '12px ui-monospace, Menlo, Consolas, monospace';
    context.textBaseline = 'middle';
    const from = start[zoom], scale = (width - 2) / Math.max(nodes[zoom].v, 1);
    const above = new Set();
    for (let i = parent[zoom]; i >= 0; i = parent[i]) above.add(i);
    drawn = [];
    const letter = context.measureText('m').width;
    for (let i = 0; i < count; i++) {
      const n = nodes[i];
      const ancestor = above.has(i);
      let x = (start[i] - from) * scale + 1, w = n.v * scale;
      if (ancestor) { x = 1; w = width - 2; }
      if (!ancestor && (w < 0.35 || x + w < 0 || x > width)) { i = end[i] - 1; continue; }
      const y = n.d * rowHeight + 4;
      x = Math.max(x, 1);
      w = Math.min(w, width - x);
      const dimmed = ancestor || (pattern !== null && !matches(i));
      context.globalAlpha = dimmed ? 0.35 : 1;
      context.fillStyle = '#' + n.c;
      context.fillRect(x, y, Math.max(w - 0.6, 0.4), rowHeight - 1);
      context.globalAlpha = 1;
      if (i === hover || (i === focus && document.activeElement === canvas)) {
        context.strokeStyle = dark ? '#fff' : '#14161c';
        context.lineWidth = 1.5;
        context.strokeRect(x + 0.7, y + 0.7, Math.max(w - 2, 1), rowHeight - 2.4);
      }
      const fits = Math.floor((w - 8) / letter);
      if (fits >= 3) {
        let name = text[n.t];
        if (name.length > fits) {
          const head = Math.ceil((fits - 1) / 2);
          name = name.slice(0, head) + '…' + name.slice(name.length - (fits - 1 - head));
        }
        context.fillStyle = dimmed && dark ? '#c9cdd6' : '#14161c';
        context.fillText(name, x + 4, y + rowHeight / 2);
      }
      drawn.push({ i, x, y, w });
    }
    $('reset').hidden = zoom === 0;
    const names = [];
    for (let i = focus; i > 0; i = parent[i]) names.unshift(text[nodes[i].t]);
    $('path').textContent = names.join(' › ');
  };

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const hit = drawn.find((r) => x >= r.x && x <= r.x + Math.max(r.w, 1) && y >= r.y && y < r.y + rowHeight);
    return hit ? hit.i : -1;
  };

  const explain = (i, x, y) => {
    const n = nodes[i];
    tip.replaceChildren();
    const line = (tag, content) => { const e = document.createElement(tag); e.textContent = content; tip.append(e); };
    line('b', text[n.t]);
    line('div', `${value(n.v)}, ${percent(n.v, root.v)} of all, self ${value(n.s || 0)}`);
    if (root.p) line('div', `before: ${value(n.p || 0)}, ${percent(n.p || 0, root.p)}`);
    const place = [text[n.f] + (text[n.f] && n.l ? ':' + n.l : ''), text[n.b]].filter(Boolean).join(' · ');
    if (place) line('div', place);
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 6)) + 'px';
    tip.style.top = (y + 18 + tip.offsetHeight > innerHeight ? Math.max(4, y - tip.offsetHeight - 10) : y + 18) + 'px';
  };

  const show = (i) => { zoom = i; focus = i; tip.hidden = true; draw(); };

  canvas.addEventListener('pointermove', (event) => {
    const i = at(event);
    if (i !== hover) { hover = i; draw(); }
    if (i >= 0) explain(i, event.clientX, event.clientY); else tip.hidden = true;
  });
  canvas.addEventListener('pointerleave', () => { hover = -1; tip.hidden = true; draw(); });
  canvas.addEventListener('click', (event) => { const i = at(event); if (i >= 0) show(i); });
  $('reset').addEventListener('click', () => show(0));

  const sibling = (i, step) => {
    const above = parent[i];
    for (let j = i + step; j > above && j < end[Math.max(above, 0)]; j += step) if (parent[j] === above && above >= 0) return j;
    return i;
  };
  canvas.addEventListener('keydown', (event) => {
    const moves = {
      ArrowDown: () => focus + 1 < count && parent[focus + 1] === focus ? focus + 1 : focus,
      ArrowUp: () => Math.max(parent[focus], 0),
      ArrowLeft: () => sibling(focus, -1),
      ArrowRight: () => sibling(focus, 1),
    };
    if (moves[event.key]) {
      focus = moves[event.key]();
      draw();
      const r = drawn.find((d) => d.i === focus), box = canvas.getBoundingClientRect();
      if (r) explain(focus, box.left + r.x, box.top + r.y); else tip.hidden = true;
      event.preventDefault();
    } else if (event.key === 'Enter') show(focus);
  });
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { search.value = ''; seek(); show(0); canvas.focus(); }
    if (event.key === '/' && document.activeElement !== search) { search.focus(); event.preventDefault(); }
  });

  const seek = () => {
    const wanted = search.value;
    pattern = null;
    if (wanted) {
      const flags = wanted === wanted.toLowerCase() ? 'i' : '';
      try { pattern = new RegExp(wanted, flags); } catch { pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), flags); }
    }
    let sum = 0;
    if (pattern) for (let i = 0; i < count; i++) if (matches(i)) { sum += nodes[i].v; i = end[i] - 1; }
    $('matched').textContent = pattern ? percent(sum, root.v) + ' matched' : '';
    draw();
  };
  search.addEventListener('input', seek);
  addEventListener('resize', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
})();
