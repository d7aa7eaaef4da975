// SPDX-License-Identifier: BSD-3-Clause
// One register of the machine, as the compiler's vector types see it; with KELMAN_PORTABLE_PACK it is one number.
//
// The only place that names instructions. Packs (pack.hpp) are made of these units.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kelman/core/scalar.hpp"

#if !defined(__GNUC__) && !defined(KELMAN_PORTABLE_PACK)
#define KELMAN_PORTABLE_PACK
#endif
#if defined(__SSE2__) && !defined(KELMAN_PORTABLE_PACK)
#include <immintrin.h>
#endif

namespace kelman {

/// Bytes of the widest vector register of this instruction set.
inline constexpr int register_bytes =
#if defined(__AVX512F__)
    64;
#elif defined(__AVX__)
    32;
#else
    16;
#endif

/// Values of T in one register.
template <Real T>
inline constexpr int register_lanes = register_bytes / static_cast<int>(sizeof(T));

namespace unit {

#ifdef KELMAN_PORTABLE_PACK
template <Real T>
struct Vector {
  using type = T;
  using mask = bool;
  using bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
};
#else
template <Real T>
struct Vector;
// The size is written out for each type: GCC takes one that depends on a template parameter for a scalar.
template <>
struct Vector<double> {
  typedef double type __attribute__((vector_size(register_bytes)));
  typedef decltype(type{} < type{}) mask;
  typedef std::uint64_t bits __attribute__((vector_size(register_bytes)));
};
template <>
struct Vector<float> {
  typedef float type __attribute__((vector_size(register_bytes)));
  typedef decltype(type{} < type{}) mask;
  typedef std::uint32_t bits __attribute__((vector_size(register_bytes)));
};
static_assert(sizeof(Vector<double>::type) == register_bytes && sizeof(Vector<float>::type) == register_bytes);
#endif

/// Unsigned integer of the size of T, and where the exponent of T lies.
template <Real T>
struct Bits;
template <>
struct Bits<double> {
  using type = std::uint64_t;
  static constexpr int mantissa = 52;
  static constexpr type exponent = 0x7ff0000000000000U;
  static constexpr type magic = 0x4330000000000000U;  // 2^52
  static constexpr double offset = 4503599627370496.0 + 1023.0;
};
template <>
struct Bits<float> {
  using type = std::uint32_t;
  static constexpr int mantissa = 23;
  static constexpr type exponent = 0x7f800000U;
  static constexpr type magic = 0x4b000000U;  // 2^23
  static constexpr float offset = 8388608.0F + 127.0F;
};

/// Whether any lane of a register's mask is set.
template <class M>
[[nodiscard]] inline bool any(const M& mask) noexcept {
  if constexpr (std::is_same_v<M, bool>) {
    return mask;
  } else {
#if defined(__AVX512F__) && !defined(KELMAN_PORTABLE_PACK)
    const auto bits = std::bit_cast<__m512i>(mask);
    return _mm512_test_epi32_mask(bits, bits) != 0;
#elif defined(__AVX__) && !defined(KELMAN_PORTABLE_PACK)
    return _mm256_movemask_ps(std::bit_cast<__m256>(mask)) != 0;
#elif defined(__SSE2__) && !defined(KELMAN_PORTABLE_PACK)
    return _mm_movemask_ps(std::bit_cast<__m128>(mask)) != 0;
#else
    bool found = false;
    for (std::size_t l = 0; l < sizeof(M) / sizeof(mask[0]); ++l) {
      found = found || mask[l] != 0;
    }
    return found;
#endif
  }
}

/// a b + c of registers, rounded once wherever `fused` of numbers is: left to itself, the compiler may fold or split
/// it.
template <Real T, class U>
[[nodiscard]] inline U fma(const U& a, const U& b, const U& c) noexcept {
#if defined(KELMAN_PORTABLE_PACK)
  return fused(a, b, c);
#elif defined(__AVX512F__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(
        _mm512_fmadd_pd(std::bit_cast<__m512d>(a), std::bit_cast<__m512d>(b), std::bit_cast<__m512d>(c)));
  } else {
    return std::bit_cast<U>(
        _mm512_fmadd_ps(std::bit_cast<__m512>(a), std::bit_cast<__m512>(b), std::bit_cast<__m512>(c)));
  }
#elif defined(__AVX__) && defined(__FMA__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(
        _mm256_fmadd_pd(std::bit_cast<__m256d>(a), std::bit_cast<__m256d>(b), std::bit_cast<__m256d>(c)));
  } else {
    return std::bit_cast<U>(
        _mm256_fmadd_ps(std::bit_cast<__m256>(a), std::bit_cast<__m256>(b), std::bit_cast<__m256>(c)));
  }
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  U out;
  for (std::size_t l = 0; l < sizeof(U) / sizeof(T); ++l) {
    out[l] = std::fma(a[l], b[l], c[l]);
  }
  return out;
#else
  return a * b + c;
#endif
}

/// c - a b of registers, rounded as `fma`.
template <Real T, class U>
[[nodiscard]] inline U fnma(const U& a, const U& b, const U& c) noexcept {
#if defined(__AVX512F__) && !defined(KELMAN_PORTABLE_PACK)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(
        _mm512_fnmadd_pd(std::bit_cast<__m512d>(a), std::bit_cast<__m512d>(b), std::bit_cast<__m512d>(c)));
  } else {
    return std::bit_cast<U>(
        _mm512_fnmadd_ps(std::bit_cast<__m512>(a), std::bit_cast<__m512>(b), std::bit_cast<__m512>(c)));
  }
#elif defined(__AVX__) && defined(__FMA__) && !defined(KELMAN_PORTABLE_PACK)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(
        _mm256_fnmadd_pd(std::bit_cast<__m256d>(a), std::bit_cast<__m256d>(b), std::bit_cast<__m256d>(c)));
  } else {
    return std::bit_cast<U>(
        _mm256_fnmadd_ps(std::bit_cast<__m256>(a), std::bit_cast<__m256>(b), std::bit_cast<__m256>(c)));
  }
#else
  return fma<T>(-a, b, c);
#endif
}

/// b < a ? b : a of registers; a where either is NaN. (All lanes by a mask: GCC's plain forms warn of their own code.)
template <Real T, class U>
[[nodiscard]] inline U min(const U& a, const U& b) noexcept {
#if defined(KELMAN_PORTABLE_PACK)
  return b < a ? b : a;
#elif defined(__AVX512F__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(_mm512_maskz_min_pd(0xff, std::bit_cast<__m512d>(b), std::bit_cast<__m512d>(a)));
  } else {
    return std::bit_cast<U>(_mm512_maskz_min_ps(0xffff, std::bit_cast<__m512>(b), std::bit_cast<__m512>(a)));
  }
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(_mm256_min_pd(std::bit_cast<__m256d>(b), std::bit_cast<__m256d>(a)));
  } else {
    return std::bit_cast<U>(_mm256_min_ps(std::bit_cast<__m256>(b), std::bit_cast<__m256>(a)));
  }
#else
  return b < a ? b : a;
#endif
}

/// b > a ? b : a of registers; a where either is NaN.
template <Real T, class U>
[[nodiscard]] inline U max(const U& a, const U& b) noexcept {
#if defined(KELMAN_PORTABLE_PACK)
  return b > a ? b : a;
#elif defined(__AVX512F__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(_mm512_maskz_max_pd(0xff, std::bit_cast<__m512d>(b), std::bit_cast<__m512d>(a)));
  } else {
    return std::bit_cast<U>(_mm512_maskz_max_ps(0xffff, std::bit_cast<__m512>(b), std::bit_cast<__m512>(a)));
  }
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<U>(_mm256_max_pd(std::bit_cast<__m256d>(b), std::bit_cast<__m256d>(a)));
  } else {
    return std::bit_cast<U>(_mm256_max_ps(std::bit_cast<__m256>(b), std::bit_cast<__m256>(a)));
  }
#else
  return b > a ? b : a;
#endif
}

/// Whether a table of 16 numbers lies in registers, so that `look_up` is one instruction.
inline constexpr bool has_look_up =
#if defined(__AVX512F__) && !defined(KELMAN_PORTABLE_PACK)
    true;
#else
    false;
#endif

/// table[j] for j in the low four bits of an unsigned integer, or of each one of a register where `has_look_up`.
template <Real T, class Int>
[[nodiscard]] inline Int look_up(const std::array<typename Bits<T>::type, 16>& table, const Int& j) noexcept {
#if defined(__AVX512F__) && !defined(KELMAN_PORTABLE_PACK)
  if constexpr (!std::is_integral_v<Int>) {
    const __m512i at = std::bit_cast<__m512i>(j), first = _mm512_loadu_si512(table.data());
    if constexpr (sizeof(T) == 8) {
      return std::bit_cast<Int>(_mm512_permutex2var_epi64(first, at, _mm512_loadu_si512(table.data() + 8)));
    } else {
      return std::bit_cast<Int>(_mm512_maskz_permutexvar_epi32(0xffff, at, first));
    }
  } else
#endif
    return table[static_cast<std::size_t>(j & 15U)];
}

/// Stores a register past the caches where the machine can; `to` is aligned to the register.
template <Real T>
inline void stream(T* to, const typename Vector<T>::type& value) noexcept {
#if defined(__AVX512F__) && !defined(KELMAN_PORTABLE_PACK)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), std::bit_cast<__m512i>(value));
#elif defined(__AVX__) && !defined(KELMAN_PORTABLE_PACK)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), std::bit_cast<__m256i>(value));
#elif defined(__SSE2__) && !defined(KELMAN_PORTABLE_PACK)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), std::bit_cast<__m128i>(value));
#else
  std::memcpy(to, &value, sizeof(value));
#endif
}

/// Mantissa in [1, 2) and exponent of the positive normal numbers of one register (or of one number).
template <Real T, class U, class Int>
inline void split(U& value, U& exponent) noexcept {
  using B = Bits<T>;
  const Int bits = std::bit_cast<Int>(value);
  value = std::bit_cast<U>(static_cast<Int>((bits & ~B::exponent) | std::bit_cast<typename B::type>(T(1))));
  exponent = std::bit_cast<U>(static_cast<Int>(((bits & B::exponent) >> B::mantissa) | B::magic)) - B::offset;
}

}  // namespace unit

}  // namespace kelman
