// SPDX-License-Identifier: BSD-3-Clause
// Filtering in lanes: all groups of the chosen series of a problem.
#pragma once

#include <algorithm>
#include <memory>

#include "kelman/linear/lanes/filter.hpp"
#include "kelman/linear/lanes/group.hpp"
#include "kelman/linear/lanes/pattern.hpp"

namespace kelman::linear::lanes {

/// What all groups of a problem share; `memory` holds what is made for it.
template <Real T>
[[nodiscard, gnu::cold]] Layout<T> lay_out(const FilterProblem<T>& problem, const FilterResult<T>& result, int width,
                                           Workspace& memory) {
  const Model<T>& model = problem.model;
  const auto [n, m, p, steps, N] = model.dims;
  Layout<T> layout;
  layout.own = !model.shares_covariances();
  layout.dense = !every(model.R, N, steps, [m = m](const T* R) { return diagonal(m, R); });
  if (layout.dense && !layout.own && model.H.constant() && model.R.constant()) {
    auto* const L = memory.take<T>(m * m);
    auto* const rows = memory.take<T>(m * n);
    auto* const noise = memory.take<T>(m);
    auto* const complete = memory.take<T>(m);
    factor_noise(m, n, model.H.at(0), model.R.at(0), complete, L, rows, noise);
    layout.rows = rows;
    layout.noise = noise;
    layout.mix = L;
  }
  if (n > largest_n) {
    layout.A = pattern_of(model.A, N, steps, n, n, memory);
    layout.H = layout.dense ? Pattern{} : pattern_of(model.H, N, steps, m, n, memory);
  }
  // values that a chunk holds per step and lane
  Index held = 3 * m + (model.b || model.B ? n + p : 0) + (layout.dense ? m * n + 2 * m : 0);
  held += layout.own && !model.A.constant() ? n * n : 0;
  held += layout.own && !model.Q.constant() ? n * n : 0;
  Index kept = result.mean && !result.mean.constant() ? n : 0;
  kept += result.cov && !result.cov.constant() ? n * n + 2 : 0;
  kept += result.predicted_mean ? n + n * n + m + m * m : 0;
  const Index cache = n > largest_n ? 256 * 1024 : 24 * 1024;
  const Index bytes = (held + kept) * width * static_cast<Index>(sizeof(T));
  layout.steps = settling;
  while (layout.steps > (n > largest_n ? 1 : 8) && layout.steps * bytes > cache) {
    layout.steps /= 2;
  }
  constexpr double caches = 32e6;
  layout.past_caches = static_cast<double>(kept * N * steps) * sizeof(T) > caches;
  return layout;
}

/// Filters all groups of V.
template <Lanes V>
[[gnu::cold]] Method run_groups(const FilterProblem<scalar_of<V>>& problem, const FilterResult<scalar_of<V>>& result,
                                int threads, Interrupt& stop) {
  using T = scalar_of<V>;
  constexpr int W = kelman::lanes<V>;
  const Dims& dims = problem.model.dims;
  const Index count = problem.count();
  Workspace common;
  const Layout<T> layout = lay_out(problem, result, W, common);
  // series of like length beside each other: a group lasts as long as its longest
  std::vector<Index> order(static_cast<std::size_t>(count));
  for (Index j = 0; j < count; ++j) {
    order[static_cast<std::size_t>(j)] = problem.series(j);
  }
  if (problem.data.lengths) {
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return problem.data.length(a, dims.T) > problem.data.length(b, dims.T); });
  }
  const Index groups = (count + W - 1) / W;
  const double step = work_per_step(problem.model, false) / 8;  // a lane's share
  const int useful = useful_threads(threads, step * static_cast<double>(count) * static_cast<double>(dims.T));
  const Index grain = std::max<Index>(chunk_of(dims, step) / W, 1);
  const auto workers = static_cast<std::size_t>(worker_count(groups, grain, useful));
  std::vector<Workspace> memory(workers);
  std::vector<Method> methods(workers);
  std::vector<std::unique_ptr<Group<V>>> filters;
  for (Workspace& own : memory) {
    filters.push_back(std::make_unique<Group<V>>(problem, result, layout, own));
  }
  parallel_chunks(groups, grain, useful, stop, [&](Index begin, Index end, Index worker) {
    const auto w = static_cast<std::size_t>(worker);
    for (Index g = begin; g < end && !stop.requested(); ++g) {
      filters[w]->run(order.data() + g * W, static_cast<int>(std::min<Index>(W, count - g * W)), methods[w], stop);
    }
    stream_fence();
  });
  Method all;
  for (const Method& one : methods) {
    all |= one;
  }
  return all;
}

/// Packs of two registers where they pay: the log-likelihoods of more series than fit into one register, of a model
/// that all share. The width changes no number.
template <Real T>
Method run_by_width(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Interrupt& stop) {
  const Model<T>& model = problem.model;
  const Index m = model.dims.m;
  constexpr int width = register_lanes<T>;
  const bool pays = model.dims.n <= largest_wide_n && problem.count() > width && model.shares_covariances() &&
                    !(result.mean && !result.mean.constant()) &&
                    every(model.R, Index(1), model.dims.T, [m](const T* R) { return diagonal(m, R); });
  return pays ? run_groups<Pack<T, 2 * width>>(problem, result, threads, stop)
              : run_groups<Pack<T, width>>(problem, result, threads, stop);
}

}  // namespace kelman::linear::lanes
