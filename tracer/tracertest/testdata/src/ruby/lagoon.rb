# Ways in which Ruby code is called, each with its leaf: a fiber, a thread, blocks
# from C (sort!, each_with_index through each), define_method, a class's method,
# rescue and ensure, method_missing, eval, and C that calls C.
$seed = 1
def jitter() $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; 800 + ($seed >> 8) % 10000 end

LEAVES = %w[tide reef cove weir lock rapid spring ghost delta geyser]
LEAVES.each_with_index do |name, k|
  eval "def #{name}_leaf(n) x = #{k}; i = 0; while i < n do x = (x * 1103515245 + 12345) & 0x7fffffff; i += 1 end; x end", binding, "leaves.rb", k + 1
end

class Lagoon
  define_method(:weir) { |n| weir_leaf(n) }
  def self.lock(n) lock_leaf(n) end
  def rapid(n)
    raise "over the edge"
  rescue RuntimeError
    begin
      rapid_leaf(n)
    ensure
      @calm = true
    end
  end
  def method_missing(name, n) name == :ghost ? ghost_leaf(n) : super end
  def respond_to_missing?(*) true end
  def geyser(n) n > 0 ? geyser_leaf(n) : 0 end
end

def fiber_round(n) Fiber.new { |k| Fiber.yield(tide_leaf(k)) }.resume(n) end
def thread_round(n) Thread.new { reef_leaf(n) }.join end
def sort_round(n) [2, 1].sort! { |a, b| cove_leaf(n); a <=> b } end
def each_round(n) [1].each_with_index { |_, i| spring_leaf(n + i) } end
def eval_round(n) eval("delta_leaf(n)") end
def send_round(o, n) o.public_send(:geyser, n) end

lagoon = Lagoon.new
$stdout.puts 'runs'; $stdout.flush; t_end = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (ARGV[0] || 5).to_f
while Process.clock_gettime(Process::CLOCK_MONOTONIC) < t_end
  fiber_round(jitter)
  thread_round(jitter)
  sort_round(jitter)
  each_round(jitter)
  eval_round(jitter)
  send_round(lagoon, jitter)
  lagoon.weir(jitter)
  Lagoon.lock(jitter)
  lagoon.rapid(jitter)
  lagoon.ghost(jitter)
end
