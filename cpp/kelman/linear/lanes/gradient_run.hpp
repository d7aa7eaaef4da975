// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a batch: groups of W series over threads.
//
// Each series' own gradient goes straight into the result. A sum over series is taken by blocks of groups, whose number
// depends on the problem only, and the blocks are added in their order: the same to the bit for any number of threads.
#pragma once

#include <memory>
#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linear/gradient.hpp"
#include "kelman/linear/lanes/back_group.hpp"

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

/// All series of a problem in groups of `width`; the result is zero on entry.
template <Real Scalar>
void run_gradient(const FilterProblem<Scalar>& problem, MakeGroup<Scalar, GradientResult<Scalar>> make, Index width,
                  bool mixed, const GradientResult<Scalar>& result, bool summed, int threads, Interrupt& stop) {
  constexpr Index most_blocks = 64;
  const Dims& dims = problem.model.dims;
  const Index groups = (problem.count() + width - 1) / width;
  const double work = 4 * work_per_step(problem.model, false) * static_cast<double>(dims.T);
  const int useful = useful_threads(threads, work * static_cast<double>(problem.count()));
  const Index block = summed ? (groups + most_blocks - 1) / most_blocks : Index(1);
  const Index blocks = summed ? (groups + block - 1) / std::max<Index>(block, 1) : groups;
  std::vector<std::unique_ptr<BackGroup<GradientResult<Scalar>>>> workers;
  for (Index w = 0; w < worker_count(blocks, 1, useful); ++w) {
    workers.push_back(make(problem, mixed, result));
  }
  Workspace memory;
  std::vector<GradientResult<Scalar>> parts;
  for (Index b = 0; summed && b < blocks; ++b) {
    parts.push_back(like(result, dims, memory));
  }
  parallel_chunks(blocks, 1, useful, stop, [&](Index begin, Index end, Index w) {
    for (Index g = begin * block; g < std::min(end * block, groups) && !stop.requested(); ++g) {
      const auto count = static_cast<int>(std::min(width, problem.count() - g * width));
      workers[static_cast<std::size_t>(w)]->run(g * width, count,
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

}  // namespace kelman::linear::lanes
