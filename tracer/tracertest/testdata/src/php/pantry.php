<?php
// SPDX-License-Identifier: Apache-2.0
// Four kinds of calls that are more than a call: generators that delegate,
// a file that is included, callbacks from functions that are written in C in a
// namespace, and recursion. 30 % sauce, 20 % bread, 20 % soup, 30 % stew.
namespace Pantry;

$seed = 7;
function units() { global $seed; $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return 1500 + ($seed >> 8) % 6000; }
function burn($n) { $x = 1; for ($i = 0; $i < $n; $i++) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; } return $x; }

function sauce_leaf($n) { return burn($n) + 1; }
function sauce_drops($n) { for ($k = 0; $k < 3; $k++) { sauce_leaf($n); yield $k; } }
function sauce_pour($n) { yield 9; yield from sauce_drops($n); }
function sauce_all($n) { foreach (sauce_pour($n) as $v) { $last = $v; } return $last; }

class Oven {
  public function __call($name, $args) { return bread_leaf($args[0]); }
  public static function knead($n) { return (new self)->bake($n); }
}
function bread_leaf($n) { return burn($n) + 1; }
function bread_all($n) {
  return array_map(function ($k) { return call_user_func(['Pantry\Oven', 'knead'], $k); }, [$n, $n]);
}

function soup_leaf($n) { return burn($n) + 1; }
function soup_all($n) { return require __DIR__ . '/soup.inc.php'; }

function stew_leaf($n) { return burn($n) + 1; }
function stew_stir($d, $n) { return $d == 1 ? stew_leaf($n) : stew_stir($d - 1, $n) + $d; }
function stew_all($n) { return stew_stir(900, 3 * $n); }

function cook() { $u = 4 * units(); sauce_all($u); bread_all($u); soup_all($u); stew_all($u); }
echo "runs\n"; flush(); $end = microtime(true) + (float)($argv[1] ?? 5);
while (microtime(true) < $end) { cook(); }
