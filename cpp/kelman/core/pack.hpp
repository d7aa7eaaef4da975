// SPDX-License-Identifier: BSD-3-Clause
// A number type that holds W values side by side, so that one recursion runs on one series or on W of them at once.
//
//   Pack<T, W>   = U units of L values, W = U L        lane l of a pack belongs to series l of its group
//   unit         = one register (compiler's vector types), or one plain T with KELMAN_PORTABLE_PACK
//   Mask<T, W>   = the outcome of a comparison, lane by lane
//
// Every function here also takes plain double and float, for which a mask is a bool: a kernel written over V runs on
// all of them. Lanes never mix: what one series gives does not depend on its neighbours, to the bit.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "kelman/core/registers.hpp"

namespace kelman {

/// Outcome of a comparison of packs.
template <Real T, int W>
struct Mask {
  using Unit = typename unit::Vector<T>::mask;
  static constexpr int units =
      W * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(typename unit::Vector<T>::type));
  Unit m[units];

  friend Mask operator&(const Mask& a, const Mask& b) noexcept {
    return each([&](int u) { return static_cast<Unit>(a.m[u] & b.m[u]); });
  }
  friend Mask operator|(const Mask& a, const Mask& b) noexcept {
    return each([&](int u) { return static_cast<Unit>(a.m[u] | b.m[u]); });
  }
  friend Mask operator!(const Mask& a) noexcept {
    return each([&](int u) {
      if constexpr (std::is_same_v<Unit, bool>) {
        return !a.m[u];
      } else {
        return ~a.m[u];
      }
    });
  }

  template <class F>
  [[nodiscard]] static Mask each(F&& unit_of) noexcept {
    Mask out;
    for (int u = 0; u < units; ++u) {
      out.m[u] = unit_of(u);
    }
    return out;
  }
};

/// W values of T side by side; W is a multiple of what a register holds.
template <Real T, int W>
struct Pack {
  using scalar = T;
  using Unit = typename unit::Vector<T>::type;
  using MaskType = Mask<T, W>;
  static constexpr int unit_lanes = static_cast<int>(sizeof(Unit) / sizeof(T));
  static constexpr int units = W / unit_lanes;
  static_assert(W % unit_lanes == 0 && W > 0, "a pack is a whole number of registers");

  Unit v[units];

  Pack() = default;
  /// The same value in every lane.
  Pack(T value) noexcept {  // NOLINT(google-explicit-constructor): a scalar is a pack of equal lanes
    for (int u = 0; u < units; ++u) {
      v[u] = value - Unit{};
    }
  }

  friend Pack operator+(const Pack& a, const Pack& b) noexcept {
    return each([&](int u) { return a.v[u] + b.v[u]; });
  }
  friend Pack operator-(const Pack& a, const Pack& b) noexcept {
    return each([&](int u) { return a.v[u] - b.v[u]; });
  }
  friend Pack operator*(const Pack& a, const Pack& b) noexcept {
    return each([&](int u) { return a.v[u] * b.v[u]; });
  }
  friend Pack operator/(const Pack& a, const Pack& b) noexcept {
    return each([&](int u) { return a.v[u] / b.v[u]; });
  }
  friend Pack operator-(const Pack& a) noexcept {
    return each([&](int u) { return -a.v[u]; });
  }
  Pack& operator+=(const Pack& b) noexcept { return *this = *this + b; }
  Pack& operator-=(const Pack& b) noexcept { return *this = *this - b; }
  Pack& operator*=(const Pack& b) noexcept { return *this = *this * b; }
  Pack& operator/=(const Pack& b) noexcept { return *this = *this / b; }

  friend MaskType operator<(const Pack& a, const Pack& b) noexcept {
    return MaskType::each([&](int u) { return a.v[u] < b.v[u]; });
  }
  friend MaskType operator<=(const Pack& a, const Pack& b) noexcept {
    return MaskType::each([&](int u) { return a.v[u] <= b.v[u]; });
  }
  friend MaskType operator>(const Pack& a, const Pack& b) noexcept { return b < a; }
  friend MaskType operator>=(const Pack& a, const Pack& b) noexcept { return b <= a; }
  friend MaskType operator==(const Pack& a, const Pack& b) noexcept {
    return MaskType::each([&](int u) { return a.v[u] == b.v[u]; });
  }
  friend MaskType operator!=(const Pack& a, const Pack& b) noexcept {
    return MaskType::each([&](int u) { return a.v[u] != b.v[u]; });
  }

  template <class F>
  [[nodiscard]] static Pack each(F&& unit_of) noexcept {
    Pack out;
    for (int u = 0; u < units; ++u) {
      out.v[u] = unit_of(u);
    }
    return out;
  }
};

/// The number type of one lane of V, the number of lanes, and the type of its comparisons.
template <class V>
struct LaneTraits;
template <Real T>
struct LaneTraits<T> {
  using scalar = T;
  using mask = bool;
  static constexpr int lanes = 1;
};
template <Real T, int W>
struct LaneTraits<Pack<T, W>> {
  using scalar = T;
  using mask = Mask<T, W>;
  static constexpr int lanes = W;
};
template <class V>
using scalar_of = typename LaneTraits<V>::scalar;
template <class V>
using mask_of = typename LaneTraits<V>::mask;
template <class V>
inline constexpr int lanes = LaneTraits<V>::lanes;

/// A number type on which the recursions over lanes run: double, float, or a pack of them.
template <class V>
concept Lanes = requires { typename LaneTraits<V>::scalar; };

/// a b + c lane by lane, rounded as `fused` of numbers is.
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> fused(const Pack<T, W>& a, const Pack<T, W>& b, const Pack<T, W>& c) noexcept {
  return Pack<T, W>::each([&](int u) { return unit::fma<T>(a.v[u], b.v[u], c.v[u]); });
}

/// The same with one number for all lanes.
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> fused(T a, const Pack<T, W>& b, const Pack<T, W>& c) noexcept {
  using Unit = typename Pack<T, W>::Unit;
  return Pack<T, W>::each([&](int u) { return unit::fma<T>(a - Unit{}, b.v[u], c.v[u]); });
}

/// c - a b, in one rounding where `fused` is.
template <Real T>
[[nodiscard]] inline T fused_minus(T a, T b, T c) noexcept {
  return fused(-a, b, c);
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> fused_minus(const Pack<T, W>& a, const Pack<T, W>& b, const Pack<T, W>& c) noexcept {
  return Pack<T, W>::each([&](int u) { return unit::fnma<T>(a.v[u], b.v[u], c.v[u]); });
}

/// a where the mask is set, b elsewhere.
template <Real T>
[[nodiscard]] inline T select(bool mask, T a, T b) noexcept {
  return mask ? a : b;
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> select(const Mask<T, W>& mask, const std::type_identity_t<Pack<T, W>>& a,
                                       const std::type_identity_t<Pack<T, W>>& b) noexcept {
  return Pack<T, W>::each([&](int u) { return mask.m[u] ? a.v[u] : b.v[u]; });
}

/// Whether some lane, or every lane, is set.
[[nodiscard]] inline bool any(bool mask) noexcept { return mask; }
[[nodiscard]] inline bool all(bool mask) noexcept { return mask; }
template <Real T, int W>
[[nodiscard]] inline bool any(const Mask<T, W>& mask) noexcept {
  auto joined = mask.m[0];
  for (int u = 1; u < Mask<T, W>::units; ++u) {
    joined = joined | mask.m[u];
  }
  return unit::any(joined);
}
template <Real T, int W>
[[nodiscard]] inline bool all(const Mask<T, W>& mask) noexcept {
  return !any(!mask);
}

/// NaN lanes: what is missing in z.
template <Lanes V>
[[nodiscard]] inline mask_of<V> is_nan(const V& value) noexcept {
  return value != value;
}

template <Real T, int W>
[[nodiscard]] inline Pack<T, W> max(const Pack<T, W>& a, const std::type_identity_t<Pack<T, W>>& b) noexcept {
  return Pack<T, W>::each([&](int u) { return unit::max<T>(a.v[u], b.v[u]); });
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> min(const Pack<T, W>& a, const std::type_identity_t<Pack<T, W>>& b) noexcept {
  return Pack<T, W>::each([&](int u) { return unit::min<T>(a.v[u], b.v[u]); });
}
template <Real T>
[[nodiscard]] inline T max(T a, std::type_identity_t<T> b) noexcept {
  return a < b ? b : a;
}
template <Real T>
[[nodiscard]] inline T min(T a, std::type_identity_t<T> b) noexcept {
  return b < a ? b : a;
}

template <Real T>
[[nodiscard]] inline T abs(T value) noexcept {
  return std::abs(value);
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> abs(const Pack<T, W>& value) noexcept {
  return select(value < Pack<T, W>(T(0)), -value, value);
}

/// Value of one lane, and a change of it: for what happens once per series, never in a time loop.
template <Real T>
[[nodiscard]] inline T lane(T value, int /*l*/) noexcept {
  return value;
}
template <Real T, int W>
[[nodiscard]] inline T lane(const Pack<T, W>& value, int l) noexcept {
  T out;
  std::memcpy(&out, reinterpret_cast<const char*>(&value) + static_cast<std::size_t>(l) * sizeof(T), sizeof(T));
  return out;
}
template <Real T>
inline void set_lane(T& value, int /*l*/, T to) noexcept {
  value = to;
}
template <Real T, int W>
inline void set_lane(Pack<T, W>& value, int l, T to) noexcept {
  std::memcpy(reinterpret_cast<char*>(&value) + static_cast<std::size_t>(l) * sizeof(T), &to, sizeof(T));
}

/// Square root lane by lane.
template <Real T>
[[nodiscard]] inline T sqrt(T value) noexcept {
  return std::sqrt(value);
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> sqrt(const Pack<T, W>& value) noexcept {
  Pack<T, W> out;
  for (int l = 0; l < W; ++l) {
    set_lane(out, l, std::sqrt(lane(value, l)));
  }
  return out;
}

/// The lanes that start at `from`, in memory order; no alignment needed.
template <Real T>
[[nodiscard]] inline T load(const T* from) noexcept {
  return *from;
}
template <class V>
  requires(lanes<V> > 1)
[[nodiscard]] inline V load(const scalar_of<V>* from) noexcept {
  return V::each([&](int u) {
    typename V::Unit one;
    std::memcpy(&one, from + u * V::unit_lanes, sizeof(one));
    return one;
  });
}
template <Real T>
inline void store(T* to, std::type_identity_t<T> value) noexcept {
  *to = value;
}
template <Real T, int W>
inline void store(T* to, const Pack<T, W>& value) noexcept {
  for (int u = 0; u < Pack<T, W>::units; ++u) {
    std::memcpy(to + u * Pack<T, W>::unit_lanes, &value.v[u], sizeof(value.v[u]));
  }
}

/// As `store`, past the caches: for results that are larger than them. `to` is aligned to a register.
template <Real T>
inline void stream(T* to, T value) noexcept {
  *to = value;
}
template <Real T, int W>
inline void stream(T* to, const Pack<T, W>& value) noexcept {
  for (int u = 0; u < Pack<T, W>::units; ++u) {
    unit::stream(to + u * Pack<T, W>::unit_lanes, value.v[u]);
  }
}

/// Makes streamed stores visible in order: once per thread, after the last of them.
inline void stream_fence() noexcept {
#if defined(__SSE2__) && !defined(KELMAN_PORTABLE_PACK)
  _mm_sfence();
#endif
}

/// Splits positive normal numbers: value = mantissa 2^exponent with 1 <= mantissa < 2. The value becomes the mantissa,
/// and the exponent is returned as a number: a product of many factors neither overflows nor needs a log per factor.
template <Real T>
[[nodiscard]] inline T split_exponent(T& value) noexcept {
  T exponent;
  unit::split<T, T, typename unit::Bits<T>::type>(value, exponent);
  return exponent;
}
template <Real T, int W>
[[nodiscard]] inline Pack<T, W> split_exponent(Pack<T, W>& value) noexcept {
  using Vector = unit::Vector<T>;
  Pack<T, W> exponent;
  for (int u = 0; u < Pack<T, W>::units; ++u) {
    unit::split<T, typename Vector::type, typename Vector::bits>(value.v[u], exponent.v[u]);
  }
  return exponent;
}

}  // namespace kelman
