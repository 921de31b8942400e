<?php
// SPDX-License-Identifier: Apache-2.0
// Starts php-fpm (its path is the first argument) and sends it requests, as a web
// server does by FastCGI, for the seconds of the last argument.
$dir = sys_get_temp_dir() . '/strobe-fpm-' . getmypid();
mkdir($dir);
$sock = "$dir/sock";
file_put_contents("$dir/conf", "[global]\nerror_log = $dir/log\ndaemonize = no\n[www]\nlisten = $sock\npm = static\npm.max_children = 2\n");
$end = microtime(true) + (float)end($argv);
$fpm = proc_open([$argv[1], '-n', '-R', '-F', '-y', "$dir/conf", '-d', 'opcache.enable=' . $argv[2]],
  [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['file', '/dev/null', 'w']], $pipes);
register_shutdown_function(function () use ($fpm, $dir) {
  proc_terminate($fpm);
  array_map('unlink', glob("$dir/*"));
  rmdir($dir);
});

function record($type, $body) { return pack('CCnnCx', 1, $type, 1, strlen($body), 0) . $body; }

function request($sock, $script) {
  $s = @stream_socket_client("unix://$sock", $no, $text, 1);
  if (!$s) { usleep(10000); return false; }
  $params = '';
  foreach (['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => ''] as $k => $v) {
    $params .= pack('CC', strlen($k), strlen($v)) . $k . $v;
  }
  fwrite($s, record(1, pack('nCx5', 1, 0)) . record(4, $params) . record(4, '') . record(5, ''));
  return stream_get_contents($s) !== '';
}

$served = false;
while (microtime(true) < $end) {
  if (request($sock, __DIR__ . '/web_front.php') && !$served) { $served = true; echo "runs\n"; flush(); }
  request($sock, __DIR__ . '/web_admin.php');
}
