// SPDX-License-Identifier: BSD-3-Clause
// The recursion over lanes: packs give each lane what plain numbers give, to the bit, whatever the neighbours hold.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kelman/linear/lanes/recursion.hpp"

namespace lanes = kelman::linear::lanes;
using kelman::Index;
using kelman::lane;
using kelman::Pack;
using kelman::set_lane;

namespace {

/// Some stable model of size n with m components.
template <class T>
struct Model {
  Model(std::size_t n, std::size_t m, double precise) : A(n * n), Q(n * n), H(m * n), R(m) {
    std::mt19937 generator(static_cast<unsigned>(10 * n + m));
    std::normal_distribution<double> normal;
    for (T& a : A) {
      a = static_cast<T>(0.5 * normal(generator) / std::sqrt(static_cast<double>(n)));
    }
    for (std::size_t i = 0; i < n; ++i) {
      Q[i * n + i] = T(1);
    }
    for (T& h : H) {
      h = static_cast<T>(normal(generator));
    }
    for (T& r : R) {
      r = static_cast<T>(precise);
    }
  }
  std::vector<T> A, Q, H, R;
};

/// Takes `steps` measurements.
template <int n, class V, class C>
double run(const C* A, const C* Q, const C* H, const C* R, int m, int steps, const V* y, lanes::State<n, V>& state,
           int which) {
  lanes::Evidence<V> evidence;
  auto failed = V(0) < V(0);
  for (int k = 0; k < steps; ++k) {
    lanes::predict_mean<n>(A, state.x);
    lanes::predict_covariance<n>(A, Q, state.P);
    for (int j = 0; j < m; ++j) {
      lanes::update<n>(H + j * n, R[j], y[k * m + j], state, evidence, failed);
    }
  }
  CHECK_FALSE(kelman::any(failed));
  return lanes::deviance(evidence, which);
}

template <int n, class V>
lanes::State<n, V> start() {
  using T = kelman::scalar_of<V>;
  lanes::State<n, V> state;
  for (int i = 0; i < n; ++i) {
    state.x[i] = V(T(1));
    for (int j = 0; j <= i; ++j) {
      state.P[lanes::entry(i, j)] = V(i == j ? T(100) : T(0));
    }
  }
  return state;
}

template <int n, class T, int units>
void compare(double precise) {
  using V = Pack<T, units * kelman::register_lanes<T>>;
  constexpr int m = 3, steps = 40, W = kelman::lanes<V>;
  const Model<T> model(std::size_t{n}, std::size_t{m}, precise);
  std::mt19937 generator(7);
  std::normal_distribution<double> normal;
  std::vector<V> y(m * steps);
  for (V& value : y) {
    for (int l = 0; l < W; ++l) {
      const bool missing = l > 0 && std::abs(normal(generator)) > 1.2;
      set_lane(value, l, missing ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(normal(generator)));
    }
  }
  std::vector<V> A(model.A.begin(), model.A.end()), Q(model.Q.begin(), model.Q.end());
  std::vector<V> H(model.H.begin(), model.H.end()), R(model.R.begin(), model.R.end());
  for (int l = 0; l < W; ++l) {
    auto shared = start<n, V>();
    auto own = start<n, V>();
    auto alone = start<n, T>();
    std::vector<T> z;
    for (const V& value : y) {
      z.push_back(lane(value, l));
    }
    const double one =
        run<n>(model.A.data(), model.Q.data(), model.H.data(), model.R.data(), m, steps, z.data(), alone, 0);
    CHECK(one == run<n>(model.A.data(), model.Q.data(), model.H.data(), model.R.data(), m, steps, y.data(), shared, l));
    CHECK(one == run<n>(A.data(), Q.data(), H.data(), R.data(), m, steps, y.data(), own, l));
    for (int i = 0; i < n; ++i) {
      CHECK(alone.x[i] == lane(shared.x[i], l));
      CHECK(alone.x[i] == lane(own.x[i], l));
      for (int j = 0; j <= i; ++j) {
        CHECK(alone.P[lanes::entry(i, j)] == lane(shared.P[lanes::entry(i, j)], l));
        CHECK(alone.P[lanes::entry(i, j)] == lane(own.P[lanes::entry(i, j)], l));
      }
    }
  }
}

}  // namespace

TEST_CASE("a lane of a pack is the number alone, to the bit") {
  for (const double precise : {0.5, 1e-6}) {
    compare<1, double, 1>(precise);
    compare<2, double, 2>(precise);
    compare<3, double, 1>(precise);
    compare<4, float, 1>(precise);
  }
}

TEST_CASE("the scalar recursion gives the textbook's numbers") {
  // local level: x = 0, P = 1, Q = 1, R = 2, y = 3: P -> 2, f = 4, K = 1/2, x = 1.5, P = 1
  const double A[] = {1}, Q[] = {1}, H[] = {1};
  lanes::State<1, double> state{{0}, {1}};
  lanes::Evidence<double> evidence;
  bool failed = false;
  lanes::predict_mean<1>(A, state.x);
  lanes::predict_covariance<1>(A, Q, state.P);
  const auto gain = lanes::update<1>(H, 2.0, 3.0, state, evidence, failed);
  CHECK(gain.K[0] == 0.5);
  CHECK(gain.v == 3.0);
  CHECK(gain.inverse == 0.25);
  CHECK(state.x[0] == 1.5);
  CHECK(state.P[0] == 1.0);
  CHECK(lanes::deviance(evidence, 0) == doctest::Approx(std::log(4.0) + 9.0 / 4.0 + kelman::log_two_pi<double>));
  lanes::update<1>(H, 2.0, std::numeric_limits<double>::quiet_NaN(), state, evidence, failed);
  CHECK(state.x[0] == 1.5);
  CHECK(evidence.count == 1.0);
  CHECK_FALSE(failed);
  lanes::update<1>(H, -3.0, 1.0, state, evidence, failed);
  CHECK(failed);
}
