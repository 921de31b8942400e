// 60% slate (interface), 30% chalk (recursion 14), 10% flint (delegate)
using System; using System.Diagnostics; using System.IO; using System.Runtime.CompilerServices; using Microsoft.Win32.SafeHandles;
interface IRock { ulong Split(ulong n); }
class Slate : IRock { [MethodImpl(MethodImplOptions.NoInlining)] public ulong Split(ulong n) { return Quarry.SlateLeaf(n) + 1; } }
static class Quarry {
  static ulong U = 300000, seed = 1, sink;
  static void Jitter() { seed = unchecked(seed * 6364136223846793005UL + 1442695040888963407UL); U = 40000 + (seed >> 40) % 500000; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong SlateLeaf(ulong n) { ulong x = 1; for (ulong i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } return x; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong ChalkLeaf(ulong n) { ulong x = 2; for (ulong i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } return x; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong FlintLeaf(ulong n) { ulong x = 3; for (ulong i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } return x; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong ChalkDig(int d, ulong n) { ulong r = d == 1 ? ChalkLeaf(n) : ChalkDig(d - 1, n); return r + (ulong)d; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong FlintKnap(Func<ulong, ulong> f, ulong n) { ulong r = f(n); return r + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Shift(IRock r) { Jitter(); sink += r.Split(6 * U); sink += ChalkDig(14, 3 * U); sink += FlintKnap(n => FlintLeaf(n) + 1, U); }
  static double Number(string s) { double r = 0; for (int i = 0; i < s.Length; i++) r = r * 10 + (s[i] - 48); return r; }
  // Without Console, which a library of its own has.
  static void Say(byte[] text) { using (var o = new FileStream(new SafeFileHandle((IntPtr)1, false), FileAccess.Write)) { o.Write(text, 0, text.Length); } }
  static int Main(string[] a) { double s = a.Length > 0 ? Number(a[a.Length - 1]) : 5; IRock r = new Slate(); Say(new byte[] { 114, 117, 110, 115, 10 }); Stopwatch w = Stopwatch.StartNew(); while (w.Elapsed.TotalSeconds < s) Shift(r); return 0; }
}
