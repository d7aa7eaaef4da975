// SPDX-License-Identifier: BSD-3-Clause
// Filtering in lanes: which problems it serves.
#pragma once

#include <algorithm>
#include <cmath>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linear/lanes/kernel.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::lanes {

/// Whether all entries of a field of N × steps arrays satisfy a test; each array is looked at once.
template <class T, class Test>
[[nodiscard]] bool every(const Field<const T>& field, Index N, Index steps, Test&& test) noexcept {
  for (Index i = 0; i < (field.shared() ? 1 : N); ++i) {
    for (Index k = 0; k < (field.constant() ? 1 : steps); ++k) {
      if (!test(field.at(i, k))) {
        return false;
      }
    }
  }
  return true;
}

/// Whether R is diagonal.                                                                                (m×m)
template <Real T>
[[nodiscard]] bool diagonal(Index m, const T* R) noexcept {
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < i; ++j) {
      if (R[i * m + j] != T(0)) {
        return false;
      }
    }
  }
  return true;
}

/// Whether every component of the measurements has noise of its own: R is positive definite, beyond rounding.
template <Real T>
[[nodiscard]] bool noisy(const Model<T>& model) {
  const Index m = model.dims.m;
  Workspace memory;
  auto* const L = memory.take<T>(m * m);
  auto* const D = memory.take<T>(m);
  auto* const scratch = memory.take<T>(m * m);
  return every(model.R, model.dims.N, model.dims.T, [&](const T* R) {
    if (diagonal(m, R)) {
      for (Index j = 0; j < m; ++j) {
        if (!(R[j * m + j] > T(0)) || !std::isfinite(R[j * m + j])) {
          return false;
        }
      }
      return true;
    }
    return linalg::ldl(m, R, m, L, m, D, scratch) && std::all_of(D, D + m, [](T d) { return d > T(0); });
  });
}

/// Whether lanes pay for N series of more than largest_n states. A group costs the same with one series as with all,
/// and one series alone uses registers the better the more states it has.
template <Real T>
[[nodiscard]] constexpr bool lanes_pay(Index n, Index N) noexcept {
  return n <= largest_tiled_n && N * (n + 24) >= register_lanes<T> * n;
}

/// Whether the lanes serve a problem: noise of its own in every component, none of it correlated with that of the
/// state.
template <Real T>
[[nodiscard]] bool serves(const FilterProblem<T>& problem) {
  const Dims& dims = problem.model.dims;
  const auto zero = [&](const T* C) { return std::all_of(C, C + dims.n * dims.n, [](T c) { return c == T(0); }); };
  const Start<T>& start = problem.start;
  const bool fits = dims.n <= largest_n || lanes_pay<T>(dims.n, dims.N);
  return !problem.model.joint() && dims.n >= 1 && fits && dims.m >= 1 && dims.T >= 1 &&
         (!start.noise_cross || every(start.noise_cross, dims.N, Index(1), zero)) && noisy(problem.model);
}

/// Filters every series of a problem that the lanes serve; instantiated in the library.
template <Real T>
Method run(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Interrupt& stop);

}  // namespace kelman::linear::lanes
