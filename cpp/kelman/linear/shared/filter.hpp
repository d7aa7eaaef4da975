// SPDX-License-Identifier: BSD-3-Clause
// The filter where model, start and gaps are the same for many series: covariances and gains once, means in lanes.
//
// Window by window of time: the form walks the covariances and fills the tape, then the groups of series take their
// means through it, in parallel. Steps that have components without noise are taken series by series by `Means`, which
// compares what the model predicts exactly; a series whose mean overflows is done again by the careful filter, which
// says when.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "kelman/core/parallel.hpp"
#include "kelman/linear/filter.hpp"
#include "kelman/linear/shared/group.hpp"

namespace kelman::linear::shared {

/// Series that share their covariances, on their way through time.
template <Form F>
class Batch {
 public:
  using Scalar = typename F::scalar;
  using V = SideBySide<Scalar>;

  /// What one thread needs.
  struct Worker {
    Worker(const Batch& batch, const FilterResult<Scalar>& result)
        : group(batch.steps_, result, memory),
          means(batch.problem_.model, memory),
          reach(memory.take<Scalar>(batch.problem_.model.dims.n)) {}
    Workspace memory;
    GroupFilter<V> group;
    Means<Scalar> means;
    Scalar* reach;
  };

  /// `x`: room for the mean of every series (s, by series).
  [[gnu::noinline]] Batch(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result,
                          const Field<Scalar>& x, Workspace& memory)
      : problem_(problem),
        result_(result),
        record_(problem, result),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        window_(window_length(problem.model)),
        arrives_(arrives(problem)),
        form_(problem.model, problem.start.columns, problem.diffuse_constant, memory),
        tape_(problem.model, window_, memory),
        steps_(arrives_ ? arrived(problem) : problem, tape_, window_, memory),
        mask_(memory.take<unsigned char>(m_)),
        x_(x) {}

  /// Takes up `count` series: those of `list`, or all in order if that is null.
  [[gnu::noinline]] void load(const Index* list, Index count) {
    list_ = list;
    count_ = count;
    length_ = problem_.data.length(series(0), problem_.model.dims.T);
    last_ = 0;
    constant_ = 0;
    trouble_ = Outcome{};
    loglik_.assign(static_cast<std::size_t>(count), 0.0);
    doubtful_.store(false);
    unsound_.assign(static_cast<std::size_t>(count), 0);
    states_.clear();
    form_.load(problem_.start, series(0));
  }

  /// Covariances of the next steps; false if there are none left.
  [[nodiscard, gnu::noinline]] bool next() {
    first_ = last_;
    if (first_ >= length_ || !trouble_.usable()) {
      return false;
    }
    last_ = std::min(first_ + window_, length_);
    steps_.begin(first_);
    for (Index k = first_; k < last_ && trouble_.usable(); ++k) {
      covariances(series(0), k);
    }
    last_ = trouble_.usable() ? last_ : trouble_.at;
    steps_.prepare(series(0), last_);
    bool exact = false;
    for (Index k = first_; k < last_; ++k) {
      const SlotHead<Scalar>& head = *steps_.slot(k).head;
      exact = exact || head.exact;
      constant_ += head.exact ? 0.0 : static_cast<double>(head.constant);
    }
    if (exact && states_.empty()) {
      states_.resize(static_cast<std::size_t>(count_));
      reach_.assign(static_cast<std::size_t>(count_ * problem_.model.dims.n), Scalar(0));
    }
    return true;
  }

  /// Groups of lanes.
  [[nodiscard]] Index groups() const noexcept { return (count_ + kelman::lanes<V> - 1) / kelman::lanes<V>; }

  /// Steps of the present window.
  [[nodiscard]] Index steps() const noexcept { return last_ - first_; }

  /// Means of group g over the present window, and their end after the last.
  void means(Index g, Worker& worker) noexcept {
    const Index begin = g * kelman::lanes<V>;
    const Index end = std::min(begin + kelman::lanes<V>, count_);
    if (first_ == 0 && arrives_) {
      arrive(begin, end, worker);
    }
    for (Index k = first_; k < last_;) {
      const bool exact = steps_.slot(k).head->exact;
      Index until = k + 1;
      while (until < last_ && steps_.slot(until).head->exact == exact) {
        ++until;
      }
      if (exact) {
        one_by_one(begin, end, k, until, worker);
      } else {
        side_by_side(begin, end, k, until, worker);
      }
      k = until;
    }
    copy_covariances(begin, end);
    if (last_ == length_ || !trouble_.usable()) {
      finish(begin, end, worker);
    }
  }

  /// Covariance results of the series, or of a list each series'; to be called once, after the last window.
  void finish_covariances() const noexcept {
    const bool failed = !trouble_.usable();
    for (Index j = 0; j < (list_ != nullptr ? count_ : Index(1)); ++j) {
      if (result_.cov && result_.cov.constant() && j > 0) {
        copy(result_.cov, j, Index(0), Index(1), n_ * n_);
      }
      record_.end_covariances(series(j), failed ? trouble_.at : length_, failed, form_);
    }
  }

  /// Whether some series has other gaps than the first, as far as the steps so far tell. Then it has the wrong results.
  [[nodiscard]] bool differs() const noexcept {
    for (Index j = 0; doubtful_.load(std::memory_order_relaxed) && j < count_; ++j) {
      if (unsound_[static_cast<std::size_t>(j)] != 0 &&
          !same_gaps(problem_.data.z, series(0), series(j), length_, m_)) {
        return true;
      }
    }
    return false;
  }

  /// Series whose means overflowed: the careful filter has to do them again.
  void unsound(std::vector<Index>& found) const {
    for (Index j = 0; j < count_; ++j) {
      if (unsound_[static_cast<std::size_t>(j)] != 0) {
        found.push_back(series(j));
      }
    }
  }

 private:
  /// Steps per window: their tape stays in the second cache.
  [[nodiscard]] static Index window_length(const Model<Scalar>& model) noexcept {
    constexpr Index cache = Index(1) << 18;
    return std::clamp<Index>(cache / Tape<Scalar>::slot_bytes(model), 1, 1024);
  }

  [[nodiscard]] Index series(Index j) const noexcept { return list_ != nullptr ? list_[j] : j; }

  void covariances(Index i, Index k) noexcept {
    Status status = Status::ok;
    if (k > 0 || problem_.start.before_first) {
      status = form_.predict(i, k);
      if (status != Status::ok) {
        trouble_.report(status, k);
        return;
      }
    }
    record_.predicted(i, k, form_);
    observe(m_, problem_.data.z.at(i, k), mask_);
    status = form_.update(i, k, mask_, steps_.slot(k), nullptr);
    if (status != Status::ok) {
      trouble_.report(status, k);
      return;
    }
    record_.filtered(i, k, form_);
  }

  /// The transition into the first step, series by series.
  void arrive(Index begin, Index end, Worker& worker) noexcept {
    for (Index j = begin; j < end; ++j) {
      const Index i = series(j);
      MeanState<Scalar> state;
      state.x = x_.at(i);
      state.reach = worker.reach;
      worker.means.load(problem_.start, i, state);
      const Scalar* const noise = problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : nullptr;
      worker.means.predict(i, 0, problem_.data.driving_input(problem_.model.input_lag, i, 0), noise, state.x);
    }
  }

  void side_by_side(Index begin, Index end, Index first, Index last, Worker& worker) noexcept {
    const Members<kelman::lanes<V>> members(list_, begin, end);
    Field<const Scalar> from{x_.data, x_.series, 0};
    Index carried = problem_.model.size();
    if (first == 0 && !arrives_) {
      carried = problem_.model.dims.n;
      from = problem_.start.mean;
    }
    V quadratic(Scalar(0));
    const auto bad = is_nan(worker.group.run(members, first, last, from, carried, x_, quadratic));
    for (Index j = begin; j < end; ++j) {
      const auto l = static_cast<int>(j - begin);
      loglik_[static_cast<std::size_t>(j)] -= 0.5 * static_cast<double>(lane(quadratic, l));
    }
    if (any(bad)) {
      const V marks = select(bad, V(Scalar(1)), V(Scalar(0)));
      for (Index j = begin; j < end; ++j) {
        if (lane(marks, static_cast<int>(j - begin)) != Scalar(0)) {
          doubt(j);
        }
      }
    }
  }

  /// The covariances of the present window, from the first series of a list to members [begin, end).
  void copy_covariances(Index begin, Index end) const noexcept {
    for (Index j = std::max<Index>(begin, 1); list_ != nullptr && j < end; ++j) {
      for (const Field<Scalar>* field : {&result_.cov, &result_.predicted_cov}) {
        if (*field && !field->constant()) {
          copy(*field, j, first_, last_, n_ * n_);
        }
      }
      if (result_.innovation_cov) {
        copy(result_.innovation_cov, j, first_, last_, m_ * m_);
      }
    }
  }

  /// Entries [first, last) of `size` numbers of the first series to the j-th.
  void copy(const Field<Scalar>& field, Index j, Index first, Index last, Index size) const noexcept {
    std::copy_n(field.at(series(0), first), (last - first) * size, field.at(series(j), first));
  }

  void doubt(Index j) noexcept {
    unsound_[static_cast<std::size_t>(j)] = 1;
    doubtful_.store(true, std::memory_order_relaxed);
  }

  [[gnu::noinline]] void one_by_one(Index begin, Index end, Index first, Index last, Worker& worker) noexcept {
    const Data<Scalar>& data = problem_.data;
    const Index n = problem_.model.dims.n;
    for (Index j = begin; j < end; ++j) {
      const Index i = series(j);
      MeanState<Scalar>& state = states_[static_cast<std::size_t>(j)];
      state.x = x_.at(i);
      state.reach = reach_.data() + j * n;
      if (first == 0 && !arrives_) {
        worker.means.load(problem_.start, i, state);
      }
      for (Index k = first; k < last; ++k) {
        if (steps_.moves(k)) {
          worker.means.predict(i, k, data.driving_input(problem_.model.input_lag, i, k), nullptr, state.x);
        }
        const Scalar* const z = data.z.at(i, k);
        const Scalar* const u = data.direct_input(i, k);
        if (result_.predicted_mean) {
          std::copy_n(state.x, n, result_.predicted_mean.at(i, k));
        }
        if (result_.innovation) {
          worker.means.innovation(i, k, z, u, state.x, result_.innovation.at(i, k));
        }
        const Scalar gained = worker.means.update(i, k, z, u, steps_.slot(k), state, nullptr);
        if (!worker.means.finite(state.x) || !same_gaps(z, data.z.at(series(0), k), m_)) {
          doubt(j);
          break;
        }
        loglik_[static_cast<std::size_t>(j)] += static_cast<double>(gained);
        if (result_.loglik_obs) {
          *result_.loglik_obs.at(i, k) = gained;
        }
        if (result_.mean && !result_.mean.constant()) {
          std::copy_n(state.x, n, result_.mean.at(i, k));
        }
      }
    }
  }

  void finish(Index begin, Index end, Worker& /*worker*/) noexcept {
    for (Index j = begin; j < end; ++j) {
      const auto at = static_cast<std::size_t>(j);
      const Index i = series(j);
      Outcome outcome = trouble_;
      if (outcome.usable() && !states_.empty()) {
        outcome = states_[at].outcome;
      }
      if (result_.mean && result_.mean.constant()) {
        std::copy_n(x_.at(i), problem_.model.dims.n, result_.mean.at(i));
      }
      record_.end_means(i, length_, x_.at(i), constant_ + loglik_[at], outcome);
    }
  }

  FilterProblem<Scalar> problem_;
  FilterResult<Scalar> result_;
  Record<Scalar> record_;
  Index n_;
  Index m_;
  Index window_;
  bool arrives_;  ///< the first transition has noise of known mean: it is made before the lanes begin
  F form_;
  Tape<Scalar> tape_;
  Steps<Scalar> steps_;
  unsigned char* mask_;
  Field<Scalar> x_;
  const Index* list_ = nullptr;
  Index count_ = 0;
  Index length_ = 0;
  Index first_ = 0;
  Index last_ = 0;
  double constant_ = 0;
  Outcome trouble_;  // of the covariances
  std::vector<double> loglik_;
  std::atomic<bool> doubtful_{false};
  std::vector<unsigned char> unsound_;
  std::vector<MeanState<Scalar>> states_;
  std::vector<Scalar> reach_;
};

/// Whether the fast pass takes a problem.
template <Real Scalar>
[[nodiscard]] bool applies(const FilterProblem<Scalar>& problem) noexcept {
  const Dims& dims = problem.model.dims;
  return problem.shared && dims.n > 0 && dims.m > 0 && problem.data.length(0, dims.T) > 0;
}

}  // namespace kelman::linear::shared

namespace kelman::linear {

/// Filters all series of a problem that `shared::applies` to. False if some series turns out to have other gaps than
/// the first: then the results are void.
template <Form F>
[[nodiscard, gnu::cold]] bool run_shared(const FilterProblem<typename F::scalar>& problem,
                                         const FilterResult<typename F::scalar>& result, int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  using Batch = shared::Batch<F>;
  constexpr Index W = kelman::lanes<typename Batch::V>;
  const Dims& dims = problem.model.dims;
  Workspace memory;
  const Index s = problem.model.size();
  const bool in_place = result.state_mean && s == dims.n;
  const Field<Scalar> x = in_place ? result.state_mean : Field<Scalar>{memory.take<Scalar>(dims.N * s), s, 0};
  Batch batch(problem, result, x, memory);
  batch.load(nullptr, dims.N);
  std::vector<std::unique_ptr<typename Batch::Worker>> workers;
  const double step = work_per_step(problem.model, true) / 8;
  while (!stop.check() && batch.next()) {
    const double group = step * static_cast<double>(W * batch.steps());
    const int useful = useful_threads(threads, group * static_cast<double>(batch.groups()));
    const auto grain = static_cast<Index>(std::clamp(1e5 / group, 1.0, 64.0));
    while (static_cast<Index>(workers.size()) < worker_count(batch.groups(), grain, useful)) {
      workers.push_back(std::make_unique<typename Batch::Worker>(batch, result));
    }
    parallel_chunks(batch.groups(), grain, useful, stop, [&](Index begin, Index end, Index worker) {
      for (Index g = begin; g < end && !stop.requested(); ++g) {
        batch.means(g, *workers[static_cast<std::size_t>(worker)]);
      }
    });
    if (batch.differs()) {
      return false;
    }
  }
  if (stop.requested()) {
    return true;
  }
  batch.finish_covariances();
  std::vector<Index> again;
  batch.unsound(again);
  if (!again.empty()) {
    Filter<F> careful(problem, result, 1, memory);
    for (const Index i : again) {
      careful.run(i, i + 1, stop);
    }
  }
  return true;
}

}  // namespace kelman::linear
