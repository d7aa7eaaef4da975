// SPDX-License-Identifier: BSD-3-Clause
// The table of activations: one row per function, with its value and its slope.
//
// A row is a type with
//     name            the word that Python uses
//     value(s)        sigma(s)
//     slope(y)        sigma'(s), written in the output y = sigma(s), so that a tape keeps outputs only
// A new activation is one row here, one row in python/kelman/models/_activation.py, and its word in `Activation` there.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace kelman::rnn {

/// s
struct Identity {
  static constexpr std::string_view name = "identity";
  template <class Scalar>
  static Scalar value(Scalar s) {
    return s;
  }
  template <class Scalar>
  static Scalar slope(Scalar) {
    return Scalar(1);
  }
};

/// tanh(s); slope 1 - y^2
struct Tanh {
  static constexpr std::string_view name = "tanh";
  template <class Scalar>
  static Scalar value(Scalar s) {
    return std::tanh(s);
  }
  template <class Scalar>
  static Scalar slope(Scalar y) {
    return Scalar(1) - y * y;
  }
};

/// max(s, 0); slope 0 at 0. NaN stays NaN.
struct Relu {
  static constexpr std::string_view name = "relu";
  template <class Scalar>
  static Scalar value(Scalar s) {
    return s < Scalar(0) ? Scalar(0) : s;
  }
  template <class Scalar>
  static Scalar slope(Scalar y) {
    return y > Scalar(0) ? Scalar(1) : Scalar(0);
  }
};

/// s above zero, 0.01 s below; slope 0.01 at 0
struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr double below = 0.01;
  template <class Scalar>
  static Scalar value(Scalar s) {
    return s < Scalar(0) ? Scalar(below) * s : s;
  }
  template <class Scalar>
  static Scalar slope(Scalar y) {
    return y > Scalar(0) ? Scalar(1) : Scalar(below);
  }
};

/// 1 / (1 + exp(-s)); slope y (1 - y)
struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  template <class Scalar>
  static Scalar value(Scalar s) {
    const Scalar e = std::exp(-std::abs(s));  // never overflows
    return (s < Scalar(0) ? e : Scalar(1)) / (Scalar(1) + e);
  }
  template <class Scalar>
  static Scalar slope(Scalar y) {
    return y * (Scalar(1) - y);
  }
};

/// log(1 + exp(s)); slope 1 - exp(-y)
struct Softplus {
  static constexpr std::string_view name = "softplus";
  template <class Scalar>
  static Scalar value(Scalar s) {
    return (s < Scalar(0) ? Scalar(0) : s) + std::log1p(std::exp(-std::abs(s)));
  }
  template <class Scalar>
  static Scalar slope(Scalar y) {
    return -std::expm1(-y);
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

/// Calls f(Row{}) for the row with this number.
template <class F>
void with_activation(Activation kind, F&& f) {
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    (void)((static_cast<int>(k) == static_cast<int>(kind) && (f(std::tuple_element_t<k, ActivationTable>{}), true)) ||
           ...);
  }(std::make_index_sequence<activation_count>{});
}

/// s <- sigma(s), in place, over n contiguous numbers.
template <class Scalar>
void activate(Activation kind, Scalar* s, Eigen::Index n) {
  with_activation(kind, [&](auto row) {
    if constexpr (!std::is_same_v<decltype(row), Identity>)
      for (Eigen::Index k = 0; k < n; ++k) s[k] = row.value(s[k]);
  });
}

/// g <- g * sigma'(s), with the slope taken from the outputs y = sigma(s).
template <class Scalar>
void times_slope(Activation kind, const Scalar* y, Scalar* g, Eigen::Index n) {
  with_activation(kind, [&](auto row) {
    if constexpr (!std::is_same_v<decltype(row), Identity>)
      for (Eigen::Index k = 0; k < n; ++k) g[k] *= row.slope(y[k]);
  });
}

}  // namespace kelman::rnn
