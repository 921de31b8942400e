// SPDX-License-Identifier: Apache-2.0
// generics, trait objects, closures; 60/30/10
use std::time::{Duration, Instant};
// std::hint has one since Rust 1.66, which Debian 12 does not have yet.
#[inline(always)] fn black_box<T>(x: T) -> T { unsafe { let y = std::ptr::read_volatile(&x); std::mem::forget(x); y } }
#[inline(always)] fn burn(n: u64, mut x: u64) -> u64 { for _ in 0..n { x ^= x << 13; x ^= x >> 7; x ^= x << 17; x = black_box(x); } x }
mod anvil {
    use super::*;
    pub trait Smith { fn strike(&self, n: u64) -> u64; }
    pub struct Iron<T>(pub T);
    impl<T: Copy + Into<u64>> Smith for Iron<T> { #[inline(never)] fn strike(&self, n: u64) -> u64 { let r = iron_leaf(n, self.0.into()); black_box(r) + 1 } }
    #[inline(never)] pub fn iron_leaf(n: u64, s: u64) -> u64 { black_box(burn(n, s)) }
    #[inline(never)] pub fn tin_leaf(n: u64) -> u64 { black_box(burn(n, 72)) + 1 }
    #[inline(never)] pub fn zinc_leaf(n: u64) -> u64 { black_box(burn(n, 73)) + 2 }
    #[inline(never)] pub fn with_tin<F: Fn(u64) -> u64>(f: F, n: u64) -> u64 { let r = f(n); black_box(r) + 1 }
    #[inline(never)] pub fn zinc_walk(d: u32, n: u64) -> u64 { let r = if d == 0 { zinc_leaf(n) } else { zinc_walk(d - 1, n) }; black_box(r) + d as u64 }
}
fn main() {
    use anvil::*; let secs: f64 = std::env::args().nth(1).map(|s| s.parse().unwrap()).unwrap_or(5.0);
    let end = Instant::now() + Duration::from_secs_f64(secs); let s: Box<dyn Smith> = black_box(Box::new(Iron(71u32))); let mut acc = 0u64;
    let mut seed = 1u64;
    while Instant::now() < end { seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); let unit = 30_000 + (seed >> 40) % 300_000; acc ^= s.strike(6 * unit); acc ^= with_tin(|n| black_box(tin_leaf(n)) + 3, 3 * unit); acc ^= zinc_walk(20, unit); }
    black_box(acc);
}
