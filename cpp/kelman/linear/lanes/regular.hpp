// SPDX-License-Identifier: BSD-3-Clause
// Which problems go there and back in lanes.
#pragma once

#include <algorithm>
#include <cmath>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linear/lanes/recursion.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::lanes {

/// Whether every R is positive definite, and diagonal unless the rows of z are complete or missing as a whole. `mixed`
/// tells whether some R is not diagonal.
template <Real Scalar>
[[nodiscard]] bool regular_noise(const FilterProblem<Scalar>& problem, bool& mixed) {
  const auto [n, m, p, T, N] = problem.model.dims;
  const Field<const Scalar>& R = problem.model.R;
  Workspace memory;
  auto* const L = memory.take<Scalar>(m * m);
  auto* const D = memory.take<Scalar>(m);
  auto* const scratch = memory.take<Scalar>(m * m);
  mixed = false;
  for (Index i = 0; i < (R.shared() ? std::min<Index>(N, 1) : N); ++i) {
    for (Index k = 0; k < (R.constant() ? std::min<Index>(T, 1) : T); ++k) {
      const Scalar* const matrix = R.at(i, k);
      bool diagonal = true;
      for (Index row = 0; row < m; ++row) {
        for (Index col = 0; col < row; ++col) {
          diagonal = diagonal && matrix[row * m + col] == Scalar(0);
        }
        D[row] = matrix[row * m + row];
      }
      if (!diagonal && !linalg::ldl(m, matrix, m, L, m, D, scratch)) {
        return false;
      }
      for (Index row = 0; row < m; ++row) {
        if (!(D[row] > Scalar(0))) {
          return false;
        }
      }
      mixed = mixed || !diagonal;
    }
  }
  for (Index i = 0; mixed && i < N; ++i) {
    for (Index k = 0; k < problem.data.length(i, T); ++k) {
      const Scalar* const z = problem.data.z.at(i, k);
      const auto missing = std::count_if(z, z + m, [](Scalar value) { return std::isnan(value); });
      if (missing != 0 && missing != m) {
        return false;
      }
    }
  }
  return true;
}

/// Whether the way back goes in lanes: 1 <= n <= largest_n, no S, no exactly diffuse directions, and R as
/// `regular_noise` asks. `mixed`: some R is not diagonal.
template <Real Scalar>
[[nodiscard]] bool regular(const FilterProblem<Scalar>& problem, bool& mixed) {
  const Model<Scalar>& model = problem.model;
  if (model.dims.n > largest_n || model.dims.n < 1 || model.joint() || problem.careful) {
    return false;
  }
  for (Index i = 0; problem.start.rank && i < model.dims.N; ++i) {
    if (*problem.start.rank.at(i) > 0) {
      return false;
    }
  }
  const Field<const Scalar>& cross = problem.start.noise_cross;  // of the state and the noise that leads to the first
  for (Index i = 0; cross && i < (cross.shared() ? std::min<Index>(model.dims.N, 1) : model.dims.N); ++i) {
    if (std::any_of(cross.at(i), cross.at(i) + model.dims.n * model.dims.n, [](Scalar c) { return c != Scalar(0); })) {
      return false;
    }
  }
  return regular_noise(problem, mixed);
}

}  // namespace kelman::linear::lanes
