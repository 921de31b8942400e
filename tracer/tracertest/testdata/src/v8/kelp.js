// WebAssembly that calls JavaScript, and that works by itself.
'use strict';
const code = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f, // type 0: from int to int
  2, 7, 1, 1, 0x65, 1, 0x66, 0, 0, // import e.f
  3, 3, 2, 0, 0,
  7, 14, 2, 3, 0x72, 0x75, 0x6e, 0, 1, 4, 0x73, 0x70, 0x69, 0x6e, 0, 2, // export run, spin
  10, 37, 2,
  6, 0, 0x20, 0, 0x10, 0, 0x0b, // run: calls f
  28, 1, 1, 0x7f, 3, 0x40, 0x20, 1, 0x41, 3, 0x6c, 0x41, 7, 0x6a, 0x21, 1, // spin: a loop
  0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x0b,
]);
function kelp_leaf(n) { let x = 1; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }
const { run, spin } = new WebAssembly.Instance(new WebAssembly.Module(code), { e: { f: kelp_leaf } }).exports;
function kelp_host(n) { return run(n); }
function kelp_spin(n) { return spin(n); }
console.log('runs'); const end = Date.now() + 1000 * Number(process.argv[2] || 5);
let acc = 0, n = 1000000;
while (Date.now() < end) {
  n = 1000000 + (n * 7) % 999983;
  acc ^= kelp_host(n) ^ kelp_spin(n);
}
if (acc === 42.5) console.log(acc);
