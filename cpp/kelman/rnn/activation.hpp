// SPDX-License-Identifier: BSD-3-Clause
// The table of activations: one row per function, with its value and its slope.
//
// A row is a type with
//     name            the word that Python uses
//     value(s)        sigma(s), of numbers and of packs
//     slope(y)        sigma'(s), written in the output y = sigma(s), so that a tape keeps outputs only
// A new activation is one row here, one row in python/kelman/models/_activation.py, and its word in `Activation` there.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kelman/core/pack_math.hpp"

namespace kelman::rnn {

/// The same number in every lane.
template <Lanes V>
V number(double value) {
  return V(static_cast<scalar_of<V>>(value));
}

/// s
struct Identity {
  static constexpr std::string_view name = "identity";
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return s;
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V&) {
    return number<V>(1);
  }
};

/// tanh(s); slope 1 - y^2
struct Tanh {
  static constexpr std::string_view name = "tanh";
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return math::tanh(s);
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V& y) {
    return number<V>(1) - y * y;
  }
};

/// max(s, 0); slope 0 at 0. NaN stays NaN.
struct Relu {
  static constexpr std::string_view name = "relu";
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return select(s < number<V>(0), number<V>(0), s);
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V& y) {
    return select(y > number<V>(0), number<V>(1), number<V>(0));
  }
};

/// s above zero, 0.01 s below; slope 0.01 at 0
struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr double below = 0.01;
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return select(s < number<V>(0), number<V>(below) * s, s);
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V& y) {
    return select(y > number<V>(0), number<V>(1), number<V>(below));
  }
};

/// 1 / (1 + exp(-s)); slope y (1 - y)
struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return math::sigmoid(s);
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V& y) {
    return y * (number<V>(1) - y);
  }
};

/// log(1 + exp(s)); slope 1 - exp(-y)
struct Softplus {
  static constexpr std::string_view name = "softplus";
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V value(const V& s) {
    return math::softplus(s);
  }
  template <Lanes V>
  KELMAN_ALWAYS_INLINE static V slope(const V& y) {
    return math::one_minus_exp_of_negative(y);
  }
};

using ActivationTable = std::tuple<Identity, Tanh, Relu, LeakyRelu, Sigmoid, Softplus>;

/// A row of the table, by number.
enum class Activation : int {};

inline constexpr std::size_t activation_count = std::tuple_size_v<ActivationTable>;

/// Names in the order of the numbers.
inline constexpr std::array<std::string_view, activation_count> activation_names =
    []<std::size_t... k>(std::index_sequence<k...>) {
      return std::array<std::string_view, activation_count>{std::tuple_element_t<k, ActivationTable>::name...};
    }(std::make_index_sequence<activation_count>{});

/// The number of a row.
template <class Row>
inline constexpr Activation activation_of = []<std::size_t... k>(std::index_sequence<k...>) {
  int number = 0;
  ((std::is_same_v<Row, std::tuple_element_t<k, ActivationTable>> ? void(number = static_cast<int>(k)) : void()), ...);
  return Activation{number};
}(std::make_index_sequence<activation_count>{});

/// Calls f(Row{}) for the row with this number.
template <class F>
void with_activation(Activation kind, F&& f) {
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    (void)((static_cast<int>(k) == static_cast<int>(kind) && (f(std::tuple_element_t<k, ActivationTable>{}), true)) ||
           ...);
  }(std::make_index_sequence<activation_count>{});
}

/// Registers that `each_pack` takes at a time: functions are long chains of operations that wait for each other, so
/// that some of them side by side keep the processor busy.
#ifdef KELMAN_PORTABLE_PACK
inline constexpr int registers_at_once = 1;
#else
inline constexpr int registers_at_once = register_bytes == 64 ? 4 : 2;
#endif

namespace detail {

/// out = f(in...) over n numbers, rounded up to `registers_at_once` registers. Alone in a function, with all of f: its
/// constants stay in registers.
template <class Scalar, class F, class... In>
[[gnu::noinline, gnu::flatten]] void each_wide(Index n, F f, Scalar* out, const In*... in) {
  using V = Pack<Scalar, registers_at_once * register_lanes<Scalar>>;
  for (Index k = 0; k < n; k += lanes<V>) store(out + k, f(load<V>(in + k)...));
}

}  // namespace detail

/// out = f(in...) over n contiguous numbers; n is a multiple of what a register holds.
template <class Scalar, class F, class... In>
void each_pack(Index n, F f, Scalar* out, const In*... in) {
  constexpr Index width = registers_at_once * register_lanes<Scalar>;
  const Index whole = n / width * width, rest = n - whole;
  if (whole > 0) detail::each_wide(whole, f, out, in...);
  if (rest == 0) return;
  Scalar numbers[(sizeof...(In) + 1) * width] = {};
  Scalar* to = numbers;
  const auto part = [&](const Scalar* from) {
    std::copy_n(from + whole, rest, to += width);
    return static_cast<const Scalar*>(to);
  };
  detail::each_wide(rest, f, numbers, part(in)...);
  std::copy_n(numbers, rest, out + whole);
}

/// s <- sigma(s), in place, over n contiguous numbers (whole registers).
template <class Scalar>
void activate(Activation kind, Scalar* s, Index n) {
  with_activation(kind, [&](auto row) {
    if constexpr (!std::is_same_v<decltype(row), Identity>)
      each_pack(n, [&](const auto& v) { return row.value(v); }, s, static_cast<const Scalar*>(s));
  });
}

/// to = g * sigma'(s), with the slope taken from the outputs y = sigma(s); `to` may be y or g.
template <class Scalar>
void times_slope(Activation kind, const Scalar* y, const Scalar* g, Scalar* to, Index n) {
  with_activation(kind, [&](auto row) {
    if constexpr (!std::is_same_v<decltype(row), Identity>) {
      each_pack(n, [&](const auto& was, const auto& out) { return was * row.slope(out); }, to, g, y);
    } else if (to != g) {
      std::copy_n(g, n, to);
    }
  });
}

}  // namespace kelman::rnn
