// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

/** Storm runs a bit of everything that the virtual machine has frames for. */
public final class Storm {
    static volatile long sink;
    static long seed = 88172645463325252L;

    static long next() {
        seed ^= seed << 13;
        seed ^= seed >>> 7;
        seed ^= seed << 17;
        return seed;
    }

    /** Small methods that the optimizing compiler inlines into each other. */
    static long inlineOuter(long n) {
        long x = 0;
        for (int i = 0; i < n; i++) {
            x += inlineMiddle(x, i);
        }
        return x;
    }

    private static long inlineMiddle(long x, int i) {
        return inlineInner(x ^ i) + 3;
    }

    private static long inlineInner(long x) {
        return mix(x) + hoist(5, 100000 + (x & 0xfff));
    }

    /** Recursion is not inlined, but for a level. */
    static long hoist(int n, long work) {
        return n == 0 ? deepLoop(work) : hoist(n - 1, work) + n;
    }

    static long deepLoop(long work) {
        long x = 1;
        for (long i = 0; i < work; i++) {
            x = x * 6364136223846793005L + i;
        }
        return x;
    }

    static long mix(long x) {
        long y = x * 0x9e3779b97f4a7c15L;
        return y ^ (y >>> 29) ^ Long.rotateLeft(y, 13);
    }

    /** Recursion deep enough for the limit of depth. */
    static long deep(int n, long work) {
        if (n == 0) {
            return deepLeaf(work);
        }
        return deep(n - 1, work) + 1;
    }

    static long deepLeaf(long work) {
        long x = 1;
        for (long i = 0; i < work; i++) {
            x = x * 6364136223846793005L + i;
        }
        return x;
    }

    static final class Thrown extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    static int throwing(int n) {
        if (n == 0) {
            throw new Thrown();
        }
        return throwing(n - 1) + 1;
    }

    static void exceptions() {
        for (int i = 0; i < 300; i++) {
            try {
                sink += throwing(i % 20);
            } catch (Thrown e) {
                sink += e.getStackTrace().length;
            }
        }
    }

    static void allocate() {
        Map<String, List<Integer>> m = new HashMap<>();
        for (int i = 0; i < 3000; i++) {
            m.computeIfAbsent("key" + (next() & 255), k -> new ArrayList<>()).add(i);
        }
        sink += m.size();
        byte[][] blocks = new byte[64][];
        for (int i = 0; i < 400; i++) {
            blocks[i & 63] = new byte[(int) (next() & 0x3fff)];
        }
        sink += blocks[7].length;
    }

    static void copies() {
        byte[] a = new byte[20000];
        byte[] b = new byte[20000];
        for (int i = 0; i < 300; i++) {
            System.arraycopy(a, i, b, 0, 19000);
            Arrays.fill(a, (byte) i);
            sink += Arrays.equals(a, b) ? 1 : 0;
        }
    }

    static void streams() {
        sink += IntStream.range(0, 20000).filter(i -> (i & 3) == 1).mapToLong(i -> mix(i)).sum();
    }

    static void regex() {
        Pattern p = Pattern.compile("(a|b)*c[0-9]+(x?y?z?)*$");
        for (int i = 0; i < 300; i++) {
            sink += p.matcher("abababababc1234" + i + "xyzxyz").find() ? 1 : 0;
        }
    }

    static void nativeCalls() {
        byte[] data = new byte[20000];
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) next();
        }
        CRC32 crc = new CRC32();
        crc.update(data);
        Deflater d = new Deflater();
        d.setInput(data);
        d.finish();
        byte[] out = new byte[30000];
        sink += d.deflate(out) + crc.getValue();
        d.end();
    }

    static final Object LOCK = new Object();

    static synchronized long locked(long n) {
        synchronized (LOCK) {
            return mix(n);
        }
    }

    static void reflection() throws Exception {
        java.lang.reflect.Method m = Storm.class.getDeclaredMethod("locked", long.class);
        for (int i = 0; i < 100; i++) {
            sink += (Long) m.invoke(null, 500L);
        }
    }

    static void math() {
        double x = 1;
        for (int i = 1; i < 20000; i++) {
            x += Math.sin(x) * Math.pow(i, 0.3) + Math.log(i);
        }
        sink += (long) x;
    }

    interface Shape {
        long area(long x);
    }

    static final Shape[] SHAPES = {x -> x + 1, x -> x * 3, x -> x ^ 5, x -> mix(x)};

    static void megamorphic() {
        long x = 0;
        for (int i = 0; i < 100000; i++) {
            x += SHAPES[i & 3].area(x);
        }
        sink += x;
    }

    static void round() throws Exception {
        sink += inlineOuter(40);
        sink += deep(850, 4000000 + (next() & 0xfffff));
        exceptions();
        allocate();
        copies();
        streams();
        regex();
        nativeCalls();
        reflection();
        math();
        megamorphic();
    }

    /** Virtual threads that wait often, below some frames of their own. */
    static void virtualThread(long until) {
        while (System.nanoTime() < until) {
            sink += virtualWork(20, 2000 + (next() & 0xfff));
        }
    }

    static long virtualWork(int n, long work) {
        if (n == 0) {
            LockSupport.parkNanos(20000);
            return deepLeaf(work);
        }
        return virtualWork(n - 1, work) + 1;
    }

    static void startVirtual(long until) {
        ExecutorService e;
        try {
            e = (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (ReflectiveOperationException none) {
            return; // an old version
        }
        for (int i = 0; i < 20; i++) {
            e.submit(() -> virtualThread(until));
        }
    }

    public static void main(String[] args) throws Exception {
        long until = System.nanoTime() + (long) (Double.parseDouble(args[args.length - 1]) * 1e9);
        boolean virtual = Arrays.asList(args).contains("virtual");
        if (virtual) {
            startVirtual(until);
        }
        System.out.println("runs");
        while (System.nanoTime() < until) {
            if (virtual) {
                Thread.sleep(100);
            } else {
                round();
            }
        }
    }
}
