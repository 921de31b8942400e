// What makes .NET stacks hard: generic code, code compiled ahead of time, handlers
// of exceptions, calls through C, methods made at run time, deep recursion.
// Vault [deep] SECONDS
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;

public struct Coin { public int V; }

public class Bin<T> {
  T held;
  public Bin(T t) { held = t; }
  [MethodImpl(MethodImplOptions.NoInlining)] public ulong Sift<U>(U u, ulong n) { return Burn.GenericLeaf(n) + (ulong)(held.GetHashCode() & 1) + (ulong)(u.GetHashCode() & 1); }
  public class Lid { [MethodImpl(MethodImplOptions.NoInlining)] public ulong Lift(ulong n) { return Burn.LidLeaf(n) + 1; } }
}

public static class Burn {
  [MethodImpl(MethodImplOptions.NoInlining)] static ulong Loop(ulong x, ulong n) { for (ulong i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } return x; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong GenericLeaf(ulong n) { return Loop(1, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong LidLeaf(ulong n) { return Loop(2, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong SortLeaf(ulong n) { return Loop(3, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong FinallyLeaf(ulong n) { return Loop(4, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong CallbackLeaf(ulong n) { return Loop(5, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong DynamicLeaf(ulong n) { return Loop(6, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong StackLeaf(ulong n) { return Loop(7, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong DeepLeaf(ulong n) { return Loop(8, n) + 1; }
  [MethodImpl(MethodImplOptions.NoInlining)] public static ulong IteratorLeaf(ulong n) { return Loop(9, n) + 1; }
}

public static class Vault {
  const ulong U = 300000;
  static ulong sink, seed = 1;
  static ulong Jitter(ulong n) { seed = unchecked(seed * 6364136223846793005UL + 1442695040888963407UL); return n / 4 + (seed >> 40) % n; }
  delegate int Order(IntPtr a, IntPtr b);
  [DllImport("libc")] static extern void qsort(int[] a, UIntPtr n, UIntPtr size, Order order);

  static int Compare(int a, int b) { sink += Burn.SortLeaf(Jitter(U / 4)); return a.CompareTo(b); }
  static int CompareC(IntPtr a, IntPtr b) { sink += Burn.CallbackLeaf(Jitter(U / 4)); return Marshal.ReadInt32(a).CompareTo(Marshal.ReadInt32(b)); }

  [MethodImpl(MethodImplOptions.NoInlining)] static void Generics() {
    sink += new Bin<Coin>(new Coin()).Sift<int>(1, Jitter(U));
    sink += new Bin<string>("x").Sift<object>("y", Jitter(U));
    sink += new Bin<Dictionary<string, Coin>>.Lid().Lift(Jitter(U));
  }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Sorting() { var l = new List<int> { 3, 1, 2 }; l.Sort(Compare); }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Through() { var a = new int[] { 3, 1, 2 }; qsort(a, (UIntPtr)3, (UIntPtr)4, CompareC); }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Thrower() { throw new InvalidOperationException("x"); }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Handlers() {
    try { try { Thrower(); } finally { sink += Burn.FinallyLeaf(Jitter(U)); } } catch (InvalidOperationException) { sink += Burn.FinallyLeaf(Jitter(U)); }
  }
  [MethodImpl(MethodImplOptions.NoInlining)] static unsafe void Stacking(int n) { byte* p = stackalloc byte[n]; p[0] = 1; sink += Burn.StackLeaf(Jitter(U)) + p[n - 1]; }
  [MethodImpl(MethodImplOptions.NoInlining)] static ulong Dive(int d, ulong n) { ulong r = d == 1 ? Burn.DeepLeaf(n) : Dive(d - 1, n); return r + (ulong)d; }
  static IEnumerable<ulong> Steps(ulong n) { yield return Burn.IteratorLeaf(n); yield return Burn.IteratorLeaf(n); }
  [MethodImpl(MethodImplOptions.NoInlining)] static void Iterating() { foreach (var v in Steps(Jitter(U / 2))) sink += v; }

  static Func<ulong, ulong> Made() {
    var m = new DynamicMethod("minted", typeof(ulong), new[] { typeof(ulong) }, typeof(Vault).Module);
    var g = m.GetILGenerator();
    g.Emit(OpCodes.Ldarg_0); g.Emit(OpCodes.Call, typeof(Burn).GetMethod("DynamicLeaf")); g.Emit(OpCodes.Ldc_I4_1); g.Emit(OpCodes.Conv_U8); g.Emit(OpCodes.Add); g.Emit(OpCodes.Ret);
    return (Func<ulong, ulong>)m.CreateDelegate(typeof(Func<ulong, ulong>));
  }

  public static int Main(string[] a) {
    double seconds = double.Parse(a[a.Length - 1]);
    string what = a.Length > 1 ? a[0] : "";
    var w = Stopwatch.StartNew();
    Func<ulong, ulong> made = what == "deep" ? null : Made();
    Console.WriteLine("runs");
    while (w.Elapsed.TotalSeconds < seconds) {
      if (what == "deep") { sink += Dive(950, Jitter(U)); continue; }
      Generics(); Sorting(); Through(); Handlers(); Stacking(100 + (int)(seed >> 54)); sink += made(Jitter(U)); Iterating();
    }
    return 0;
  }
}
