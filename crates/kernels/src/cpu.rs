//! Does this CPU have the instructions that this binary was built for?
//!
//! The kernels choose their lanes at build time, so a binary built with AVX-512 would end in
//! an illegal instruction on a CPU without it. It reports that instead:
//! [`refuse_if_lacking`] runs before `main`.
//!
//! `main` itself would be too late: link-time optimisation compiles the standard library,
//! including its start-up code, for the features of the build. The code here must do with
//! the instructions of every x86-64, though it is compiled for more: scalar arithmetic on a
//! static table, `cpuid`, and calls to the C library. Copies of structures, collections and
//! formatting would become vector moves. `.ci/run` starts the binary on emulated old CPUs.
//!
//! The standard library's detection cannot be used: for the features that the build turns
//! on, which are those in question, it answers `true` at compile time.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The features that this binary was built with and this CPU (or its operating
/// system, which must save the wide registers) lacks; none when all is well.
fn missing_features() -> impl Iterator<Item = &'static str> {
    missing(&BUILT_WITH, detected)
}

/// Ends the process with exit code 1 and a line on standard error if a feature is
/// missing. On Linux and macOS it runs before `main`, in every program that this crate is
/// linked into. A `main` that calls it first makes sure that it is linked in, and covers
/// other systems as far as possible.
pub extern "C" fn refuse_if_lacking() {
    let mut lacking = false;
    for name in missing_features() {
        say(if lacking { ", " } else { "error: this binary was built for a CPU with " });
        say(name);
        lacking = true;
    }
    if lacking {
        say(", which this one lacks; build it on this machine, or with \
             RUSTFLAGS=\"-C target-cpu=x86-64-v3\" (or x86-64)\n");
        exit();
    }
}

/// The C library calls the functions in this section before `main`, in the order of
/// the sections' numbers: this one before those of the standard library.
#[cfg(all(target_arch = "x86_64", any(target_os = "linux", target_os = "macos")))]
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array.00050"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = refuse_if_lacking;

/// Writes to standard error past the standard library, which has not started yet.
#[cfg(unix)]
fn say(text: &str) {
    unsafe extern "C" {
        fn write(file: i32, bytes: *const u8, count: usize) -> isize;
    }
    // SAFETY: `text` is valid for reads of its length.
    let _ = unsafe { write(2, text.as_ptr(), text.len()) };
}

#[cfg(unix)]
fn exit() -> ! {
    unsafe extern "C" {
        safe fn _exit(code: i32) -> !;
    }
    _exit(1)
}

#[cfg(not(unix))]
fn say(text: &str) {
    use std::io::Write;
    // Nobody may be there to read it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(not(unix))]
fn exit() -> ! {
    std::process::exit(1)
}

/// The features that this binary was built with, for a line in a report.
pub fn build_features() -> Vec<&'static str> {
    BUILT_WITH.iter().filter(|feature| feature.built).map(|feature| feature.name).collect()
}

/// The features that set the width and the arithmetic of [`crate::lanes`].
const OF_LANES: [&str; 4] = ["avx", "fma", "avx2", "avx512f"];

/// Of the features that set the width and the arithmetic of vectors, those that this CPU has and
/// the build does not use; none when all is well.
pub fn unused_features() -> Vec<&'static str> {
    unused(&BUILT_WITH, detected).collect()
}

/// What to do about [`unused_features`], in a sentence; none where there is nothing to do. Cargo
/// reads the flags of this repository only for builds in it, so that a program elsewhere which
/// depends on this crate may compute with emulated vectors and not know.
pub fn advice() -> Option<String> {
    advice_on(&unused_features())
}

fn advice_on(unused: &[&str]) -> Option<String> {
    (!unused.is_empty()).then(|| {
        format!(
            "this CPU has {}, which this build does not use, so it is slower than it need be; \
             build it with RUSTFLAGS=\"-C target-cpu=native\"",
            unused.join(", ")
        )
    })
}

fn unused(
    features: &[Feature],
    detected: impl Fn(&Feature) -> bool,
) -> impl Iterator<Item = &'static str> {
    let is_unused = move |f: &&Feature| !f.built && OF_LANES.contains(&f.name) && detected(f);
    features.iter().filter(is_unused).map(|f| f.name)
}

fn missing(
    features: &[Feature],
    detected: impl Fn(&Feature) -> bool,
) -> impl Iterator<Item = &'static str> {
    features.iter().filter(move |f| f.built && !detected(f)).map(|f| f.name)
}

/// Where `cpuid` reports a feature: leaf and sub-leaf, register, bit.
struct Feature {
    name: &'static str,
    built: bool,
    leaf: (u32, u32),
    register: Register,
    bit: u32,
    saves: Saves,
}

#[derive(Clone, Copy)]
enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// What the operating system must save at a task switch (bits of XCR0).
#[derive(Clone, Copy)]
enum Saves {
    Nothing,
    Avx = 0b110,
    Avx512 = 0b1110_0110,
}

const fn feature(
    name: &'static str,
    built: bool,
    leaf: (u32, u32),
    register: Register,
    bit: u32,
    saves: Saves,
) -> Feature {
    Feature { name, built, leaf, register, bit, saves }
}

use Register::{Eax, Ebx, Ecx, Edx};
use Saves::{Avx, Avx512, Nothing};

const BASE: (u32, u32) = (1, 0);
const EXTENDED: (u32, u32) = (7, 0);
const EXTENDED_1: (u32, u32) = (7, 1);
const AMD: (u32, u32) = (0x8000_0001, 0);

/// The features that `rustc` may use by itself in a `target-cpu` build: Intel's
/// Software Developer's Manual, volume 2, CPUID.
#[rustfmt::skip]
static BUILT_WITH: [Feature; 37] = [
    feature("sse3", cfg!(target_feature = "sse3"), BASE, Ecx, 0, Nothing),
    feature("pclmulqdq", cfg!(target_feature = "pclmulqdq"), BASE, Ecx, 1, Nothing),
    feature("ssse3", cfg!(target_feature = "ssse3"), BASE, Ecx, 9, Nothing),
    feature("fma", cfg!(target_feature = "fma"), BASE, Ecx, 12, Avx),
    feature("cmpxchg16b", cfg!(target_feature = "cmpxchg16b"), BASE, Ecx, 13, Nothing),
    feature("sse4.1", cfg!(target_feature = "sse4.1"), BASE, Ecx, 19, Nothing),
    feature("sse4.2", cfg!(target_feature = "sse4.2"), BASE, Ecx, 20, Nothing),
    feature("movbe", cfg!(target_feature = "movbe"), BASE, Ecx, 22, Nothing),
    feature("popcnt", cfg!(target_feature = "popcnt"), BASE, Ecx, 23, Nothing),
    feature("aes", cfg!(target_feature = "aes"), BASE, Ecx, 25, Nothing),
    feature("avx", cfg!(target_feature = "avx"), BASE, Ecx, 28, Avx),
    feature("f16c", cfg!(target_feature = "f16c"), BASE, Ecx, 29, Avx),
    feature("rdrand", cfg!(target_feature = "rdrand"), BASE, Ecx, 30, Nothing),
    feature("bmi1", cfg!(target_feature = "bmi1"), EXTENDED, Ebx, 3, Nothing),
    feature("avx2", cfg!(target_feature = "avx2"), EXTENDED, Ebx, 5, Avx),
    feature("bmi2", cfg!(target_feature = "bmi2"), EXTENDED, Ebx, 8, Nothing),
    feature("avx512f", cfg!(target_feature = "avx512f"), EXTENDED, Ebx, 16, Avx512),
    feature("avx512dq", cfg!(target_feature = "avx512dq"), EXTENDED, Ebx, 17, Avx512),
    feature("rdseed", cfg!(target_feature = "rdseed"), EXTENDED, Ebx, 18, Nothing),
    feature("adx", cfg!(target_feature = "adx"), EXTENDED, Ebx, 19, Nothing),
    feature("avx512ifma", cfg!(target_feature = "avx512ifma"), EXTENDED, Ebx, 21, Avx512),
    feature("avx512cd", cfg!(target_feature = "avx512cd"), EXTENDED, Ebx, 28, Avx512),
    feature("sha", cfg!(target_feature = "sha"), EXTENDED, Ebx, 29, Nothing),
    feature("avx512bw", cfg!(target_feature = "avx512bw"), EXTENDED, Ebx, 30, Avx512),
    feature("avx512vl", cfg!(target_feature = "avx512vl"), EXTENDED, Ebx, 31, Avx512),
    feature("avx512vbmi", cfg!(target_feature = "avx512vbmi"), EXTENDED, Ecx, 1, Avx512),
    feature("avx512vbmi2", cfg!(target_feature = "avx512vbmi2"), EXTENDED, Ecx, 6, Avx512),
    feature("gfni", cfg!(target_feature = "gfni"), EXTENDED, Ecx, 8, Nothing),
    feature("vaes", cfg!(target_feature = "vaes"), EXTENDED, Ecx, 9, Avx),
    feature("vpclmulqdq", cfg!(target_feature = "vpclmulqdq"), EXTENDED, Ecx, 10, Avx),
    feature("avx512vnni", cfg!(target_feature = "avx512vnni"), EXTENDED, Ecx, 11, Avx512),
    feature("avx512bitalg", cfg!(target_feature = "avx512bitalg"), EXTENDED, Ecx, 12, Avx512),
    feature("avx512vpopcntdq", cfg!(target_feature = "avx512vpopcntdq"), EXTENDED, Ecx, 14, Avx512),
    feature("avx512fp16", cfg!(target_feature = "avx512fp16"), EXTENDED, Edx, 23, Avx512),
    feature("avxvnni", cfg!(target_feature = "avxvnni"), EXTENDED_1, Eax, 4, Avx),
    feature("avx512bf16", cfg!(target_feature = "avx512bf16"), EXTENDED_1, Eax, 5, Avx512),
    feature("lzcnt", cfg!(target_feature = "lzcnt"), AMD, Ecx, 5, Nothing),
];

#[cfg(target_arch = "x86_64")]
fn detected(feature: &Feature) -> bool {
    let (leaf, sub_leaf) = feature.leaf;
    // The highest leaf of the feature's range (0… or 0x8000_0000…).
    if cpuid(leaf & 0x8000_0000, 0).eax < leaf {
        return false;
    }
    let result = cpuid(leaf, sub_leaf);
    let register = match feature.register {
        Eax => result.eax,
        Ebx => result.ebx,
        Ecx => result.ecx,
        Edx => result.edx,
    };
    let needed = feature.saves as u64;
    register >> feature.bit & 1 == 1 && saved_state() & needed == needed
}

#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe)] // `__cpuid_count` was unsafe up to Rust 1.93
fn cpuid(leaf: u32, sub_leaf: u32) -> std::arch::x86_64::CpuidResult {
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe { std::arch::x86_64::__cpuid_count(leaf, sub_leaf) }
}

/// The size of a core's L2 cache in bytes, as this CPU reports it; 1 MiB where it does not. A
/// guide for blocks, so it may be wrong: no result depends on it.
pub(crate) fn l2_bytes() -> usize {
    const UNKNOWN: usize = 1 << 20;
    /// Zero before the first call: under a hypervisor the instruction takes microseconds.
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    match BYTES.load(Relaxed) {
        0 => {
            let bytes = match reported_l2_kib() {
                0 => UNKNOWN,
                kib => kib << 10,
            };
            BYTES.store(bytes, Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// The size of L2 in KiB, 0 where the CPU does not say.
#[cfg(target_arch = "x86_64")]
fn reported_l2_kib() -> usize {
    const CACHES: u32 = 0x8000_0006; // of AMD, and Intel's, too
    let is_known = cpuid(0x8000_0000, 0).eax >= CACHES;
    if is_known { (cpuid(CACHES, 0).ecx >> 16) as usize } else { 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn reported_l2_kib() -> usize {
    0
}

/// XCR0, the register state that the operating system saves; 0 where it saves none.
#[cfg(target_arch = "x86_64")]
fn saved_state() -> u64 {
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: `xgetbv` reads a register that exists wherever the instruction does (feature
        // `xsave`).
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    const OSXSAVE: u32 = 1 << 27;
    if cpuid(1, 0).ecx & OSXSAVE == 0 {
        return 0;
    }
    // SAFETY: OSXSAVE, found above, says that `xgetbv` may be used.
    unsafe { xcr0() }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(feature: &Feature) -> bool {
    feature.built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_has_an_l2_cache_of_a_sensible_size() {
        assert!((64 << 10..=64 << 20).contains(&l2_bytes()), "{}", l2_bytes());
        assert_eq!(l2_bytes(), l2_bytes());
    }

    #[test]
    fn the_machine_that_runs_the_tests_lacks_nothing() {
        assert_eq!(missing_features().collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn what_was_built_in_and_is_not_there_is_named() {
        let built = |name, built| feature(name, built, BASE, Ecx, 0, Nothing);
        let features = [built("avx2", true), built("fma", true), built("avx512f", false)];
        let missing = |have| missing(&features, have).collect::<Vec<_>>();
        assert_eq!(missing(|f: &Feature| f.name == "fma"), ["avx2"]);
    }

    #[test]
    fn what_is_there_and_was_not_built_in_is_named_with_the_remedy() {
        let built = |name, built| feature(name, built, BASE, Ecx, 0, Nothing);
        // `sha` changes no vector
        let features = [built("avx2", true), built("fma", false), built("sha", false)];
        let unused = |have: fn(&Feature) -> bool| unused(&features, have).collect::<Vec<_>>();
        assert_eq!(unused(|_| true), ["fma"]);
        assert_eq!(unused(|_| false), [""; 0]);
        assert_eq!(advice_on(&[]), None);
        let advice = advice_on(&["avx2", "fma"]).unwrap();
        assert!(advice.contains("has avx2, fma, which") && advice.contains("target-cpu=native"));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn detection_agrees_with_the_standard_library() {
        // Both are honest only where the build does not force the answer; a plain
        // x86-64 build compares them all.
        for (name, by_std) in [
            ("avx", is_x86_feature_detected!("avx")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
            ("avx512fp16", is_x86_feature_detected!("avx512fp16")),
            ("avxvnni", is_x86_feature_detected!("avxvnni")),
            ("gfni", is_x86_feature_detected!("gfni")),
            ("lzcnt", is_x86_feature_detected!("lzcnt")),
            ("sha", is_x86_feature_detected!("sha")),
        ] {
            let ours = BUILT_WITH.iter().find(|f| f.name == name).expect("listed");
            assert_eq!(detected(ours), by_std, "{name}");
        }
    }
}
