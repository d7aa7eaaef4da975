// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a batch: groups of W series over threads.
//
// Each series' own gradient goes straight into the result. A sum over series is taken by blocks of groups, whose number
// depends on the problem only, and the blocks are added in their order: the same to the bit for any number of threads.
#pragma once

#include <memory>
#include <vector>

#include "kelman/core/parallel.hpp"
#include "kelman/linear/lanes/gradient.hpp"

namespace kelman::linear::lanes {

/// Calls `visit(field of a, field of b, size of an entry)` for all fields of the gradient.
template <Real Scalar, class Visit>
void each_field(GradientResult<Scalar>& a, const GradientResult<Scalar>& b, const Dims& dims, Visit&& visit) {
  const auto [n, m, p, T, N] = dims;
  visit(a.A, b.A, n * n);
  visit(a.H, b.H, m * n);
  visit(a.Q, b.Q, n * n);
  visit(a.R, b.R, m * m);
  visit(a.B, b.B, n * p);
  visit(a.D, b.D, m * p);
  visit(a.b, b.b, n);
  visit(a.c, b.c, m);
  visit(a.mean, b.mean, n);
  visit(a.cov, b.cov, n * n);
  visit(a.noise_mean, b.noise_mean, n);
  visit(a.noise_cov, b.noise_cov, n * n);
}

/// Fields like those of `result`, in memory of their own, zero. What goes by series in any case goes to the result.
template <Real Scalar>
GradientResult<Scalar> like(const GradientResult<Scalar>& result, const Dims& dims, Workspace& memory) {
  GradientResult<Scalar> own = result;
  each_field(own, result, dims, [&](Field<Scalar>& mine, const Field<Scalar>& given, Index size) {
    if (given.shared() && given) {
      mine.data = memory.take<Scalar>(size * (given.constant() ? 1 : dims.T));
    }
  });
  return own;
}

/// All series of a problem of size n, in packs V; the result is zero on entry.
template <int n, Lanes V>
void run_gradient(const FilterProblem<scalar_of<V>>& problem, bool mixed, const GradientResult<scalar_of<V>>& result,
                  bool summed, int threads, Interrupt& stop) {
  using Scalar = scalar_of<V>;
  struct Worker {
    Worker(const FilterProblem<Scalar>& given, bool with_mix) : group(given, with_mix, memory) {}
    Workspace memory;
    GroupGradient<n, V> group;
  };
  constexpr Index W = kelman::lanes<V>;
  constexpr Index most_blocks = 64;
  const Dims& dims = problem.model.dims;
  const Index groups = (problem.count() + W - 1) / W;
  const double work = 4 * work_per_step(problem.model, false) * static_cast<double>(dims.T);
  const int useful = useful_threads(threads, work * static_cast<double>(problem.count()));
  const Index block = summed ? (groups + most_blocks - 1) / most_blocks : Index(1);
  const Index blocks = summed ? (groups + block - 1) / std::max<Index>(block, 1) : groups;
  std::vector<std::unique_ptr<Worker>> workers;
  for (Index w = 0; w < worker_count(blocks, 1, useful); ++w) {
    workers.push_back(std::make_unique<Worker>(problem, mixed));
    workers.back()->group.prepare(result);
  }
  Workspace memory;
  std::vector<GradientResult<Scalar>> parts;
  for (Index b = 0; summed && b < blocks; ++b) {
    parts.push_back(like(result, dims, memory));
  }
  parallel_chunks(blocks, 1, useful, stop, [&](Index begin, Index end, Index w) {
    for (Index g = begin * block; g < std::min(end * block, groups) && !stop.requested(); ++g) {
      const auto count = static_cast<int>(std::min(W, problem.count() - g * W));
      workers[static_cast<std::size_t>(w)]->group.run(g * W, count,
                                                      summed ? parts[static_cast<std::size_t>(begin)] : result, stop);
    }
  });
  GradientResult<Scalar> total = result;
  for (const GradientResult<Scalar>& part : parts) {
    each_field(total, part, dims, [&](const Field<Scalar>& to, const Field<Scalar>& from, Index size) {
      const Index count = size * (from.constant() ? 1 : dims.T);
      for (Index e = 0; from.shared() && from && e < count; ++e) {
        to.data[e] += from.data[e];
      }
    });
  }
}

/// What `gradient_supported` asks of R: `mixed` tells whether it is not diagonal somewhere. False if it is not positive
/// definite, or not diagonal where a row of z is partly missing.
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

}  // namespace kelman::linear::lanes
