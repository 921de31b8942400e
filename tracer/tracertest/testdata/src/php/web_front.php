<?php
// SPDX-License-Identifier: Apache-2.0
// The same names, lines and lengths as in web_admin.php, but for the last calls:
// without opcache they come to lie at the same addresses.
function burn($n) { $x = 1; for ($i = 0; $i < $n; $i++) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; } return $x; }
function front_leaf($n) { return burn($n) + 1; }
function front_work($n) { return front_leaf($n) + 1; }
echo front_work(420000 + 20000 * (getmypid() + hrtime(true)) % 60000);
