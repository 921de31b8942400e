<?php
// SPDX-License-Identifier: Apache-2.0
// Time in code that PCRE compiled, which no table and no frame pointer tells how
// to leave: the PHP calls must be there all the same.
function market_search($text) { return preg_match('/[ab]*[cd]/', $text); }
function market($text) { for ($i = 0; $i < 20; $i++) { market_search($text); } }
ini_set('pcre.backtrack_limit', '100000000');
$text = str_repeat('ab', 800);
echo "runs\n"; flush(); $end = microtime(true) + (float)($argv[1] ?? 5);
while (microtime(true) < $end) { market($text); }
