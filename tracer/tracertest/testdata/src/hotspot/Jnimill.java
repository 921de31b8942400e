// SPDX-License-Identifier: Apache-2.0
// Java -> C -> Java: 60% in the Java callee of the native callback, 40% in C
public class Jnimill {
  static volatile long sink;
  static native long nativeSluice(long n); static native long nativeWeir(long n);
  static long chaffLeaf(long n) { long x = 1; for (long i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
  static long fromNative(long n) { return chaffLeaf(n) + 1; }
  static void sluiceRound() { sink += nativeSluice(1_800_000); }
  static void weirRound() { sink += nativeWeir(1_200_000); }
  public static void main(String[] a) { System.load(System.getProperty("jnimill.lib"));
    double secs = a.length > 0 ? Double.parseDouble(a[0]) : 5; long end = System.nanoTime() + (long) (secs * 1e9);
    System.out.println("runs"); while (System.nanoTime() < end) { sluiceRound(); weirRound(); } }
}
