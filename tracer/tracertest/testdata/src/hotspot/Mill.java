// SPDX-License-Identifier: Apache-2.0
// 60% wheat (interface call), 30% barley (recursion 18), 10% millet (lambda); run with inlining of mill methods off
public class Mill {
  static long U = 300_000, seed = 1; static volatile long sink;
  static void jitter() { seed = seed * 6364136223846793005L + 1442695040888963407L; U = 40_000 + (seed >>> 40) % 500_000; }
  interface Stone { long grind(long n); }
  static long burn(long n, long x) { for (long i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
  static long wheatLeaf(long n) { long x = 1; for (long i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
  static long barleyLeaf(long n) { long x = 2; for (long i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
  static long milletLeaf(long n) { long x = 3; for (long i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
  static class WheatStone implements Stone { public long grind(long n) { return wheatLeaf(n) + 1; } }
  static long barleyStep(int d, long n) { return d == 1 ? barleyLeaf(n) : barleyStep(d - 1, n) + d; }
  static long milletCall(java.util.function.LongUnaryOperator f, long n) { return f.applyAsLong(n) + 1; }
  static void turn(Stone s) { jitter(); sink += s.grind(6 * U); sink += barleyStep(18, 3 * U); sink += milletCall(n -> milletLeaf(n) + 2, U); }
  public static void main(String[] a) throws Exception {
    double secs = a.length > 0 ? Double.parseDouble(a[0]) : 5; Stone s = new WheatStone();
    Thread t = new Thread(() -> { long end = System.nanoTime() + (long) (secs * 1e9); while (System.nanoTime() < end) turn(s); }, "mill-wheel");
    System.out.println("runs"); t.start(); t.join();
  }
}
