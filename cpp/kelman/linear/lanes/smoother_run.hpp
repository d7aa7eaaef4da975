// SPDX-License-Identifier: BSD-3-Clause
// The smoother of a batch in lanes: groups of series over threads.
#pragma once

#include <memory>
#include <vector>

#include "kelman/linear/lanes/back_group.hpp"
#include "kelman/linear/smoother_batch.hpp"

namespace kelman::linear::lanes {

/// Smooths the chosen series in groups of `width`. A series that fails is done again by itself, by the form that tells
/// how.
template <Real Scalar>
Method run_smoother(const FilterProblem<Scalar>& problem, MakeGroup<Scalar, SmootherResult<Scalar>> make, Index width,
                    bool mixed, const SmootherResult<Scalar>& result, int threads, Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const Index total = problem.count();
  const Index groups = (total + width - 1) / width;
  const double step = 3 * work_per_step(problem.model, false);
  const int useful = useful_threads(threads, step * static_cast<double>(total) * static_cast<double>(dims.T));
  std::vector<std::unique_ptr<BackGroup<SmootherResult<Scalar>>>> workers;
  for (Index w = 0; w < worker_count(groups, 1, useful); ++w) {
    workers.push_back(make(problem, mixed, result));
  }
  parallel_chunks(groups, 1, useful, stop, [&](Index begin, Index /*end*/, Index w) {
    const auto count = static_cast<int>(std::min(width, total - begin * width));
    workers[static_cast<std::size_t>(w)]->run(begin * width, count, result, stop);
  });
  Method method = Way::lanes;
  std::unique_ptr<SeriesSmoother<Univariate<Scalar>>> careful;
  for (Index j = 0; j < total && !stop.requested(); ++j) {
    const Index i = problem.series(j);
    if (*result.status.at(i) != static_cast<std::int32_t>(Status::ok)) {
      if (!careful) {
        careful = std::make_unique<SeriesSmoother<Univariate<Scalar>>>(problem, result);
      }
      careful->run(i, stop);
      method |= Way::univariate;
    }
  }
  return method;
}

}  // namespace kelman::linear::lanes
