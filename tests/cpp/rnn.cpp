// SPDX-License-Identifier: BSD-3-Clause
// Recurrent networks: activations, products of panels, gradients against differences, threads, interruption.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kelman/rnn/instances.hpp"

namespace {

using kelman::Field;
using kelman::Index;
using kelman::Interrupt;
namespace rnn = kelman::rnn;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// A random network with data; every weight in one vector: U, W, b, V, c, D.
struct Case {
  Index series, steps, inputs, hidden, outputs;
  std::vector<double> theta, x, y, h0;
  std::vector<std::int64_t> lengths;
  rnn::Activation hidden_activation{1}, output_activation{0};
  Index warmup = 0;

  Case(Index n, Index t, Index i, Index h, Index o, unsigned seed = 1)
      : series(n), steps(t), inputs(i), hidden(h), outputs(o) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<double>& to, Index count, double scale) {
      to.resize(static_cast<std::size_t>(count));
      for (double& v : to) v = scale * normal(random);
    };
    fill(theta, h * h + h * i + h + o * h + o + o * i, 0.6 / std::sqrt(static_cast<double>(h)));
    fill(x, n * t * i, 1);
    fill(y, n * t * o, 1);
    fill(h0, n * h, 0.5);
  }

  rnn::CellPointer<double> cell() const {
    const double* U = theta.data();
    return rnn::make_cell(rnn::cells::Elman<double>::Weights{hidden, inputs, U, U + hidden * hidden,
                                                             U + hidden * (hidden + inputs), nullptr, nullptr},
                          hidden_activation);
  }
  rnn::Readout<double> readout() const {
    const double* V = theta.data() + hidden * (hidden + inputs + 1);
    return {outputs, hidden, inputs, V, V + outputs * hidden, V + outputs * (hidden + 1), output_activation};
  }
  rnn::Inputs<double> in() const {
    return {series,
            steps,
            {x.data(), steps * inputs, inputs},
            {h0.data(), hidden, 0},
            {},
            lengths.empty() ? nullptr : lengths.data()};
  }
  rnn::Targets<double> targets() const { return {{y.data(), steps * outputs, outputs}, {}, 0, warmup}; }

  rnn::LossSums loss(std::vector<double>& start, int threads = 1) const {
    start.assign(h0.size(), 0);
    Interrupt never;
    return rnn::loss_and_gradient<double>(*cell(), readout(), in(), targets(), {{start.data(), hidden, 0}, {}, {}},
                                          threads, never);
  }
};

}  // namespace

TEST_CASE("every row of the activation table has the slope that differences show") {
  for (std::size_t k = 0; k < rnn::activation_count; ++k) {
    rnn::with_activation(static_cast<rnn::Activation>(k), [&](auto row) {
      CHECK(row.name == rnn::activation_names[k]);
      for (double s : {-20.0, -3.0, -0.7, 0.2, 1.5, 30.0}) {
        const double step = 1e-6;
        const double difference = (row.value(s + step) - row.value(s - step)) / (2 * step);
        CHECK(row.slope(row.value(s)) == doctest::Approx(difference).epsilon(1e-7));
        std::vector<double> all(static_cast<std::size_t>(kelman::register_lanes<double>), s);
        rnn::activate(static_cast<rnn::Activation>(k), all.data(), static_cast<Index>(all.size()));
        for (double one : all) CHECK(one == row.value(s));
      }
      CHECK(std::isnan(row.value(missing)));
    });
  }
  CHECK(rnn::Relu::slope(0.0) == 0.0);
  CHECK(rnn::LeakyRelu::slope(0.0) == 0.01);
  CHECK(std::isfinite(rnn::Sigmoid::value(-1e4)));
  CHECK(rnn::Softplus::value(1e4) == 1e4);
}

TEST_CASE("products of panels equal plain sums, for every size of tile, one register or two") {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  const auto filled = [&](Index count) {
    std::vector<double> v(static_cast<std::size_t>(count));
    for (double& x : v) x = normal(random);
    return v;
  };
  for (Index packs : {1, 2})
    for (Index rows : {1, 2, 3, 5, 7, 11, 12, 13, 29})
      for (Index cols : {1, 4, 6, 9, 40}) {
        const Index lanes = packs * kelman::register_lanes<double>, steps = 3;
        const std::vector<double> M = filled(rows * cols), c = filled(rows);
        const Index x_step = cols * lanes + 8, y_step = rows * lanes + 8;
        const std::vector<double> x = filled(steps * x_step);
        std::vector<double> y(static_cast<std::size_t>(steps * y_step)), back = filled(cols * lanes);
        const auto plain = rnn::Product<double>::plain(M.data(), rows, cols);
        const auto transposed = rnn::Product<double>::transposed(M.data(), rows, cols);
        const std::vector<double> before = back;
        for (Index t = 0; t < steps; ++t)
          rnn::affine<double>(y.data() + t * y_step, rows, packs, {c.data()}, {{&plain, x.data() + t * x_step}});
        rnn::affine<double>(back.data(), cols, packs, {nullptr, back.data()}, {{&transposed, y.data()}});
        const auto at = [&](const std::vector<double>& panel, Index step, Index t, Index r, Index l) {
          return panel[static_cast<std::size_t>(t * step + r * lanes + l)];
        };
        const auto weight = [&](Index r, Index k) { return M[static_cast<std::size_t>(r * cols + k)]; };
        for (Index l = 0; l < lanes; ++l) {
          for (Index r = 0; r < rows; ++r) {
            double sum = c[static_cast<std::size_t>(r)];
            for (Index k = 0; k < cols; ++k) sum += weight(r, k) * at(x, x_step, 2, k, l);
            CHECK(std::abs(at(y, y_step, 2, r, l) - sum) < 1e-12);
          }
          for (Index k = 0; k < cols; ++k) {
            double sum = at(before, 0, 0, k, l);
            for (Index r = 0; r < rows; ++r) sum += weight(r, k) * at(y, y_step, 0, r, l);
            CHECK(std::abs(at(back, 0, 0, k, l) - sum) < 1e-11);
          }
        }
        // columns of the outer product go to two arrays, the first of which may be empty
        const Index first = cols / 2, rest = cols - first;
        std::vector<double> G(static_cast<std::size_t>(rows * first), 1.0),
            H(static_cast<std::size_t>(rows * rest), 2.0);
        rnn::outer<double>({y.data(), y_step}, rows, {x.data(), x_step}, steps, packs,
                           {{first, G.data(), first}, {rest, H.data(), rest}});
        for (Index r = 0; r < rows; ++r) {
          for (Index k = 0; k < cols; ++k) {
            double sum = k < first ? 1.0 : 2.0;
            for (Index t = 0; t < steps; ++t)
              for (Index l = 0; l < lanes; ++l) sum += at(y, y_step, t, r, l) * at(x, x_step, t, k, l);
            const double got = k < first ? G[static_cast<std::size_t>(r * first + k)]
                                         : H[static_cast<std::size_t>(r * rest + k - first)];
            CHECK(std::abs(got - sum) < 1e-10);
          }
        }
      }
}

TEST_CASE("back-propagation equals central differences, with ragged lengths, gaps and a warm-up") {
  for (int activation = 0; activation < 6; ++activation) {
    Case given(5, 9, 2, 3, 2);
    given.hidden_activation = rnn::Activation{activation};
    given.output_activation = rnn::Activation{(activation + 1) % 6};
    given.lengths = {9, 4, 1, 9, 6};
    given.warmup = 1;
    for (std::size_t k = 0; k < given.y.size(); k += 7) given.y[k] = missing;
    std::vector<double> start;
    const rnn::LossSums sums = given.loss(start);
    REQUIRE(sums.gradient.size() == given.theta.size());
    const double step = 1e-6;
    for (std::size_t p = 0; p < given.theta.size(); ++p) {
      Case moved = given;
      std::vector<double> ignored;
      moved.theta[p] = given.theta[p] + step;
      const double up = moved.loss(ignored).loss;
      moved.theta[p] = given.theta[p] - step;
      CHECK(sums.gradient[p] == doctest::Approx((up - moved.loss(ignored).loss) / (2 * step)).epsilon(2e-6));
    }
    for (std::size_t p = 0; p < given.h0.size(); ++p) {
      Case moved = given;
      std::vector<double> ignored;
      moved.h0[p] = given.h0[p] + step;
      const double up = moved.loss(ignored).loss;
      moved.h0[p] = given.h0[p] - step;
      CHECK(start[p] == doctest::Approx((up - moved.loss(ignored).loss) / (2 * step)).epsilon(2e-6));
    }
  }
}

TEST_CASE("normal equations have the gradient of back-propagation, and a symmetric matrix") {
  Case given(3, 300, 2, 4, 2);
  std::vector<double> start;
  const rnn::LossSums sums = given.loss(start);
  Interrupt never;
  const auto equations =
      rnn::normal_equations(*given.cell(), given.readout(), given.in(), given.targets(), false, nullptr, 1, never);
  CHECK(equations.loss == doctest::Approx(sums.loss).epsilon(1e-13));
  const std::size_t size = given.theta.size();
  REQUIRE(equations.JtJ.size() == size * size);
  double trace = 0, square = 0;
  for (std::size_t p = 0; p < size; ++p) {
    CHECK(2 * equations.Jtr[p] == doctest::Approx(sums.gradient[p]).epsilon(1e-10));
    CHECK(equations.JtJ[p * size + p] > 0);
    trace += equations.JtJ[p * size + p];
    for (std::size_t q = 0; q < size; ++q) {
      CHECK(equations.JtJ[p * size + q] == equations.JtJ[q * size + p]);
      square += equations.JtJ[p * size + q] * equations.JtJ[p * size + q];
    }
  }
  CHECK(square <= trace * trace);  // as of every positive semidefinite matrix
}

TEST_CASE("gradients are the same to the bit for every number of threads") {
  Case given(333, 17, 2, 9, 2);
  std::vector<double> one_start, start;
  const rnn::LossSums one = given.loss(one_start, 1);
  for (int threads : {2, 3, 8}) {
    const rnn::LossSums other = given.loss(start, threads);
    CHECK(other.loss == one.loss);
    CHECK(other.gradient == one.gradient);
    CHECK(start == one_start);
  }
}

TEST_CASE("a requested stop ends a long series early") {
  Case given(1, 200000, 1, 2, 1);
  Interrupt stop([] { return true; });
  std::vector<double> y(200000), h(400000);
  std::int32_t status = 0;
  std::int64_t failed_at = 0;
  while (!stop.check()) {
  }
  y.assign(y.size(), -7.0);
  rnn::forward<double>(*given.cell(), given.readout(), given.in(),
                       {{y.data(), 200000, 1}, {h.data(), 400000, 2}, {}, &status, &failed_at}, 1, stop);
  CHECK(y.back() == -7.0);
}

TEST_CASE("a series that overflows is reported with its first bad step, and NaN past its end") {
  Case given(2, 6, 1, 1, 1);
  given.hidden_activation = rnn::Activation{0};
  given.theta = {1e200, 1, 0, 1, 0, 0};
  given.x = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  given.h0 = {0, 0};
  given.lengths = {6, 3};
  std::vector<double> y(12), h(12);
  std::int32_t status[2];
  std::int64_t failed_at[2];
  Interrupt never;
  rnn::forward<double>(*given.cell(), given.readout(), given.in(),
                       {{y.data(), 6, 1}, {h.data(), 6, 1}, {}, status, failed_at}, 1, never);
  CHECK(status[0] == static_cast<std::int32_t>(kelman::Status::non_finite));
  CHECK(failed_at[0] == 2);
  CHECK(status[1] == 0);
  CHECK(y[8] == 0.0);
  CHECK(std::isnan(y[9]));
}
