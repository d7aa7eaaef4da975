// SPDX-License-Identifier: BSD-3-Clause
// The scalar filter for each number of states: for cpp/instantiate only.
#pragma once

#include <memory>
#include <utility>

#include "kelman/linear/single/run.hpp"
#include "kelman/linear/single/series.hpp"

namespace kelman::linear::single {

/// Filters every series of a problem of n states. Threads are shared out over the series, and within one.
template <int n, Real T>
[[gnu::cold]] Method run_of_size(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads,
                                 Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const double step = work_per_step(problem.model, false) / 4;
  const int useful = useful_threads(threads, step * static_cast<double>(dims.N) * static_cast<double>(dims.T));
  const auto workers = static_cast<std::size_t>(worker_count(dims.N, Index(1), useful));
  const int within = std::max(1, useful / static_cast<int>(workers));
  std::vector<Workspace> memory(workers);
  std::vector<std::unique_ptr<Single<n, T>>> filters;
  for (Workspace& own : memory) {
    filters.push_back(std::make_unique<Single<n, T>>(problem, result, within, own));
  }
  std::vector<Method> methods(workers);
  parallel_chunks(dims.N, Index(1), useful, stop, [&](Index begin, Index end, Index worker) {
    const auto w = static_cast<std::size_t>(worker);
    for (Index i = begin; i < end && !stop.requested(); ++i) {
      methods[w] |= filters[w]->run(i, stop);
    }
  });
  Method all;
  for (const Method& one : methods) {
    all |= one;
  }
  return all;
}

template <Real T, int... I>
Method run_among(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Interrupt& stop,
                 std::integer_sequence<int, I...>) {
  using Run = Method (*)(const FilterProblem<T>&, const FilterResult<T>&, int, Interrupt&);
  constexpr Run table[] = {&run_of_size<I + 1, T>...};
  return table[problem.model.dims.n - 1](problem, result, threads, stop);
}

}  // namespace kelman::linear::single
