// Recursion: 900 frames deep with 'abyss.js 900 SECONDS'.
'use strict';
const depth = Number(process.argv[2]);
const end = Date.now() + 1000 * Number(process.argv[3] || 5);
let acc = 0;
function abyss_leaf(n) { let x = 1; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }
function dive(d, n) { return d === 1 ? abyss_leaf(n) : dive(d - 1, n) + 1; }
function surface() { while (Date.now() < end) acc ^= dive(depth, 3000000); }
console.log('runs'); surface();
if (acc === 42.5) console.log(acc);
