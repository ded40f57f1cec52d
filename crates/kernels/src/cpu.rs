//! Does this CPU have the instructions that this binary was built for?
//!
//! The kernels choose their lanes at build time, so a binary built with AVX-512
//! and started on a machine without it would die of an illegal instruction. A
//! program calls [`missing_features`] before anything else, and says so instead.
//!
//! The standard library's detection cannot be used: it answers `true` at compile
//! time for every feature that the build turns on, which are just the ones asked.

/// The features that this binary was built with and this CPU (or its operating
/// system, which must save the wide registers) lacks; empty when all is well.
pub fn missing_features() -> Vec<&'static str> {
    missing(&BUILT_WITH, detected)
}

/// The features of [`BUILT_WITH`] that are on, for a line in a report.
pub fn build_features() -> Vec<&'static str> {
    BUILT_WITH.iter().filter(|feature| feature.built).map(|feature| feature.name).collect()
}

fn missing(features: &[Feature], detected: impl Fn(&Feature) -> bool) -> Vec<&'static str> {
    features.iter().filter(|f| f.built && !detected(f)).map(|f| f.name).collect()
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
const BUILT_WITH: [Feature; 37] = [
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

/// XCR0, the register state that the operating system saves; 0 where it saves none.
#[cfg(target_arch = "x86_64")]
fn saved_state() -> u64 {
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: XCR0 exists wherever `xgetbv` does.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    const OSXSAVE: u32 = 1 << 27;
    if cpuid(1, 0).ecx & OSXSAVE == 0 {
        return 0;
    }
    // SAFETY: OSXSAVE says that `xgetbv` may be used.
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
    fn the_machine_that_runs_the_tests_lacks_nothing() {
        assert_eq!(missing_features(), Vec::<&str>::new());
    }

    #[test]
    fn what_was_built_in_and_is_not_there_is_named() {
        let built = |name, built| feature(name, built, BASE, Ecx, 0, Nothing);
        let features = [built("avx2", true), built("fma", true), built("avx512f", false)];
        assert_eq!(missing(&features, |f| f.name == "fma"), ["avx2"]);
        assert_eq!(missing(&features, |_| true), [""; 0]);
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
