// SPDX-License-Identifier: BSD-3-Clause
/// Which instruction sets this machine runs: the table behind the choice of a core variant.
///
/// Reads cpuid itself, because the compilers' own builtins differ in the names they know. An instruction set counts
/// only if the operating system saves its registers (xgetbv), not just if the processor has it.
#pragma once

#include <array>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define KELMAN_X86_64 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace kelman::cpu {

/// The four registers that one cpuid leaf answers with.
struct Leaf {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// True if every bit of `bits` is set in `word`.
constexpr bool has(std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; }

/// A word with one bit set.
constexpr std::uint32_t bit(int position) { return std::uint32_t{1} << position; }

#if defined(KELMAN_X86_64)
inline Leaf cpuid(std::uint32_t leaf, std::uint32_t sub = 0) {
#if defined(_MSC_VER)
  std::array<int, 4> r{};
  __cpuidex(r.data(), static_cast<int>(leaf), static_cast<int>(sub));
  return {static_cast<std::uint32_t>(r[0]), static_cast<std::uint32_t>(r[1]), static_cast<std::uint32_t>(r[2]),
          static_cast<std::uint32_t>(r[3])};
#else
  Leaf r;
  if (__get_cpuid_count(leaf, sub, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
#endif
}

/// Which register files the operating system saves on a context switch (XCR0).
inline std::uint32_t saved_registers() {
  if (!has(cpuid(1).ecx, bit(27))) return 0;  // OSXSAVE
#if defined(_MSC_VER)
  return static_cast<std::uint32_t>(_xgetbv(0));
#else
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
#endif
}

/// x86-64-v2: sse3, ssse3, cx16, sse4.1, sse4.2, popcnt; lahf.
inline bool runs_v2() {
  return has(cpuid(1).ecx, bit(0) | bit(9) | bit(13) | bit(19) | bit(20) | bit(23)) &&
         has(cpuid(0x80000001U).ecx, bit(0));
}

/// x86-64-v3: fma, movbe, avx, f16c; bmi1, avx2, bmi2; lzcnt; and the ymm registers saved.
inline bool runs_v3() {
  return runs_v2() && has(cpuid(1).ecx, bit(12) | bit(22) | bit(28) | bit(29)) &&
         has(cpuid(7).ebx, bit(3) | bit(5) | bit(8)) && has(cpuid(0x80000001U).ecx, bit(5)) &&
         has(saved_registers(), 0x6);
}

/// x86-64-v4: avx512 f, dq, cd, bw, vl; and the opmask and zmm registers saved (on macOS they are saved on first use).
inline bool runs_v4() {
#if defined(__APPLE__)
  constexpr std::uint32_t needed = 0x6;
#else
  constexpr std::uint32_t needed = 0xe6;
#endif
  return runs_v3() && has(cpuid(7).ebx, bit(16) | bit(17) | bit(28) | bit(30) | bit(31)) &&
         has(saved_registers(), needed);
}
#else
inline bool runs_v2() { return true; }
inline bool runs_v3() { return false; }
inline bool runs_v4() { return false; }
#endif

/// One instruction set: the name that CMake, KELMAN_ISA and `kelman info` use, and the test for it.
struct Level {
  const char* name;
  bool (*runs)();
};

/// Every instruction set, the plainest first: a later one that runs is the better one.
inline constexpr std::array<Level, 3> levels{{
    {"baseline", runs_v2},
    {"avx2", runs_v3},
    {"avx512", runs_v4},
}};

}  // namespace kelman::cpu
