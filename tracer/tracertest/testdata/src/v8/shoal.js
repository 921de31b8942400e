// Every way in which JavaScript calls JavaScript: inlined, through V8's own code
// in C++ and in assembly, after an await, from a microtask, in a generator.
'use strict';
let seed = 7;
function jitter(n) { seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff; return n * (50 + (seed >>> 8) % 100); }
function burn(n, x) { for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }

// Each call has one target, so that the optimising compiler inlines all of them.
function tide_leaf(n) { let x = 1; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; } return x; }
function tide_mid(n) { return tide_leaf(n) + 1; }
function tide(n) { let r = 0; for (let k = 0; k < 10; k++) r += tide_mid(n / 10); return r; }

class Crab {
  #claw(n) { return burn(n, 3); }
  get reach() { return this.#claw(this.size); }
}
Crab.prototype.pinch = function (n) { this.size = n; return this.reach; };

const eel = { toJSON() { return eel_leaf(this.n); }, n: 0 };
function eel_leaf(n) { return burn(n, 4); }
function eel_host(n) { eel.n = n; return JSON.stringify([eel]).length; }

function squid_leaf(n) { return burn(n, 5); }
function squid_host(n) { return [1, 2, 3, 4].map(function squid_each(v) { return squid_leaf(n / 4) + v; }).length; }

function clam_order(n, a, b) { burn(n, 6); return a - b; }
function clam_host(n) { return [4, 3, 2, 1].sort((a, b) => clam_order(n / 5, a, b))[0]; }

function carp_leaf(n) { return burn(n, 7); }
function carp_host(n) { return 'abab'.replace(/a./g, function carp_match() { return carp_leaf(n / 2); }).length; }

function* ray_walk(n) { for (let i = 0; i < 4; i++) yield burn(n / 4, 8); }
function ray_host(n) { let r = 0; for (const v of ray_walk(n)) r += v; return r; }

async function brook(n) { await null; return brook_leaf(n); }
function brook_leaf(n) { return burn(n, 9); }
function delta_leaf(n) { return burn(n, 10); }

const crab = new Crab();
const end = Date.now() + 1000 * Number(process.argv[2] || 5);
let acc = 0;
async function round() {
  acc ^= tide(jitter(12000));
  acc ^= crab.pinch(jitter(4000));
  acc ^= eel_host(jitter(4000));
  acc ^= squid_host(jitter(4000));
  acc ^= clam_host(jitter(4000));
  acc ^= carp_host(jitter(4000));
  acc ^= ray_host(jitter(4000));
  acc ^= await brook(jitter(4000));
  acc ^= await Promise.resolve().then(function delta_then() { return delta_leaf(jitter(4000)); });
}
(async function main() {
  console.log('runs'); while (Date.now() < end) await round();
  if (acc === 42.5) console.log(acc);
})();
