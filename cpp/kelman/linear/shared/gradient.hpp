// SPDX-License-Identifier: BSD-3-Clause
// Log-likelihood and gradient where model, start and gaps are the same in all series: what does not depend on the data
// once, by the passage of a series at rest, and the score of groups of series side by side.
//
// Both go there and back by segments of time: forward through all of them, keeping the means at each seam, and then
// from the last to the first, each forward again and back. Series that fit into one segment are filtered once.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "kelman/core/parallel.hpp"
#include "kelman/linear/gradient_blocks.hpp"
#include "kelman/linear/shared/filter.hpp"
#include "kelman/linear/shared/information.hpp"
#include "kelman/linear/shared/score.hpp"

namespace kelman::linear::shared {

/// Whether the gradient of the chosen series, which have the same gaps, may go this way: no S, and nothing known of the
/// noise that leads to the first measurement but its covariance.
template <Real Scalar>
[[nodiscard]] bool takes_gradient(const FilterProblem<Scalar>& problem) noexcept {
  const Field<const Scalar>& cross = problem.start.noise_cross;
  const Dims& dims = problem.model.dims;
  const Index size = dims.n * dims.n;
  return dims.n > 0 && dims.m > 0 && problem.data.length(problem.series(0), dims.T) > 0 && !problem.model.joint() &&
         !arrives(problem) &&
         !(cross && std::any_of(cross.at(0), cross.at(0) + size, [](Scalar c) { return c != Scalar(0); }));
}

/// The problem of one series at rest that has the gaps of the first of the chosen.
template <Real Scalar>
[[nodiscard]] FilterProblem<Scalar> at_rest(const FilterProblem<Scalar>& problem, Workspace& memory) {
  const auto [n, m, p, T, N] = problem.model.dims;
  const Index i = problem.series(0);
  const Index length = problem.data.length(i, T);
  FilterProblem<Scalar> rest = problem;
  rest.chosen = nullptr;
  rest.start.rank = {rest.start.rank ? rest.start.rank.at(i) : nullptr, 0, 0};
  rest.model.dims.N = 1;
  rest.model.dims.T = length;
  rest.model.B = rest.model.D = rest.model.b = rest.model.c = {};
  auto* const z = memory.take<Scalar>(length * m);
  for (Index k = 0; k < length; ++k) {
    for (Index j = 0; j < m; ++j) {
      z[k * m + j] = problem.data.z.at(i, k)[j] * Scalar(0);  // NaN, and 0 of a number
    }
  }
  rest.data = {};
  rest.data.z = {z, 0, m};
  rest.start.mean = {memory.take<Scalar>(n), 0, 0};
  return rest;
}

/// The two passes.
template <Form F>
class SharedGradient {
 public:
  using Scalar = typename F::scalar;
  using V = SideBySide<Scalar>;
  static constexpr Index W = kelman::lanes<V>;

  SharedGradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
                 Interrupt& stop)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        length_(problem.data.length(problem.series(0), problem.model.dims.T)),
        groups_((problem.count() + W - 1) / W),
        threads_(threads),
        summed_(summed),
        stop_(stop),
        segment_(segment_length()),
        segments_((length_ + segment_ - 1) / segment_),
        rest_(at_rest(problem, memory_)),
        passage_(rest_, memory_, segment_, true),
        steps_(problem, passage_.tape(), segment_, memory_),
        blocks_(result, problem.model.dims, problem.start.columns, groups_, summed, memory_),
        x_(memory_.take<V>(groups_ * (segments_ + 1) * n_)),
        r_(memory_.take<V>(groups_ * 2 * n_)),
        ends_(memory_.take<V>(groups_ * 2)) {}

  /// False if some series cannot go this way: then the results are void.
  [[nodiscard]] bool run() {
    passage_.begin(0);
    for (Index g = 0; g < segments_ && !stop_.requested(); ++g) {
      passage_.forward(0, begin(g), end(g), stop_);
      if (passage_.outcome().status != Status::ok || (!stop_.requested() && !prepare(g))) {
        return false;
      }
      if (g + 1 < segments_) {
        each_group([&](GroupScore<V>& worker, Index group, Index) {
          worker.forward(members(group), g, begin(g), end(g), carried(group));
        });
      }
    }
    Information<F> information(rest_, result_, passage_);
    passage_.backward(0, length_, stop_, [&](Index k) {
      const Index g = k / segment_;
      if (k + 1 == end(g)) {
        back(g, information);
      }
    });
    return stop_.requested() || finish(information.sums());
  }

 private:
  /// Steps whose means and covariances fit into the second cache.
  [[nodiscard]] Index segment_length() const noexcept {
    constexpr Index cache = Index(7) << 17;
    const Index m = problem_.model.dims.m;
    const Index step = (n_ + m) * static_cast<Index>(sizeof(V)) + Tape<Scalar>::slot_bytes(problem_.model) +
                       static_cast<Index>(sizeof(Scalar)) * (m + 2 * n_ + 2 * n_ * n_);
    const Index span = chunk_steps(problem_.model.dims);
    return std::max<Index>(std::min(cache / step, length_ + span - 1) / span, 1) * span;
  }

  [[nodiscard]] Index begin(Index g) const noexcept { return g * segment_; }
  [[nodiscard]] Index end(Index g) const noexcept { return std::min((g + 1) * segment_, length_); }
  [[nodiscard]] Members<W> members(Index group) const noexcept {
    return {problem_.chosen, group * W, problem_.count()};
  }
  [[nodiscard]] Carried<V> carried(Index group) const noexcept {
    V* const r = r_ + group * 2 * n_;
    return {x_ + group * (segments_ + 1) * n_, r, r + n_, ends_ + 2 * group, ends_ + 2 * group + 1};
  }

  /// The numbers of segment g; false if some component has no noise, which goes series by series.
  [[nodiscard]] bool prepare(Index g) noexcept {
    steps_.begin(begin(g));
    steps_.prepare(problem_.series(0), end(g));
    for (Index k = begin(g); k < end(g); ++k) {
      if (steps_.slot(k).head->exact) {
        return false;
      }
    }
    return true;
  }

  /// Calls `work(worker, group, block)` for all groups.
  template <class Work>
  void each_group(const Work& work) {
    const double operations = 3 * work_per_step(problem_.model, true) / 8 * static_cast<double>(W * segment_);
    const int useful = useful_threads(threads_, operations * static_cast<double>(groups_));
    while (static_cast<Index>(workers_.size()) < worker_count(blocks_.count(), 1, useful)) {
      workers_.push_back(std::make_unique<Worker>(*this));
    }
    parallel_chunks(blocks_.count(), 1, useful, stop_, [&](Index first, Index last, Index w) {
      for (Index block = first; block < last; ++block) {
        for (Index group = blocks_.begin(block); group < blocks_.end(block) && !stop_.check(); ++group) {
          work(workers_[static_cast<std::size_t>(w)]->score, group, block);
        }
      }
    });
  }

  void back(Index g, Information<F>& information) {
    if (g + 1 < segments_) {
      static_cast<void>(prepare(g));
    }
    Retreat<V> known;
    known.steps = &steps_;
    known.cov = passage_.filtered();
    known.diffuse = &passage_.diffuse_steps();
    known.origin = begin(g);
    known.length = length_;
    each_group([&](GroupScore<V>& worker, Index group, Index block) {
      worker.back(members(group), g, begin(g), end(g), length_, carried(group), known, blocks_.part(block));
    });
    information.back(begin(g), end(g), length_);
  }

  /// Log-likelihoods, and the sums; false if a mean or a sum was not finite.
  [[nodiscard]] bool finish(GradientSums& common) noexcept {
    for (Index j = 0; j < problem_.count(); ++j) {
      const Index i = problem_.series(j);
      const Carried<V> end = carried(j / W);
      const auto l = static_cast<int>(j % W);
      if (lane(*end.unsound, l) != lane(*end.unsound, l) || !std::isfinite(lane(*end.quadratic, l))) {
        return false;
      }
      *result_.loglik.at(i) = passage_.loglik() - 0.5 * lane(*end.quadratic, l);
      *result_.status.at(i) = 0;
      *result_.failed_at.at(i) = -1;
    }
    if (summed_) {
      common.scale(static_cast<double>(problem_.count()));
      blocks_.add();
    }
    for (Index j = 0; j < (summed_ ? Index(1) : problem_.count()); ++j) {
      common.write(result_, problem_.series(j));
    }
    return true;
  }

  struct Worker {
    explicit Worker(const SharedGradient& all) : score(all.steps_, all.segment_, all.result_, memory) {}
    Workspace memory;
    GroupScore<V> score;
  };

  FilterProblem<Scalar> problem_;
  GradientResult<Scalar> result_;
  Workspace memory_;
  Index n_;
  Index length_;
  Index groups_;
  int threads_;
  bool summed_;
  Interrupt& stop_;
  Index segment_;
  Index segments_;
  FilterProblem<Scalar> rest_;
  FormPassage<F> passage_;
  Steps<Scalar> steps_;
  GradientBlocks<Scalar> blocks_;
  V* x_;
  V* r_;
  V* ends_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace kelman::linear::shared
