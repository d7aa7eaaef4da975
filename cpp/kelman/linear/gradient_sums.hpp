// SPDX-License-Identifier: BSD-3-Clause
// Where derivatives go: one array per parameter, summed over time where the parameter is constant.
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>

#include "kelman/core/workspace.hpp"
#include "kelman/linear/gradient.hpp"

namespace kelman::linear {

/// The fields of a gradient that may be summed over series, and the entries of one inner array of each.
template <Real Scalar>
[[nodiscard]] std::array<Field<Scalar>*, 13> summable(GradientResult<Scalar>& g) noexcept {
  return {&g.A, &g.H, &g.Q, &g.R, &g.B, &g.D, &g.b, &g.c, &g.S, &g.cov, &g.inf, &g.noise_mean, &g.noise_cov};
}
[[nodiscard]] inline std::array<Index, 13> summable_sizes(const Dims& dims, Index columns) noexcept {
  const auto [n, m, p, T, N] = dims;
  return {n * n, m * n, n * n, m * m, n * p, m * p, n, m, n * m, n * n, n * columns, n, n * n};
}

/// Sums in double precision of the derivatives of one or more series.
class GradientSums {
 public:
  /// Takes memory for the fields that `wanted` has.
  template <Real Scalar>
  GradientSums(const FilterProblem<Scalar>& problem, GradientResult<Scalar> wanted, Workspace& memory) {
    const auto inner = summable_sizes(problem.model.dims, problem.start.columns);
    const auto given = summable(wanted);
    const auto kept = summable(fields);
    for (std::size_t f = 0; f < kept.size(); ++f) {
      if (*given[f]) {
        length_[f] = inner[f] * (given[f]->constant() ? 1 : problem.model.dims.T);
        kept[f]->data = memory.take<double>(length_[f]);
        kept[f]->time = given[f]->constant() ? 0 : inner[f];
      }
    }
  }

  GradientResult<double> fields;  ///< without series stride

  void clear() noexcept { fill(0.0); }

  /// Sets every derivative, as for a series whose log-likelihood has none.
  void fill(double value) noexcept {
    for (std::size_t f = 0; f < length_.size(); ++f) {
      std::fill_n(summable(fields)[f]->data, length_[f], value);
    }
  }

  void scale(double factor) noexcept {
    for (std::size_t f = 0; f < length_.size(); ++f) {
      double* const values = summable(fields)[f]->data;
      for (Index l = 0; l < length_[f]; ++l) {
        values[l] *= factor;
      }
    }
  }

  void add(GradientSums& other) noexcept {
    for (std::size_t f = 0; f < length_.size(); ++f) {
      double* const to = summable(fields)[f]->data;
      const double* const from = summable(other.fields)[f]->data;
      for (Index l = 0; l < length_[f]; ++l) {
        to[l] += from[l];
      }
    }
  }

  /// Adds to entry i of the results.
  template <Real Scalar>
  void write(GradientResult<Scalar> result, Index i) noexcept {
    for (std::size_t f = 0; f < length_.size(); ++f) {
      const double* const from = summable(fields)[f]->data;
      for (Index l = 0; l < length_[f]; ++l) {
        summable(result)[f]->at(i)[l] += static_cast<Scalar>(from[l]);
      }
    }
  }

 private:
  std::array<Index, 13> length_{};
};

/// Lets the chunks of a sum take their turn, so that the sum is the same for any number of threads. Chunks are handed
/// out in order, so the one whose turn it is never waits for another.
class InTurn {
 public:
  /// Holds the turn of the chunk that begins at `begin`, and passes it on to the one that begins at `end`, whatever
  /// happens in between.
  class Place {
   public:
    Place(InTurn& turn, Index begin, Index end) noexcept : turn_(turn), begin_(begin), end_(end) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    /// Returns when all earlier chunks are done.
    void wait() {
      std::unique_lock lock(turn_.mutex_);
      turn_.changed_.wait(lock, [&] { return turn_.next_ == begin_; });
    }

    ~Place() {
      wait();
      const std::lock_guard lock(turn_.mutex_);
      turn_.next_ = end_;
      turn_.changed_.notify_all();
    }

   private:
    InTurn& turn_;
    Index begin_;
    Index end_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Index next_ = 0;
};

}  // namespace kelman::linear
