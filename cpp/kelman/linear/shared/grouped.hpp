// SPDX-License-Identifier: BSD-3-Clause
// The filter where model and start are the same in all series and their gaps make groups: shared/filter.hpp for each.
//
// Threads take whole groups, the largest cut into pieces so that there is something for each thread: the covariances of
// a piece are those of its group, to the bit. Covariances that are kept are copied from the first series of a piece.
#pragma once

#include <memory>
#include <vector>

#include "kelman/linear/patterns.hpp"
#include "kelman/linear/shared/filter.hpp"

namespace kelman::linear {

/// What one thread needs to filter groups.
template <Form F>
class GroupedFilter {
 public:
  using Scalar = typename F::scalar;
  using Batch = shared::Batch<F>;

  GroupedFilter(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, const Field<Scalar>& x)
      : problem_(problem), result_(result), batch_(problem, result, x, memory_), worker_(batch_, result) {}

  /// Filters the `count` series of `list`, which have the same gaps.
  void run(const Index* list, Index count, Interrupt& stop) {
    batch_.load(list, count);
    while (!stop.check() && batch_.next()) {
      for (Index g = 0; g < batch_.groups() && !stop.requested(); ++g) {
        batch_.means(g, worker_);
      }
    }
    if (stop.requested()) {
      return;
    }
    batch_.finish_covariances();
    std::vector<Index> again;
    batch_.unsound(again);
    if (!again.empty()) {
      Workspace own;
      Filter<F> careful(problem_, result_, 1, own);
      for (const Index i : again) {
        careful.run(i, i + 1, stop);
      }
    }
  }

 private:
  FilterProblem<Scalar> problem_;
  FilterResult<Scalar> result_;
  Workspace memory_;
  Batch batch_;
  typename Batch::Worker worker_;
};

/// Filters the series of all groups.
template <Form F>
void run_grouped(const FilterProblem<typename F::scalar>& problem, const FilterResult<typename F::scalar>& result,
                 const Patterns& patterns, int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  constexpr Index W = kelman::lanes<typename shared::Batch<F>::V>;
  const Dims& dims = problem.model.dims;
  const auto total = static_cast<Index>(patterns.series.size());
  const double work = work_per_step(problem.model, true) / 8 * static_cast<double>(total * dims.T);
  const int useful = useful_threads(threads, work);
  const Index largest = useful > 1 ? std::max<Index>(total / (4 * useful) / W, 8) * W : total;
  std::vector<Index> ends;
  Index begin = 0;
  for (const Index end : patterns.ends) {
    const Index pieces = (end - begin + largest - 1) / largest;
    for (Index piece = 1; piece < pieces; ++piece) {
      ends.push_back(begin + (end - begin) * piece / pieces / W * W);
    }
    ends.push_back(end);
    begin = end;
  }
  Workspace memory;
  const Index s = problem.model.size();
  const bool in_place = result.state_mean && s == dims.n;
  const Field<Scalar> x = in_place ? result.state_mean : Field<Scalar>{memory.take<Scalar>(dims.N * s), s, 0};
  const auto count = static_cast<Index>(ends.size());
  std::vector<std::unique_ptr<GroupedFilter<F>>> workers;
  for (Index w = 0; w < worker_count(count, 1, useful); ++w) {
    workers.push_back(std::make_unique<GroupedFilter<F>>(problem, result, x));
  }
  parallel_chunks(count, 1, useful, stop, [&](Index first, Index last, Index w) {
    for (Index piece = first; piece < last && !stop.requested(); ++piece) {
      const Index from = piece > 0 ? ends[static_cast<std::size_t>(piece - 1)] : 0;
      workers[static_cast<std::size_t>(w)]->run(patterns.series.data() + from,
                                                ends[static_cast<std::size_t>(piece)] - from, stop);
    }
  });
}

}  // namespace kelman::linear
