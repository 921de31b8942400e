// Three threads of JavaScript, each with a heap of its own.
'use strict';
const { Worker, isMainThread, workerData } = require('worker_threads');
function minnow_leaf(n) { let x = 1; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }
function minnow_swim(n) { return minnow_leaf(n) + 1; }
function minnow_school(end) { let acc = 0; while (Date.now() < end) acc ^= minnow_swim(5000000); return acc; }
function pike_leaf(n) { let x = 2; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }
function pike_hunt(end) { let acc = 0; while (Date.now() < end) acc ^= pike_leaf(5000000); return acc; }
if (isMainThread) {
  const end = Date.now() + 1000 * Number(process.argv[2] || 5);
  for (let i = 0; i < 2; i++) new Worker(__filename, { workerData: end });
  console.log('runs'); pike_hunt(end);
} else {
  minnow_school(workerData);
}
