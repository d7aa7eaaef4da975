// SPDX-License-Identifier: BSD-3-Clause
// The filter and smoother of the core against textbook formulas in extended precision, and their promises: nothing is
// allocated in a time loop, and threads change nothing.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "kelman/linear/filter.hpp"
#include "kelman/linear/online.hpp"
#include "kelman/linear/smoother.hpp"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define KELMAN_COUNTS_MALLOC 1
#endif

namespace {
std::atomic<long> allocations{0};
}  // namespace

#ifdef KELMAN_COUNTS_MALLOC
// Every allocation of the program goes through here: operator new, Eigen's aligned memory, the C library.
extern "C" void* __libc_malloc(std::size_t);
extern "C" void* __libc_calloc(std::size_t, std::size_t);
extern "C" void* malloc(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
extern "C" void* calloc(std::size_t count, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
#endif

using kelman::Field;
using kelman::Index;
using kelman::Interrupt;
using kelman::Workspace;
namespace linear = kelman::linear;

namespace {

using Exact = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A problem of N series with its memory, and the results of a filter and a smoother.
template <class Scalar>
struct Case {
  Case(Index n, Index m, Index T, Index N, double missing, bool S, unsigned seed) : generator(seed) {
    problem.model.dims = {n, m, 0, T, N};
    A = draw(n * n, 0.5 / std::sqrt(static_cast<double>(n)));
    H = draw(m * n, 1.0);
    const std::vector<Scalar> G = draw((n + m) * (n + m), 1.0);
    Q.resize(static_cast<std::size_t>(n * n));
    R.resize(static_cast<std::size_t>(m * m));
    cross.resize(static_cast<std::size_t>(n * m));
    P.resize(static_cast<std::size_t>(n * n));
    for (Index i = 0; i < n + m; ++i) {
      for (Index j = 0; j < n + m; ++j) {
        Scalar total(0);
        for (Index k = 0; k < n + m; ++k) {
          total = kelman::fused(at(G, i * (n + m) + k), at(G, j * (n + m) + k), total);
        }
        if (i < n && j < n) {
          at(Q, i * n + j) = total;
          at(P, i * n + j) = 2 * total;
        } else if (i >= n && j >= n) {
          at(R, (i - n) * m + j - n) = total;
        } else if (i < n) {
          at(cross, i * m + j - n) = total;
        }
      }
    }
    x = draw(n, 1.0);
    z = draw(N * T * m, 3.0);
    std::uniform_real_distribution<double> uniform;
    for (Scalar& value : z) {
      if (uniform(generator) < missing) {
        value = std::numeric_limits<Scalar>::quiet_NaN();
      }
    }
    auto& model = problem.model;
    model.A = {A.data(), 0, 0};
    model.H = {H.data(), 0, 0};
    model.Q = {Q.data(), 0, 0};
    model.R = {R.data(), 0, 0};
    if (S) {
      model.S = {cross.data(), 0, 0};
    }
    problem.start.mean = {x.data(), 0, 0};
    problem.start.cov = {P.data(), 0, 0};
    problem.data.z = {z.data(), T * m, m};
    problem.shared = linear::shares_covariances(model, problem.start, problem.data, false);
    allocate();
  }

  void allocate() {
    const auto [n, m, p, T, N] = problem.model.dims;
    for (auto* values : {&mean, &smoothed_mean}) {
      values->assign(static_cast<std::size_t>(N * T * n), Scalar(0));
    }
    for (auto* values : {&cov, &smoothed_cov, &lag}) {
      values->assign(static_cast<std::size_t>(N * T * n * n), Scalar(0));
    }
    loglik.assign(static_cast<std::size_t>(N), Scalar(0));
    status.assign(static_cast<std::size_t>(N), 0);
    failed_at.assign(static_cast<std::size_t>(N), 0);
    const Index series = problem.shared ? 0 : T * n * n;
    filtered.mean = {mean.data(), T * n, n};
    filtered.cov = {cov.data(), series, n * n};
    filtered.loglik = {loglik.data(), 1, 0};
    filtered.status = {status.data(), 1, 0};
    filtered.failed_at = {failed_at.data(), 1, 0};
    smoothed.mean = {smoothed_mean.data(), T * n, n};
    smoothed.cov = {smoothed_cov.data(), series, n * n};
    smoothed.lag_one_cov = {lag.data(), series, n * n};
    smoothed.loglik = filtered.loglik;
    smoothed.status = filtered.status;
    smoothed.failed_at = filtered.failed_at;
  }

  std::vector<Scalar> draw(Index count, double size) {
    std::normal_distribution<double> normal;
    std::vector<Scalar> values(static_cast<std::size_t>(count));
    for (Scalar& value : values) {
      value = static_cast<Scalar>(size * normal(generator));
    }
    return values;
  }

  static Scalar& at(std::vector<Scalar>& values, Index i) { return values[static_cast<std::size_t>(i)]; }
  static Scalar at(const std::vector<Scalar>& values, Index i) { return values[static_cast<std::size_t>(i)]; }

  std::mt19937_64 generator;
  std::vector<Scalar> A, H, Q, R, cross, P, x, z, mean, cov, smoothed_mean, smoothed_cov, lag, loglik;
  std::vector<std::int32_t> status;
  std::vector<std::int64_t> failed_at;
  linear::FilterProblem<Scalar> problem;
  linear::FilterResult<Scalar> filtered;
  linear::SmootherResult<Scalar> smoothed;
};

Exact exact(const std::vector<double>& values, Index rows, Index cols) {
  return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(values.data(), rows,
                                                                                                  cols)
      .cast<long double>();
}

/// Filter and RTS smoother of one series as in textbooks, in extended precision; with S by its Cov(w, v) terms.
struct Textbook {
  explicit Textbook(const Case<double>& c) {
    const auto [n, m, p, T, N] = c.problem.model.dims;
    const Exact A = exact(c.A, n, n);
    const Exact H = exact(c.H, m, n);
    const Exact Q = exact(c.Q, n, n);
    const Exact R = exact(c.R, m, m);
    const Exact S = c.problem.model.joint() ? exact(c.cross, n, m) : Exact(Exact::Zero(n, m));
    Exact x = exact(c.x, n, 1);
    Exact P = exact(c.P, n, n);
    std::vector<Exact> predicted_mean, predicted_cov, gain;
    for (Index k = 0; k < T; ++k) {
      predicted_mean.push_back(x);
      predicted_cov.push_back(P);
      std::vector<Index> seen;
      for (Index j = 0; j < m; ++j) {
        if (!std::isnan(c.z[static_cast<std::size_t>(k * m + j)])) {
          seen.push_back(j);
        }
      }
      const auto count = static_cast<Index>(seen.size());
      Exact w = Exact::Zero(n, 1);
      Exact W = Q;
      Exact C = Exact::Zero(n, n);
      if (count > 0) {
        Exact h(count, n), r(count, count), s(n, count), e(count, 1);
        for (Index a = 0; a < count; ++a) {
          const Index j = seen[static_cast<std::size_t>(a)];
          h.row(a) = H.row(j);
          s.col(a) = S.col(j);
          e(a, 0) = static_cast<long double>(c.z[static_cast<std::size_t>(k * m + j)]) - (H.row(j) * x)(0, 0);
          for (Index b = 0; b < count; ++b) {
            r(a, b) = R(j, seen[static_cast<std::size_t>(b)]);
          }
        }
        const Exact M = P * h.transpose();
        const Exact inverse = Exact(h * M + r).inverse();
        loglik -= 0.5L * (static_cast<long double>(count) * std::log(2 * std::acos(-1.0L)) +
                          std::log(Exact(h * M + r).determinant()) + (e.transpose() * inverse * e)(0, 0));
        x += M * inverse * e;
        w = s * inverse * e;
        C = -M * inverse * s.transpose();
        W -= s * inverse * s.transpose();
        P -= M * inverse * M.transpose();
      }
      mean.push_back(x);
      cov.push_back(P);
      gain.push_back(P * A.transpose() + C);
      x = A * x + w;
      P = A * P * A.transpose() + A * C + C.transpose() * A.transpose() + W;
    }
    smoothed_mean = mean;
    smoothed_cov = cov;
    lag.assign(static_cast<std::size_t>(T), Exact::Zero(n, n));
    for (Index k = T - 1; k-- > 0;) {
      const auto at = static_cast<std::size_t>(k);
      const Exact J = gain[at] * predicted_cov[at + 1].inverse();
      smoothed_mean[at] += J * (smoothed_mean[at + 1] - predicted_mean[at + 1]);
      smoothed_cov[at] += J * (smoothed_cov[at + 1] - predicted_cov[at + 1]) * J.transpose();
      lag[at + 1] = smoothed_cov[at + 1] * J.transpose();
    }
  }

  std::vector<Exact> mean, cov, smoothed_mean, smoothed_cov, lag;
  long double loglik = 0;
};

double worst(const std::vector<double>& got, const std::vector<Exact>& expected) {
  long double largest = 0;
  long double size = 1;
  std::size_t next = 0;
  for (const Exact& matrix : expected) {
    for (Index i = 0; i < matrix.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<long double>(got[next++]) - matrix.data()[i]));
      size = std::max(size, std::abs(matrix.data()[i]));
    }
  }
  return static_cast<double>(largest / size);
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

}  // namespace

TEST_CASE("filter and smoother equal the textbook") {
  Interrupt stop;
  for (const Index n : {1, 2, 4, 9, 33}) {
    for (const Index m : {1, 3, 6}) {
      for (const double missing : {0.0, 0.3}) {
        for (const bool S : {false, true}) {
          Case<double> c(n, m, 12, 1, missing, S, static_cast<unsigned>(n + 100 * m));
          const Textbook book(c);
          linear::filter(c.problem, c.filtered, 1, stop);
          CAPTURE(n);
          CAPTURE(S);
          CHECK(worst(c.mean, book.mean) < 1e-11);
          CHECK(worst(c.cov, book.cov) < 1e-11);
          CHECK(std::abs(static_cast<long double>(c.loglik[0]) - book.loglik) < 1e-10L * std::abs(book.loglik));
          linear::smooth(c.problem, c.smoothed, 1, stop);
          std::fill_n(c.lag.begin(), n * n, 0.0);  // entry 0 is NaN: nothing precedes the first state
          CHECK(worst(c.smoothed_mean, book.smoothed_mean) < 1e-11);
          CHECK(worst(c.smoothed_cov, book.smoothed_cov) < 1e-11);
          CHECK(worst(c.lag, book.lag) < 1e-11);
          CHECK(c.status[0] == 0);
        }
      }
    }
  }
}

TEST_CASE("single precision is as good as its rounding") {
  Interrupt stop;
  Case<double> wide(4, 2, 30, 1, 0.2, true, 3);
  Case<float> narrow(4, 2, 30, 1, 0.2, true, 3);
  linear::smooth(wide.problem, wide.smoothed, 1, stop);
  linear::smooth(narrow.problem, narrow.smoothed, 1, stop);
  for (std::size_t i = 0; i < wide.smoothed_mean.size(); ++i) {
    CHECK(std::abs(wide.smoothed_mean[i] - static_cast<double>(narrow.smoothed_mean[i])) < 2e-4);
  }
}

TEST_CASE("threads change no bit, shared covariances nothing but rounding") {
  Interrupt stop;
  for (const double missing : {0.0, 0.2}) {
    Case<double> one(3, 2, 50, 200, missing, false, 5);
    CHECK(one.problem.shared == (missing == 0.0));
    linear::filter(one.problem, one.filtered, 1, stop);
    linear::smooth(one.problem, one.smoothed, 1, stop);
    for (const int threads : {2, 3, 8}) {
      Case<double> many(3, 2, 50, 200, missing, false, 5);
      linear::filter(many.problem, many.filtered, threads, stop);
      linear::smooth(many.problem, many.smoothed, threads, stop);
      CHECK(same_bits(one.mean, many.mean));
      CHECK(same_bits(one.cov, many.cov));
      CHECK(same_bits(one.smoothed_mean, many.smoothed_mean));
      CHECK(same_bits(one.smoothed_cov, many.smoothed_cov));
    }
    Case<double> own(3, 2, 50, 200, missing, false, 5);
    own.problem.shared = false;
    own.allocate();
    linear::filter(own.problem, own.filtered, 2, stop);
    linear::smooth(own.problem, own.smoothed, 2, stop);
    for (std::size_t at = 0; at < one.mean.size(); ++at) {
      CHECK(std::abs(one.mean[at] - own.mean[at]) < 1e-12);
      CHECK(std::abs(one.smoothed_mean[at] - own.smoothed_mean[at]) < 1e-12);
    }
    for (std::size_t at = 0; at < std::size_t(50 * 9); ++at) {  // of the first series
      CHECK(std::abs(one.cov[at] - own.cov[at]) < 1e-12);
    }
  }
}

#ifdef KELMAN_COUNTS_MALLOC
TEST_CASE("nothing is allocated in a time loop") {
  using Form = linear::Univariate<double>;
  Interrupt stop;
  const long start = allocations.load();
  void* volatile counted = std::malloc(17);  // volatile: a compiler may drop an allocation that nobody sees
  REQUIRE(allocations.load() > start);
  std::free(counted);
  for (const Index n : {3, 40, 100}) {
    for (const bool S : {false, true}) {
      const Index m = n == 100 ? 8 : 2;
      Case<double> c(n, m, 20, 2, 0.2, S, 7);
      Workspace memory;
      linear::Filter<Form> filter(c.problem, c.filtered, 1, memory);
      linear::History<double> history(c.problem, true, memory);
      linear::CovarianceSmoother<Form> covariances(c.problem, c.smoothed, false, memory);
      linear::MeanSmoother<double> means(c.problem, c.smoothed, memory);
      linear::Online<Form> online(c.problem.model, c.problem.start, linear::DiffuseConstant::kfas, false, false);
      const long before = allocations.load();
      filter.run(0, 1, stop);
      const auto trouble = covariances.forward(0, 20, history, stop);
      covariances.backward(0, 20, history, stop);
      const auto outcome = means.run(0, 20, history, trouble, stop);
      for (Index k = 0; k < 20; ++k) {
        online.step({c.problem.data.z.at(0, k), 20 * m, 0}, {}, {}, nullptr, nullptr, nullptr);
      }
      const long after = allocations.load();
      CHECK(after == before);
      CHECK(outcome.usable());
      CHECK(history.kernels.count() == 0);
    }
  }
}
#endif

TEST_CASE("a series that fails is reported, and the others go on") {
  Interrupt stop;
  Case<double> c(2, 1, 10, 3, 0.1, false, 9);
  c.problem.shared = false;
  c.allocate();
  std::vector<double> A(3 * 4, 0.0);
  for (std::size_t i = 0; i < 3; ++i) {
    A[4 * i] = A[4 * i + 3] = i == 1 ? 1e200 : 0.5;
  }
  c.problem.model.A = {A.data(), 4, 0};
  linear::filter(c.problem, c.filtered, 1, stop);
  CHECK(c.status == std::vector<std::int32_t>{0, 3, 0});
  CHECK(c.failed_at[1] >= 1);
  CHECK(std::isnan(c.loglik[1]));
  CHECK(std::isfinite(c.loglik[0]));
  CHECK(std::isfinite(c.mean[2 * 10 * 2]));
  CHECK(std::isnan(c.mean[2 * 10 * 2 - 1]));
}

TEST_CASE("a requested stop ends a long series early") {
  Interrupt stop([] { return true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  Case<double> c(2, 1, 2000, 1, 0.0, false, 1);
  linear::filter(c.problem, c.filtered, 1, stop);
  CHECK(stop.requested());
  CHECK(c.mean.back() == 0.0);
}
