// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a batch: groups of W series over threads.
//
// Each series' own gradient goes straight into the result; a sum over series is the same to the bit for any number of
// threads (gradient_blocks.hpp).
#pragma once

#include <memory>
#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linear/gradient_blocks.hpp"
#include "kelman/linear/lanes/back_group.hpp"

namespace kelman::linear::lanes {

/// All series of a problem in groups of `width`; the result is zero on entry.
template <Real Scalar>
void run_gradient(const FilterProblem<Scalar>& problem, MakeGroup<Scalar, GradientResult<Scalar>> make, Index width,
                  bool mixed, const GradientResult<Scalar>& result, bool summed, int threads, Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const Index groups = (problem.count() + width - 1) / width;
  const double work = 4 * work_per_step(problem.model, false) * static_cast<double>(dims.T);
  const int useful = useful_threads(threads, work * static_cast<double>(problem.count()));
  Workspace memory;
  GradientBlocks<Scalar> blocks(result, dims, problem.start.columns, groups, summed, memory);
  std::vector<std::unique_ptr<BackGroup<GradientResult<Scalar>>>> workers;
  for (Index w = 0; w < worker_count(blocks.count(), 1, useful); ++w) {
    workers.push_back(make(problem, mixed, result));
  }
  parallel_chunks(blocks.count(), 1, useful, stop, [&](Index first, Index last, Index w) {
    for (Index block = first; block < last; ++block) {
      for (Index g = blocks.begin(block); g < blocks.end(block) && !stop.requested(); ++g) {
        const auto count = static_cast<int>(std::min(width, problem.count() - g * width));
        workers[static_cast<std::size_t>(w)]->run(g * width, count, blocks.part(block), stop);
      }
    }
  });
  blocks.add();
}

}  // namespace kelman::linear::lanes
