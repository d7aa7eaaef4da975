// SPDX-License-Identifier: BSD-3-Clause
// Packs: every operation on W values does lane by lane what it does on one.
#include "kelman/core/pack.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace kelman {

namespace {

template <class V>
struct Samples {
  using T = scalar_of<V>;
  T a[lanes<V>];
  T b[lanes<V>];
  Samples() {
    for (int l = 0; l < lanes<V>; ++l) {
      a[l] = static_cast<T>(0.37 * (l + 1) * (l % 2 == 0 ? 1 : -1));
      b[l] = static_cast<T>(l % 3 - 1.25);
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE("packs do lane by lane what numbers do", V, double, float, Pack<double, register_lanes<double>>,
                   Pack<double, 2 * register_lanes<double>>, Pack<float, register_lanes<float>>,
                   Pack<float, 2 * register_lanes<float>>) {
  using T = scalar_of<V>;
  const Samples<V> samples;
  const V x = load<V>(samples.a);
  const V y = load<V>(samples.b);
  const V sum = x + y;
  const V quotient = x / y;
  const V product = fused(x, y, V(T(1)));
  const V scaled = fused(T(3), x, y);
  const V larger = max(x, y);
  const V size = abs(x);
  const V root = sqrt(size);
  const V chosen = select(x < y, V(T(1)), V(T(2)));
  V mantissa = size;
  const V exponent = split_exponent(mantissa);
  for (int l = 0; l < lanes<V>; ++l) {
    const T a = samples.a[l];
    const T b = samples.b[l];
    CHECK(lane(sum, l) == a + b);
    CHECK(lane(quotient, l) == a / b);
    CHECK(lane(product, l) == fused(a, b, T(1)));
    CHECK(lane(scaled, l) == fused(T(3), a, b));
    CHECK(lane(larger, l) == std::max(a, b));
    CHECK(lane(size, l) == std::abs(a));
    CHECK(lane(root, l) == std::sqrt(std::abs(a)));
    CHECK(lane(chosen, l) == (a < b ? T(1) : T(2)));
    CHECK(lane(mantissa, l) >= T(1));
    CHECK(lane(mantissa, l) < T(2));
    CHECK(std::ldexp(lane(mantissa, l), static_cast<int>(lane(exponent, l))) == std::abs(a));
  }
}

TEST_CASE_TEMPLATE("masks see each lane", V, double, float, Pack<double, 2 * register_lanes<double>>,
                   Pack<float, register_lanes<float>>) {
  using T = scalar_of<V>;
  const V clean(T(1));
  CHECK_FALSE(any(is_nan(clean)));
  CHECK(all(!is_nan(clean)));
  for (int l = 0; l < lanes<V>; ++l) {
    V holed = clean;
    set_lane(holed, l, std::numeric_limits<T>::quiet_NaN());
    const mask_of<V> missing = is_nan(holed);
    const mask_of<V> seen = !missing;
    CHECK(any(missing));
    CHECK(all(missing) == (lanes<V> == 1));
    CHECK(all(missing | seen));
    CHECK_FALSE(any(missing & seen));
  }
}

TEST_CASE_TEMPLATE("streamed and stored lanes are the same memory", V, double, Pack<double, register_lanes<double>>,
                   Pack<float, 2 * register_lanes<float>>) {
  using T = scalar_of<V>;
  const Samples<V> samples;
  alignas(64) T plain[lanes<V>];
  alignas(64) T streamed[lanes<V>];
  store(plain, load<V>(samples.a));
  stream(streamed, load<V>(samples.a));
  stream_fence();
  for (int l = 0; l < lanes<V>; ++l) {
    CHECK(plain[l] == samples.a[l]);
    CHECK(streamed[l] == samples.a[l]);
  }
}

}  // namespace kelman
