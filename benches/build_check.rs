//! No figures of a slow build by accident: a module of every bench.

/// Ends the process with exit code 2 if the build has no fused multiply-add and the CPU has, as
/// where `RUSTFLAGS` in the environment replaced the flags of `.cargo/config.toml`. Who wants the
/// figures of such a build sets `CARRY_BENCH_ANY_BUILD`; `--test` reports none.
pub fn refuse_slow_build() {
    let is_asked = std::env::var_os("CARRY_BENCH_ANY_BUILD").is_some();
    let is_test = std::env::args().any(|argument| argument == "--test");
    if !is_asked && !is_test && kernels::cpu::unused_features().contains(&"fma") {
        let advice = kernels::cpu::advice().unwrap_or_default();
        eprintln!(
            "error: {advice}. To measure this build all the same, set CARRY_BENCH_ANY_BUILD=1"
        );
        std::process::exit(2);
    }
}
