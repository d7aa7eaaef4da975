// SPDX-License-Identifier: BSD-3-Clause
// exp, expm1, log1p, tanh, sigmoid and softplus of numbers and of packs; a lane is the number alone, to the bit.
//
//     x = n log 2 + r, |r| <= log(2) / 2         exp x = 2^n exp r         expm1 x = 2^n expm1 r + (2^n - 1)
//     tanh x = expm1(2|x|) / (expm1(2|x|) + 2) with the sign of x
//     sigmoid x = exp(-|x|) / (1 + exp(-|x|)), or 1 / (1 + exp(-|x|)) for x >= 0
//     log1p e = 2 artanh(e / (2 + e)) for 0 <= e <= 1          softplus x = max(x, 0) + log1p(exp(-|x|))
//
// Where a table of 16 numbers lies in registers, r is 16 times smaller and exp r a quotient of two short sums:
//
//     x = (16 k + j) log(2) / 16 + r          t = tanh(r / 2)          exp x = 2^k 2^(j/16) (1 + t) / (1 - t)
//
// (Tang 1989, "Table-driven implementation of the exponential function", ACM Trans. Math. Softw. 15(2); tanh and
// sigmoid divide anyhow).
//
// Polynomials interpolate at the Chebyshev nodes of their interval and are summed in pairs (Estrin), so that the chain
// of dependent multiplications is short. At most 8 units in the last place off, results below the normal range
// included; exact at 0 (with its sign where the function is odd), infinities and NaN.
#pragma once

#include <array>
#include <bit>
#include <cstddef>

#include "kelman/core/pack.hpp"
#include "kelman/core/registers.hpp"

// Through a call, packs would pass by memory.
#ifdef __GNUC__
#define KELMAN_ALWAYS_INLINE [[gnu::always_inline]]
#else
#define KELMAN_ALWAYS_INLINE
#endif

namespace kelman::math {

/// Constants of the functions for one number type.
template <Real T>
struct Constants;

template <>
struct Constants<double> {
  static constexpr double log2_e = 1.4426950408889634;
  static constexpr double log_2_high = 0.6931471803691238;  // 32 bits: n times it is exact
  static constexpr double log_2_low = 1.9082149292705877e-10;
  static constexpr double round = 6755399441055744.0;  // 1.5 2^52: adding it leaves a whole number in the low bits
  static constexpr int bias = 1023;
  static constexpr double largest = 800;    // beyond it exp is infinite, or zero
  static constexpr double smallest = -747;  // exp is zero
  static constexpr double saturated = 20;   // tanh is 1
  static constexpr int lift = 60;           // from where 2^n below the normal range is a normal number
  static constexpr double drop = 0x1p-60;
  /// (expm1 r - r - r^2/2) / r^3, relative error of expm1 below 8e-17
  static constexpr std::array<double, 9> expm1{0.16666666666666666,   0.041666666666651364,   0.008333333333332157,
                                               0.0013888888905871442, 0.00019841269854330845, 2.4801536408869822e-05,
                                               2.755728008253529e-06, 2.7613795662346626e-07, 2.5095546064622e-08};
  /// (artanh(s) / s - 1) / s^2 in s^2 <= 1/9, error 5e-18
  static constexpr std::array<double, 10> artanh{
      0.3333333333333333,  0.20000000000007292, 0.1428571428355436,  0.11111111358715714,  0.09090894717976779,
      0.07692785034996213, 0.06657072063546651, 0.06000536797530389, 0.044003672365363386, 0.08082027061882469};
};

template <>
struct Constants<float> {
  static constexpr float log2_e = 1.44269504F;
  static constexpr float log_2_high = 0.693145751953125F;
  static constexpr float log_2_low = 1.42860682e-06F;
  static constexpr float round = 12582912.0F;  // 1.5 2^23
  static constexpr int bias = 127;
  static constexpr float largest = 120;
  static constexpr float smallest = -110;
  static constexpr float saturated = 10;
  static constexpr int lift = 40;
  static constexpr float drop = 0x1p-40F;
  static constexpr std::array<float, 5> expm1{0.166666667F, 0.0416665546616F, 0.0083333208921F, 0.00139261761912F,
                                              0.000198826901228F};
  static constexpr std::array<float, 5> artanh{0.33333333660265346F, 0.19999853165368411F, 0.14296179029576866F,
                                               0.10853287353049823F, 0.11612167437449065F};
};

/// 2^(j/16) / (1 + j/16) - 1: what 2^k (1 + j/16) lacks, which is the number with exponent k and mantissa j.
inline constexpr std::array<double, 16> lacking{
    0.0,
    -0.017154087127139915,
    -0.030659793186437637,
    -0.0410200970469965,
    -0.048634307997823145,
    -0.053822619372583584,
    -0.05684396025381115,
    -0.05790918473955289,
    -0.05719095841793664,
    -0.05483126659872044,
    -0.05094718436434411,
    -0.045635358844886335,
    -0.03897552542432624,
    -0.031033290828524424,
    -0.02186235391501735,
    -0.011506290891794946,
};

/// Sums for the short reduction.
template <Real T>
struct ShortSums;
template <>
struct ShortSums<double> {
  /// (tanh r - r) / r^3 in r^2 for |r| <= log(2) / 64, relative error of tanh 1.3e-19
  static constexpr std::array<double, 3> tanh{-0.3333333333333322, 0.13333333316402163, -0.053964405530349646};
  /// tanh(r / 2) / r in r^2 for |r| <= log(2) / 32, error of tanh 1.5e-17
  static constexpr std::array<double, 3> tanh_of_half{0.49999999999999523, -0.04166666658542505, 0.004166320425694781};
};
template <>
struct ShortSums<float> {
  static constexpr std::array<float, 1> tanh{-0.3333255120817121F};                  // 1e-9
  static constexpr std::array<float, 2> tanh_of_half{0.5F, -0.041664222583565451F};  // 2e-12
};

/// The bits of a number (or of each register of a pack) through f, which takes and gives unsigned integers.
template <Real T, class F>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline T on_bits(const T& a, F&& f) noexcept {
  using Bits = typename unit::Bits<T>::type;
  return std::bit_cast<T>(static_cast<Bits>(f(std::bit_cast<Bits>(a))));
}
template <Real T, int W, class F>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline Pack<T, W> on_bits(const Pack<T, W>& a, F&& f) noexcept {
  using Unit = typename Pack<T, W>::Unit;
  using Bits = typename unit::Vector<T>::bits;
  return Pack<T, W>::each(
      [&](int u) { return std::bit_cast<Unit>(static_cast<Bits>(f(std::bit_cast<Bits>(a.v[u])))); });
}
template <Real T, class F>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline T on_bits(const T& a, const T& b, F&& f) noexcept {
  using Bits = typename unit::Bits<T>::type;
  return std::bit_cast<T>(static_cast<Bits>(f(std::bit_cast<Bits>(a), std::bit_cast<Bits>(b))));
}
template <Real T, int W, class F>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline Pack<T, W> on_bits(const Pack<T, W>& a, const Pack<T, W>& b, F&& f) noexcept {
  using Unit = typename Pack<T, W>::Unit;
  using Bits = typename unit::Vector<T>::bits;
  return Pack<T, W>::each([&](int u) {
    return std::bit_cast<Unit>(static_cast<Bits>(f(std::bit_cast<Bits>(a.v[u]), std::bit_cast<Bits>(b.v[u]))));
  });
}

/// The bit that holds the sign.
template <Real T>
inline constexpr typename unit::Bits<T>::type sign_bit = typename unit::Bits<T>::type(1) << (8 * sizeof(T) - 1);

template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V without_sign(const V& x) noexcept {
  return on_bits(x, [](const auto& bits) { return bits & ~sign_bit<scalar_of<V>>; });
}
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V negative(const V& x) noexcept {
  return on_bits(x, [](const auto& bits) { return bits | sign_bit<scalar_of<V>>; });
}
/// A number >= 0 with the sign of x.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V with_sign(const V& value, const V& x) noexcept {
  return on_bits(value, x, [](const auto& bits, const auto& of) { return bits | (of & sign_bit<scalar_of<V>>); });
}

/// 2^n from n + round, for n + extra within the exponents of normal numbers: 2^(n + extra).
template <int extra = 0, Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V power_of_two(const V& rounded) noexcept {
  using T = scalar_of<V>;
  using Bits = typename unit::Bits<T>::type;
  return on_bits(rounded, [](const auto& bits) {
    return (bits + static_cast<Bits>(Constants<T>::bias + extra)) << unit::Bits<T>::mantissa;
  });
}

/// a[0] + a[1] x + a[2] x^2 + ..., in pairs.
template <class V, std::size_t n>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V in_pairs(const V (&a)[n], const V& x) noexcept {
  if constexpr (n == 1) {
    return a[0];
  } else {
    V half[(n + 1) / 2];
#pragma GCC unroll 16
    for (std::size_t j = 0; j < n / 2; ++j) half[j] = fused(a[2 * j + 1], x, a[2 * j]);
    if constexpr (n % 2 == 1) half[n / 2] = a[n - 1];
    return in_pairs(half, x * x);
  }
}
template <Lanes V, Real T, std::size_t n>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V polynomial(const std::array<T, n>& c, const V& x) noexcept {
  V terms[n];
#pragma GCC unroll 16
  for (std::size_t j = 0; j < n; ++j) terms[j] = V(c[j]);
  return in_pairs(terms, x);
}

/// a[0] + a[1] x + a[2] x^2 + ..., one after the other: fewest multiplications.
template <Lanes V, Real T, std::size_t n>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V in_line(const std::array<T, n>& a, const V& x) noexcept {
  V sum(a[n - 1]);
#pragma GCC unroll 16
  for (std::size_t j = n - 1; j > 0; --j) sum = fused(sum, x, V(a[j - 1]));
  return sum;
}

/// x = n log 2 + r: gives expm1 r, and n + round.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V reduced_expm1(const V& x, V& rounded) noexcept {
  using C = Constants<scalar_of<V>>;
  rounded = fused(x, V(C::log2_e), V(C::round));
  const V n = rounded - V(C::round);
  const V r = fused_minus(n, V(C::log_2_low), fused_minus(n, V(C::log_2_high), x));
  const V square = r * r;
  return fused(square, fused(r, polynomial(C::expm1, r), V(scalar_of<V>(0.5))), r);
}

template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V exp(const V& x) noexcept {
  using T = scalar_of<V>;
  using C = Constants<T>;
  V rounded;
  const V p = reduced_expm1(max(min(x, V(C::largest)), V(-C::largest)), rounded);
  const V n = rounded - V(C::round);
  const V half = fused(n, V(T(0.5)), V(C::round));  // 2^n in two steps: n may lie outside the exponents
  const V rest = (n - (half - V(C::round))) + V(C::round);
  return (p + V(T(1))) * power_of_two(half) * power_of_two(rest);
}

/// exp of numbers <= 0.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V exp_of_negative(const V& x) noexcept {
  using T = scalar_of<V>;
  using C = Constants<T>;
  V rounded;
  const V p = reduced_expm1(max(x, V(C::smallest)), rounded);
  return (p + V(T(1))) * power_of_two<C::lift>(rounded) * V(C::drop);
}

/// exp(x) - 1 for x within the exponents of normal numbers.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V expm1_within(const V& x) noexcept {
  V rounded;
  const V p = reduced_expm1(x, rounded);
  const V scale = power_of_two(rounded);
  return fused(scale, p, scale - V(scalar_of<V>(1)));
}

/// log(1 + above / below) for 0 <= above <= below.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V log1p_of_quotient(const V& above, const V& below) noexcept {
  using T = scalar_of<V>;
  const V twice = above / fused(above, V(T(0.5)), below);
  const V s = V(T(0.5)) * twice;
  const V square = s * s;
  return fused(twice * square, polynomial(Constants<T>::artanh, square), twice);
}

/// Powers 2^(n / 16 + extra) from n + round, where `round` of this struct was added: low bits of it are the exponent
/// and the place in the table.
template <Real T, int extra>
struct Sixteenths {
  using C = Constants<T>;
  using Bits = typename unit::Bits<T>::type;
  static constexpr T round = C::round + T(16 * (C::bias + extra));
  static constexpr int shift = unit::Bits<T>::mantissa - 4;

  /// 2^(k + extra) (1 + j/16) for n = 16 k + j.
  template <Lanes V>
  [[nodiscard]] KELMAN_ALWAYS_INLINE static V straight(const V& rounded) noexcept {
    return on_bits(rounded, [](const auto& bits) { return bits << shift; });
  }
  /// What it lacks, as a factor.
  template <Lanes V>
  [[nodiscard]] KELMAN_ALWAYS_INLINE static V factor(const V& rounded) noexcept {
    return on_bits(rounded, [](const auto& bits) { return unit::look_up<T>(factors, bits); });
  }
  /// 2^(n / 16 + extra).
  template <Lanes V>
  [[nodiscard]] KELMAN_ALWAYS_INLINE static V power(const V& rounded) noexcept {
    return on_bits(rounded, [](const auto& bits) { return (bits << shift) + unit::look_up<T>(differences, bits); });
  }

 private:
  static constexpr std::array<Bits, 16> table(auto entry) {
    std::array<Bits, 16> out{};
    for (std::size_t j = 0; j < 16; ++j) {
      out[j] = static_cast<Bits>(entry(1 + static_cast<double>(j) / 16, lacking[j]));
    }
    return out;
  }
  static constexpr std::array<Bits, 16> factors =
      table([](double, double lack) { return std::bit_cast<Bits>(T(lack)); });
  static constexpr std::array<Bits, 16> differences = table([](double straight, double lack) {
    return std::bit_cast<Bits>(T(straight + straight * lack)) - std::bit_cast<Bits>(T(straight));
  });
};

/// tanh x = (q + t) / (q + 1) with q = h (1 + t), h = (exp(2a) - 1) / 2, t = tanh(x - a) for x = a + r >= 0, a the
/// nearest multiple of log(2) / 32.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V tanh_by_table(const V& x) noexcept {
  using T = scalar_of<V>;
  using C = Constants<T>;
  using Power = Sixteenths<T, -1>;
  const V size = min(without_sign(x), V(C::saturated));
  const V rounded = fused(size, V(32 * C::log2_e), V(Power::round));
  // log 2 in one part: its error is a share of a, and so no larger a share of tanh x
  const V r = fused_minus(rounded - V(Power::round), V((C::log_2_high + C::log_2_low) / 32), size);
  const V square = r * r;
  const V t = fused(r * square, in_line(ShortSums<T>::tanh, square), r);
  const V straight = Power::straight(rounded);
  const V h = fused(straight, Power::factor(rounded), straight - V(T(0.5)));
  const V q = fused(h, t, h);
  return with_sign((q + t) / (q + V(T(1))), x);
}

/// exp x = above / below for x where 2^lift exp x is no larger than a number can be; below is about 2^lift.
template <Lanes V>
KELMAN_ALWAYS_INLINE inline void exp_as_quotient(const V& x, V& above, V& below) noexcept {
  using T = scalar_of<V>;
  using C = Constants<T>;
  using Power = Sixteenths<T, C::lift>;
  const V within = max(x, V(C::smallest));
  const V rounded = fused(within, V(16 * C::log2_e), V(Power::round));
  const V n = rounded - V(Power::round);
  const V r = fused_minus(n, V(C::log_2_low / 16), fused_minus(n, V(C::log_2_high / 16), within));
  const V t = r * in_line(ShortSums<T>::tanh_of_half, r * r);
  const V power = Power::power(rounded), lifted = V(T(1) / C::drop);
  above = fused(power, t, power);
  below = fused_minus(lifted, t, lifted);
}

template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V tanh(const V& x) noexcept {
  using T = scalar_of<V>;
  if constexpr (unit::has_look_up) {
    return tanh_by_table(x);
  } else {
    const V size = without_sign(x);
    const V e = expm1_within(min(size + size, V(T(2) * Constants<T>::saturated)));
    return with_sign(e / (e + V(T(2))), x);
  }
}

template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V sigmoid(const V& x) noexcept {
  using T = scalar_of<V>;
  if constexpr (unit::has_look_up) {
    V above, below;
    exp_as_quotient(min(x, V(T(2) * Constants<T>::saturated)), above, below);
    return above / (above + below);
  } else {
    const V e = exp_of_negative(negative(x));
    return select(x < V(T(0)), e, V(T(1))) / (V(T(1)) + e);
  }
}

template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V softplus(const V& x) noexcept {
  using T = scalar_of<V>;
  V above, below(T(1));
  if constexpr (unit::has_look_up) {
    exp_as_quotient(negative(x), above, below);
  } else {
    above = exp_of_negative(negative(x));
  }
  return select(x < V(T(0)), V(T(0)), x) + log1p_of_quotient(above, below);
}

/// 1 - exp(-y) for y >= 0.
template <Lanes V>
[[nodiscard]] KELMAN_ALWAYS_INLINE inline V one_minus_exp_of_negative(const V& y) noexcept {
  using T = scalar_of<V>;
  return -expm1_within(max(-y, V(T(-2) * Constants<T>::saturated)));
}

}  // namespace kelman::math
