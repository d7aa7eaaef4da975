// SPDX-License-Identifier: BSD-3-Clause
// The filter: one driver for one series, many series, and many series that share their covariances.
//
// A block of series walks through time in windows. In each window the form computes covariances and gains once, into a
// tape; then each series of the block takes its means through the tape. Blocks have one series, unless model, start
// and missing pattern are the same for all: then blocks are large, and the covariances cost next to nothing.
// Every series sees the same arithmetic in either case.
#pragma once

#include "kelman/core/parallel.hpp"
#include "kelman/linear/forms/univariate.hpp"
#include "kelman/linear/gaps.hpp"
#include "kelman/linear/mean.hpp"
#include "kelman/linear/record.hpp"
#include "kelman/linear/settling.hpp"

namespace kelman::linear {

/// Filters blocks of series; one object per thread.
template <Form F>
class Filter {
 public:
  using Scalar = typename F::scalar;

  /// `block`: the largest number of series in a block.
  Filter(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, Index block, Workspace& memory)
      : problem_(problem),
        result_(result),
        record_(problem, result),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        window_(window_length(problem.model, block)),
        form_(problem.model, problem.start.columns, problem.diffuse_constant, memory),
        means_(problem.model, memory),
        tape_(problem.model, window_, memory, true),
        settling_(problem, !result.predicted_cov && !result.innovation_cov, memory),
        mask_(memory.take<unsigned char>(m_)),
        states_(memory.take<MeanState<Scalar>>(block)) {
    const Index s = problem.model.size();
    auto* const x = memory.take<Scalar>(block * s);
    auto* const reach = memory.take<Scalar>(block * n_);
    for (Index j = 0; j < block; ++j) {
      states_[j].x = x + j * s;
      states_[j].reach = reach + j * n_;
    }
  }

  /// Filters series [begin, end), which share their covariances if there are several.
  void run(Index begin, Index end, Interrupt& stop) noexcept {
    const Index length = problem_.data.length(begin, problem_.model.dims.T);
    leader_ = -1;
    form_.load(problem_.start, begin);
    settling_.clear();
    for (Index i = begin; i < end; ++i) {
      means_.load(problem_.start, i, states_[i - begin]);
    }
    Outcome trouble;  // of the covariances
    for (Index first = 0, last = 0; first < length && trouble.usable(); first = last) {
      if (stop.check()) {
        return;
      }
      for (last = first; last < std::min(first + window_, length) && trouble.usable(); ++last) {
        observe(m_, problem_.data.z.at(begin, last), mask_);
        if (settling_.repeats(mask_)) {
          repeat(begin, last);
        } else if (last > first && tape_.slot_of((last - 1) % window_) != (last - 1) % window_) {
          break;  // the slot that was repeated may be older than this window, and in the way
        } else {
          covariances(begin, last, trouble);
        }
      }
      const Index reached = trouble.usable() ? last : trouble.at;
      for (Index i = begin; i < end; ++i) {
        for (Index k = first; k < reached && states_[i - begin].outcome.usable(); ++k) {
          mean(i, k, states_[i - begin]);
        }
      }
    }
    for (Index i = begin; i < end; ++i) {
      if (!trouble.usable() && states_[i - begin].outcome.usable()) {
        states_[i - begin].outcome = trouble;
      }
      finish(i, length, trouble, states_[i - begin]);
    }
  }

  /// Takes the steps of series i in which its start is diffuse. Returns the first step after them, of which `form` and
  /// `state` hold the moments before; or the length of the series, whose results are then complete.
  Index lead(Index i) noexcept {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    means_.load(problem_.start, i, states_[0]);
    const bool follows = follows_leader(i, length);
    if (!follows) {
      form_.load(problem_.start, i);
      settling_.clear();
      leader_ = -1;
    }
    Outcome trouble;
    Index k = 0;
    for (; k < length && (follows ? k < led_ : form_.moments().rank > 0); ++k) {
      if (follows) {
        repeat_covariances(i, k);
      } else {
        observe(m_, problem_.data.z.at(i, k), mask_);
        covariances(i, k, trouble);
      }
      if (trouble.usable()) {
        mean(i, k, states_[0]);
      } else {
        states_[0].outcome = trouble;
      }
      if (!states_[0].outcome.usable()) {
        break;
      }
    }
    if (k < length && states_[0].outcome.usable()) {
      if (!follows && k <= window_ && problem_.model.shares_covariances() && problem_.start.shares_covariances()) {
        leader_ = i;
        led_ = k;
      }
      return k;
    }
    finish(i, length, trouble, states_[0]);
    return length;
  }

  /// Whether the covariances of some series were constant from some step on.
  [[nodiscard]] bool steady() const noexcept { return steady_; }

  [[nodiscard]] const F& form() const noexcept { return form_; }
  [[nodiscard]] const MeanState<Scalar>& state() const noexcept { return states_[0]; }

 private:
  /// Steps per window: a tape that stays in the cache, and a look at the interrupt several times a second.
  [[nodiscard]] static Index window_length(const Model<Scalar>& model, Index block) noexcept {
    constexpr Index cache = Index(1) << 17;
    const Index longest = model.dims.n >= 64 ? 1 : (block > 1 ? 256 : 16);
    return std::clamp<Index>(cache / Tape<Scalar>::slot_bytes(model), 1, longest);
  }

  /// Step k has the covariances of the step before, for the block that starts with series i.
  void repeat(Index i, Index k) noexcept {
    steady_ = true;
    tape_.repeat(k % window_, (k - 1) % window_);
    if (!problem_.shared || i == 0) {
      record_.filtered(i, k, form_);
    }
  }

  /// Covariances of step k with the components in `mask_`, for the block that starts with series i.
  void covariances(Index i, Index k, Outcome& trouble) noexcept {
    if (k > 0 || problem_.start.before_first) {
      const Status status = form_.predict(i, k);
      if (status != Status::ok) {
        trouble.report(status, k);
        return;
      }
    }
    const bool writes = !problem_.shared || i == 0;
    if (writes) {
      record_.predicted(i, k, form_);
    }
    settling_.predicted(k, form_.moments(), mask_);
    tape_.own(k % window_);
    const Status status = form_.update(i, k, mask_, tape_.at(k % window_), nullptr);
    if (status != Status::ok) {
      trouble.report(status, k);
      return;
    }
    if (writes) {
      record_.filtered(i, k, form_);
    }
  }

  /// Whether the diffuse steps of series i have the covariances of those taken last, which form and tape still hold.
  [[nodiscard]] bool follows_leader(Index i, Index length) const noexcept {
    return leader_ >= 0 && length > led_ && *problem_.start.rank.at(i) == *problem_.start.rank.at(leader_) &&
           same_gaps(problem_.data.z, i, leader_, led_, m_);
  }

  /// Covariances of step k of the series that was led before, for series i.
  void repeat_covariances(Index i, Index k) const noexcept {
    const auto repeat = [&](const Field<Scalar>& field, Index count) {
      if (field && !field.constant()) {
        std::copy_n(field.at(leader_, k), count, field.at(i, k));
      }
    };
    repeat(result_.cov, n_ * n_);
    repeat(result_.predicted_cov, n_ * n_);
    repeat(result_.innovation_cov, m_ * m_);
  }

  /// Mean of step k for one series.
  void mean(Index i, Index k, MeanState<Scalar>& state) noexcept {
    const Data<Scalar>& data = problem_.data;
    if (k > 0 || problem_.start.before_first) {
      const Scalar* const noise =
          k == 0 && problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : static_cast<const Scalar*>(nullptr);
      means_.predict(i, k, data.driving_input(problem_.model.input_lag, i, k), noise, state.x);
    }
    const Scalar* const z = data.z.at(i, k);
    const Scalar* const u = data.direct_input(i, k);
    if (result_.predicted_mean) {
      std::copy_n(state.x, n_, result_.predicted_mean.at(i, k));
    }
    if (result_.innovation) {
      means_.innovation(i, k, z, u, state.x, result_.innovation.at(i, k));
    }
    const Scalar gained = means_.update(i, k, z, u, tape_.at(k % window_), state, nullptr);
    if (!means_.finite(state.x)) {
      state.outcome = Outcome{Status::non_finite, k};
      return;
    }
    state.loglik += static_cast<double>(gained);
    if (result_.loglik_obs) {
      *result_.loglik_obs.at(i, k) = gained;
    }
    if (result_.mean) {
      std::copy_n(state.x, n_, result_.mean.at(i, k));
    }
  }

  /// Log-likelihood, status and end state of series i; NaN after its end or its failure.
  void finish(Index i, Index length, const Outcome& trouble, const MeanState<Scalar>& state) noexcept {
    if (!problem_.shared || i == 0) {
      // what is shared is blanked only if it failed itself
      const Outcome& outcome = problem_.shared ? trouble : state.outcome;
      const bool failed = !outcome.usable();
      record_.end_covariances(i, failed ? outcome.at : length, failed, form_);
    }
    record_.end_means(i, length, state.x, state.loglik, state.outcome);
  }

  FilterProblem<Scalar> problem_;
  FilterResult<Scalar> result_;
  Record<Scalar> record_;
  Index n_;
  Index m_;
  Index window_;
  F form_;
  Means<Scalar> means_;
  Tape<Scalar> tape_;
  Settling<Scalar> settling_;
  unsigned char* mask_;
  MeanState<Scalar>* states_;
  bool steady_ = false;
  Index leader_ = -1;  ///< series whose diffuse steps were taken last, if others may follow it
  Index led_ = 0;      ///< their number
};

/// Largest block of series that share their covariances: what recomputing them per block costs is lost beside it.
inline constexpr Index shared_block = 4096;

/// Filters the chosen series of a problem with form F; all of them where covariances are shared. Tells how.
template <Form F>
Method run_filter(const FilterProblem<typename F::scalar>& problem, const FilterResult<typename F::scalar>& result,
                  int threads, Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const Index count = problem.count();
  const Index per_thread = (count + std::max(threads, 1) - 1) / std::max(threads, 1);
  const double step = work_per_step(problem.model, problem.shared);
  const double total = step * static_cast<double>(count) * static_cast<double>(dims.T);
  const int useful = useful_threads(threads, total);
  const Index block = !problem.shared ? 1 : std::min(shared_block, useful > 1 ? per_thread : count);
  const Index grain = problem.shared ? block : chunk_of(dims, step);
  std::vector<Workspace> memory(static_cast<std::size_t>(worker_count(count, grain, useful)));
  std::vector<Filter<F>> filters;
  filters.reserve(memory.size());
  for (Workspace& own : memory) {
    filters.emplace_back(problem, result, std::max<Index>(block, 1), own);
  }
  parallel_chunks(count, grain, useful, stop, [&](Index begin, Index end, Index worker) {
    Filter<F>& filter = filters[static_cast<std::size_t>(worker)];
    if (problem.shared) {
      filter.run(begin, end, stop);
      return;
    }
    for (Index j = begin; j < end && !stop.requested(); ++j) {
      const Index i = problem.series(j);
      filter.run(i, i + 1, stop);
    }
  });
  Method method = problem.shared ? Way::shared : Way::univariate;
  for (const Filter<F>& filter : filters) {
    method |= filter.steady() && !problem.shared ? Method(Way::steady) : Method();
  }
  return method;
}

// compiled once, for all who take a series or its diffuse steps this way
extern template class Filter<Univariate<double>>;
extern template class Filter<Univariate<float>>;

}  // namespace kelman::linear
