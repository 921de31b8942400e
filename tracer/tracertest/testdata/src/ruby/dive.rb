# Recursion: DEPTH calls of Ruby by Ruby, or of Ruby by C by Ruby with "c".
depth = (ARGV[0] || 900).to_i
def floor_leaf(n) x = 1; i = 0; while i < n do x = (x * 1103515245 + 12345) & 0x7fffffff; i += 1 end; x end
def dive(d, n) d == 1 ? floor_leaf(n) : dive(d - 1, n) + 1 end
def plunge(d, n) d == 1 ? floor_leaf(n) : [d].each { |k| plunge(k - 1, n) } end
by_c = ARGV[1] == "c"; $stdout.puts "runs"; $stdout.flush
t_end = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (ARGV[2] || 5).to_f
while Process.clock_gettime(Process::CLOCK_MONOTONIC) < t_end
  by_c ? plunge(depth, 40_000) : dive(depth, 200_000)
end
