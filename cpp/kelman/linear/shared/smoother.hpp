// SPDX-License-Identifier: BSD-3-Clause
// The smoother where model, start and gaps are the same for many series: covariances there and back once, then the
// means of groups of series side by side.
//
// A group goes forward through all its steps and keeps the mean at every seam of two segments. Then, from the last
// segment to the first, it goes forward again with x_k|k and v_k kept in the second cache, and back. The last segment
// is at hand already, so that series that fit into one are never filtered twice.
#pragma once

#include <vector>

#include "kelman/linear/history.hpp"
#include "kelman/linear/record.hpp"
#include "kelman/linear/shared/group.hpp"
#include "kelman/linear/shared/retreat.hpp"

namespace kelman::linear::shared {

/// Where the kernel of each step is among those that were kept: -1 for none.
template <Real Scalar>
[[nodiscard]] std::vector<Index> kernel_places(const KernelTape<Scalar>& kernels, Index T) {
  std::vector<Index> place(kernels.count() > 0 ? static_cast<std::size_t>(T) : 0, Index(-1));
  for (Index at = 0; at < kernels.count(); ++at) {
    place[static_cast<std::size_t>(kernels.step(at))] = at;
  }
  return place;
}

/// Smoothed means of one group; one object per thread.
template <class V>
class GroupSmoother {
 public:
  using Scalar = scalar_of<V>;
  using Lane = Members<kelman::lanes<V>>;

  /// `problem`: the one whose first transition is still to be made, unlike that of `steps`.
  GroupSmoother(const FilterProblem<Scalar>& problem, const Steps<Scalar>& steps, const History<Scalar>& history,
                const std::vector<Index>& kernels, const SmootherResult<Scalar>& result, Workspace& memory)
      : problem_(problem),
        steps_(steps),
        history_(history),
        kernels_(kernels),
        mean_field_(result.mean),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        s_(problem.model.size()),
        past_caches_(overflows_caches(result.mean, problem.model.dims)),
        arrives_(arrives(problem)),
        recursion_(recursion_for<V>(problem.model)),
        retreat_(retreat_for<V>(problem.model)),
        reader_(steps, memory),
        means_(problem.model, memory),
        segment_(segment_length()),
        x_(memory.take<V>(s_)),
        next_(memory.take<V>(n_)),
        seams_(memory.take<V>((problem.model.dims.T / segment_ + 1) * s_)),
        mean_(memory.take<V>(segment_ * n_)),
        residual_(memory.take<V>(segment_ * m_)),
        predicted_(kernels.empty() ? nullptr : memory.take<V>(segment_ * n_)),
        after_(memory.take<V>(2 * n_)),
        r0_(memory.take<V>(s_)),
        q_(memory.take<V>(n_)),
        scratch_(memory.take<V>(n_)),
        row_(memory.take<Scalar>(s_)),
        reach_(memory.take<Scalar>(n_)) {}

  /// Smooths the members over `length` steps; `quadratic` gets sum v²/f. Returns NaN in the lanes where some mean was
  /// not finite.
  V run(const Lane& members, Index length, V& quadratic) noexcept {
    V unsound(Scalar(0));
    begin(members);
    const Index segments = (length + segment_ - 1) / segment_;
    for (Index g = 0; g < segments; ++g) {
      std::copy_n(x_, s_, seams_ + g * s_);
      forward(members, g * segment_, std::min((g + 1) * segment_, length), quadratic, unsound);
    }
    std::fill_n(r0_, s_, V(Scalar(0)));
    std::fill_n(q_, n_, V(Scalar(0)));
    for (Index g = segments; g-- > 0;) {
      const Index first = g * segment_;
      const Index last = std::min(first + segment_, length);
      if (g + 1 < segments) {
        V again(Scalar(0));
        std::copy_n(seams_ + g * s_, s_, x_);
        forward(members, first, last, again, unsound);
      }
      backward(first, last, length);
      put(members, first, last - first);
    }
    return unsound;
  }

 private:
  /// Steps between two seams: what is kept of them stays in the second cache.
  [[nodiscard]] Index segment_length() const noexcept {
    constexpr Index cache = Index(1) << 19;
    const Index step = (2 * n_ + m_) * static_cast<Index>(sizeof(V));
    const Index whole = std::max<Index>(cache / step / reader_.span(), 1) * reader_.span();
    return std::min(whole, (problem_.model.dims.T + reader_.span() - 1) / reader_.span() * reader_.span());
  }

  void begin(const Lane& members) noexcept {
    if (!arrives_) {
      read<V>(problem_.start.mean, members, Index(0), Index(1), n_, x_);
      std::fill(x_ + n_, x_ + s_, V(Scalar(0)));
      return;
    }
    for (int l = 0; l < kelman::lanes<V>; ++l) {
      const Index i = members.of[l];
      MeanState<Scalar> state;
      state.x = row_;
      state.reach = reach_;
      means_.load(problem_.start, i, state);
      const Scalar* const noise = problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : nullptr;
      means_.predict(i, 0, problem_.data.driving_input(problem_.model.input_lag, i, 0), noise, state.x);
      for (Index j = 0; j < s_; ++j) {
        set_lane(x_[j], l, row_[j]);
      }
    }
  }

  void forward(const Lane& members, Index first, Index last, V& quadratic, V& unsound) noexcept {
    Chunk<V> chunk(steps_, x_, next_, quadratic, unsound);
    for (Index k = first; k < last; k += reader_.span()) {
      reader_.read(members, k, std::min(reader_.span(), last - k), chunk);
      chunk.mean = mean_ + (k - first) * n_;
      chunk.residual = residual_ + (k - first) * m_;
      chunk.predicted = predicted_ != nullptr ? predicted_ + (k - first) * n_ : nullptr;
      recursion_(chunk);
    }
  }

  [[nodiscard]] Index kernel_of(Index k) const noexcept {
    return kernels_.empty() ? Index(-1) : kernels_[static_cast<std::size_t>(k)];
  }

  void backward(Index first, Index last, Index length) noexcept {
    Retreat<V> back;
    back.steps = &steps_;
    back.cov = {history_.cov, 0, n_ * n_};
    back.cross = {history_.cross, 0, n_ * n_};
    back.diffuse = &history_.diffuse;
    back.length = length;
    back.r0 = r0_;
    back.q = q_;
    back.scratch = scratch_;
    for (Index k = last; k > first;) {
      Index until = k - 1;  // the run of ordinary steps [until, k), or one step of another kind
      if (retreat_ != nullptr && ordinary(until)) {
        while (until > first && ordinary(until - 1)) {
          --until;
        }
      }
      back.first = until;
      back.last = k;
      back.mean = mean_ + (until - first) * n_;
      back.residual = residual_ + (until - first) * m_;
      if (retreat_ != nullptr && ordinary(until)) {
        retreat_(back);
      } else {
        const Index place = kernel_of(until);
        const bool seam = until + 1 == last;
        retreat_any(back, place < 0 ? nullptr : history_.kernels.gain(place), seam ? after_ : back.mean + n_,
                    seam || predicted_ == nullptr ? after_ + n_ : predicted_ + (until + 1 - first) * n_);
      }
      k = until;
    }
    std::copy_n(mean_, n_, after_);
    if (predicted_ != nullptr) {
      std::copy_n(predicted_, n_, after_ + n_);
    }
  }

  [[nodiscard]] bool ordinary(Index k) const noexcept { return k >= history_.diffuse.count() && kernel_of(k) < 0; }

  void put(const Lane& members, Index first, Index count) noexcept {
    Scalar* rows[kelman::lanes<V>];
    for (int l = 0; l < kelman::lanes<V>; ++l) {
      rows[l] = mean_field_.at(members.of[l], first);
    }
    write_columns(mean_, count * n_, rows, mean_field_.series, past_caches_);
  }

  FilterProblem<Scalar> problem_;
  const Steps<Scalar>& steps_;
  const History<Scalar>& history_;
  const std::vector<Index>& kernels_;
  Field<Scalar> mean_field_;
  Index n_;
  Index m_;
  Index s_;
  bool past_caches_;
  bool arrives_;
  void (*recursion_)(const Chunk<V>&) noexcept;
  void (*retreat_)(const Retreat<V>&) noexcept;
  Reader<V> reader_;
  Means<Scalar> means_;
  Index segment_;
  V* x_;
  V* next_;
  V* seams_;
  V* mean_;
  V* residual_;
  V* predicted_;
  V* after_;  // x_{k+1}|T and x_{k+1}|k at a seam
  V* r0_;
  V* q_;
  V* scratch_;
  Scalar* row_;
  Scalar* reach_;
};

/// Whether some of the first `length` steps has a component without noise, which is compared series by series.
template <Real Scalar>
[[nodiscard]] bool some_exact(const Tape<Scalar>& tape, Index length) noexcept {
  for (Index k = 0; k < length; ++k) {
    if (tape.at(k).head->exact) {
      return true;
    }
  }
  return false;
}

/// Means of the chosen series, whose covariances are in `history`. Returns the series whose means were not finite: they
/// have to be done again.
template <class V>
[[nodiscard, gnu::cold]] std::vector<Index> smooth_means(const FilterProblem<scalar_of<V>>& problem,
                                                         const SmootherResult<scalar_of<V>>& result,
                                                         const History<scalar_of<V>>& history, int threads,
                                                         Interrupt& stop) {
  using Scalar = scalar_of<V>;
  struct Worker {
    Workspace memory;
    GroupSmoother<V> group;
    Worker(const FilterProblem<Scalar>& given, const Steps<Scalar>& steps, const History<Scalar>& known,
           const std::vector<Index>& kernels, const SmootherResult<Scalar>& to)
        : group(given, steps, known, kernels, to, memory) {}
  };
  const Dims& dims = problem.model.dims;
  const Index count = problem.count();
  const Index length = problem.data.length(problem.series(0), dims.T);
  Workspace memory;
  Steps<Scalar> steps(arrives(problem) ? arrived(problem) : problem, history.tape, length, memory);
  steps.begin(0);
  steps.prepare(problem.series(0), length);
  double constant = 0;
  for (Index k = 0; k < length; ++k) {
    constant += static_cast<double>(history.tape.at(k).head->constant);
  }
  const std::vector<Index> kernels = kernel_places(history.kernels, length);
  const Index groups = (count + kelman::lanes<V> - 1) / kelman::lanes<V>;
  const double work = 3 * work_per_step(problem.model, true) / 8 * static_cast<double>(kelman::lanes<V> * length);
  const int useful = useful_threads(threads, work * static_cast<double>(groups));
  const auto grain = static_cast<Index>(std::clamp(1e5 / work, 1.0, 64.0));
  std::vector<std::unique_ptr<Worker>> workers;
  for (Index w = 0; w < worker_count(groups, grain, useful); ++w) {
    workers.push_back(std::make_unique<Worker>(problem, steps, history, kernels, result));
  }
  std::vector<unsigned char> unsound(static_cast<std::size_t>(count), 0);
  parallel_chunks(groups, grain, useful, stop, [&](Index begin, Index end, Index w) {
    for (Index g = begin; g < end && !stop.check(); ++g) {
      const Members<kelman::lanes<V>> members(problem.chosen, g * kelman::lanes<V>, count);
      V quadratic(Scalar(0));
      const V bad = workers[static_cast<std::size_t>(w)]->group.run(members, length, quadratic);
      for (int l = 0; l < members.count; ++l) {
        const Index i = members.of[l];
        unsound[static_cast<std::size_t>(g * kelman::lanes<V> + l)] = lane(bad, l) == lane(bad, l) ? 0 : 1;
        blank(result.mean, i, length, dims.T, dims.n, false);
        *result.loglik.at(i) = static_cast<Scalar>(constant - 0.5 * static_cast<double>(lane(quadratic, l)));
        *result.status.at(i) = 0;
        *result.failed_at.at(i) = -1;
      }
    }
  });
  std::vector<Index> again;
  for (Index j = 0; j < count; ++j) {
    if (unsound[static_cast<std::size_t>(j)] != 0) {
      again.push_back(problem.series(j));
    }
  }
  return again;
}

}  // namespace kelman::linear::shared
