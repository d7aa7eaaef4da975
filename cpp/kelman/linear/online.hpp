// SPDX-License-Identifier: BSD-3-Clause
// The filter online: one call per time step, N series at once, no allocation in a call (but one: see below).
//
// The arithmetic is that of filter.hpp, by the same functions, so that the numbers are the same to the bit. As long as
// model, start and missing pattern are the same for all series, covariances and gains are computed once per step; the
// first step at which the patterns differ gives every series covariances of its own, and takes their memory.
#pragma once

#include <limits>
#include <optional>

#include "kelman/linear/forms/univariate.hpp"
#include "kelman/linear/mean.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Where the covariances of one series rest between two steps, for series that do not share them.
template <Real Scalar>
class Resting {
 public:
  Resting(const Model<Scalar>& model, Index columns, Index count, Workspace& memory)
      : n_(model.dims.n),
        s_(model.size()),
        columns_(columns),
        cov_(memory.take<Scalar>(count * n_ * n_)),
        factor_(memory.take<Scalar>(count * n_ * columns)),
        noise_(memory.take<Scalar>(count * n_ * n_)),
        cross_(memory.take<Scalar>(count * n_ * n_)),
        rounding_(memory.take<Scalar>(count * s_ * s_)),
        rank_(memory.take<Index>(count)),
        flags_(memory.take<unsigned char>(count)) {}

  void put(Index i, const Moments<Scalar>& from) noexcept {
    const Index size = n_ * n_;
    linalg::copy_block(n_, n_, from.cov, from.cov_ld, cov_ + i * size, n_);
    linalg::copy_block(n_, from.rank, from.factor, from.factor_ld, factor_ + i * n_ * columns_, columns_);
    rank_[i] = from.rank;
    if (from.noise_cov != nullptr) {
      linalg::copy_block(n_, n_, from.noise_cov, from.noise_cov_ld, noise_ + i * size, n_);
    }
    if (from.noise_cross != nullptr) {
      linalg::copy_block(n_, n_, from.noise_cross, from.noise_cross_ld, cross_ + i * size, n_);
    }
    if (from.rounding != nullptr) {
      std::copy_n(from.rounding, s_ * s_, rounding_ + i * s_ * s_);
    }
    flags_[i] = static_cast<unsigned char>((from.noise_cov != nullptr ? 1 : 0) | (from.noise_cross != nullptr ? 2 : 0) |
                                           (from.rounding != nullptr ? 4 : 0));
  }

  [[nodiscard]] Moments<Scalar> get(Index i) const noexcept {
    const Index size = n_ * n_;
    Moments<Scalar> to;
    to.cov = cov_ + i * size;
    to.factor = factor_ + i * n_ * columns_;
    to.rank = rank_[i];
    to.noise_cov = (flags_[i] & 1) != 0 ? noise_ + i * size : nullptr;
    to.noise_cross = (flags_[i] & 2) != 0 ? cross_ + i * size : nullptr;
    to.rounding = (flags_[i] & 4) != 0 ? rounding_ + i * s_ * s_ : nullptr;
    to.cov_ld = to.noise_cov_ld = to.noise_cross_ld = n_;
    to.factor_ld = columns_;
    return to;
  }

 private:
  Index n_;
  Index s_;
  Index columns_;
  Scalar* cov_;
  Scalar* factor_;
  Scalar* noise_;
  Scalar* cross_;
  Scalar* rounding_;
  Index* rank_;
  unsigned char* flags_;
};

/// N series on their way through time, one step per call.
template <Form F>
class Online {
 public:
  using Scalar = typename F::scalar;

  /// The views must stay valid as long as the object lives. `shared`: model and start are the same for all series.
  Online(const Model<Scalar>& model, const Start<Scalar>& start, DiffuseConstant convention, bool shared)
      : model_(model),
        start_(start),
        shared_(shared),
        form_(model, start.columns, convention, memory_),
        means_(model, memory_),
        tape_(model, 1, memory_),
        mask_(memory_.take<unsigned char>(model.dims.m)),
        other_(memory_.take<unsigned char>(model.dims.m)),
        nothing_(memory_.take<Scalar>(model.dims.m)),
        states_(memory_.take<MeanState<Scalar>>(model.dims.N)) {
    const Index N = model.dims.N;
    std::fill_n(nothing_, model.dims.m, std::numeric_limits<Scalar>::quiet_NaN());
    auto* const x = memory_.take<Scalar>(N * model.size());
    auto* const reach = memory_.take<Scalar>(N * model.dims.n);
    for (Index i = 0; i < N; ++i) {
      states_[i].x = x + i * model.size();
      states_[i].reach = reach + i * model.dims.n;
      means_.load(start, i, states_[i]);
    }
    if (shared_ && N > 0) {
      form_.load(start, 0);
    } else {
      resting_.emplace(model, start.columns, N, memory_);
      for (Index i = 0; i < N; ++i) {
        form_.load(start, i);
        resting_->put(i, form_.moments());
      }
    }
  }

  Online(const Online&) = delete;
  Online& operator=(const Online&) = delete;

  /// Takes z_k (N×m; NaN = missing) with the inputs `u` (N×p) that are fed through and `driving` (N×p) that lead into
  /// x_k (null fields = none); where `measured` (N; null = everywhere) is zero, all of z_k is missing. `loglik` (N)
  /// gets the contributions of this step; null is allowed. Tells whether some series got into trouble in this step.
  bool step(const Field<const Scalar>& z, const Field<const Scalar>& u, const Field<const Scalar>& driving,
            const unsigned char* measured, Scalar* loglik) {
    const Index N = model_.dims.N;
    const auto seen = [&](Index i) { return measured == nullptr || measured[i] != 0 ? z.at(i) : nothing_; };
    if (shared_ && !same_pattern(seen)) {
      split();
    }
    Status status = Status::ok;
    bool trouble = false;
    for (Index i = 0; i < N; ++i) {
      if (i == 0 || !shared_) {
        status = covariances(i, seen(i));
      }
      const Scalar gained = mean(i, status, seen(i), u ? u.at(i) : nullptr, driving ? driving.at(i) : nullptr);
      trouble = trouble || states_[i].outcome.at == steps_;
      states_[i].loglik += static_cast<double>(gained);
      if (loglik != nullptr) {
        loglik[i] = gained;
      }
    }
    ++steps_;
    return trouble;
  }

  /// Time steps taken so far.
  [[nodiscard]] Index steps() const noexcept { return steps_; }

  /// Whether all series still have the same covariances.
  [[nodiscard]] bool shared() const noexcept { return shared_; }

  /// The mean of series i, (x) or with S (x, w, v).
  [[nodiscard]] const MeanState<Scalar>& state(Index i) const noexcept { return states_[i]; }

  /// The covariances of series i. Views into the object, valid until the next step.
  [[nodiscard]] Moments<Scalar> moments(Index i) const noexcept { return shared_ ? form_.moments() : resting_->get(i); }

 private:
  template <class Seen>
  [[nodiscard]] bool same_pattern(const Seen& seen) noexcept {
    const Index m = model_.dims.m;
    observe(m, seen(0), mask_);
    for (Index i = 1; i < model_.dims.N; ++i) {
      observe(m, seen(i), other_);
      if (!std::equal(mask_, mask_ + m, other_)) {
        return false;
      }
    }
    return true;
  }

  /// The only step that takes memory, once.
  void split() {
    resting_.emplace(model_, start_.columns, model_.dims.N, memory_);
    for (Index i = 0; i < model_.dims.N; ++i) {
      resting_->put(i, form_.moments());
    }
    shared_ = false;
  }

  Status covariances(Index i, const Scalar* z) noexcept {
    if (!shared_) {
      form_.resume(resting_->get(i));
    }
    Status status = Status::ok;
    if (steps_ > 0 || start_.before_first) {
      status = form_.predict(i, steps_);
    }
    if (status == Status::ok) {
      observe(model_.dims.m, z, mask_);
      status = form_.update(i, steps_, mask_, tape_.at(0), nullptr);
    }
    if (!shared_) {
      resting_->put(i, form_.moments());
    }
    return status;
  }

  Scalar mean(Index i, Status covariances, const Scalar* z, const Scalar* u, const Scalar* driving) noexcept {
    MeanState<Scalar>& state = states_[i];
    const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
    if (state.outcome.usable() && covariances != Status::ok) {
      state.outcome = Outcome{covariances, steps_};
    }
    if (!state.outcome.usable()) {
      std::fill_n(state.x, model_.size(), nan);
      return nan;
    }
    if (steps_ > 0 || start_.before_first) {
      const Scalar* const noise = steps_ == 0 && start_.noise_mean ? start_.noise_mean.at(i) : nullptr;
      means_.predict(i, steps_, driving, noise, state.x);
    }
    const Scalar gained = means_.update(i, steps_, z, u, tape_.at(0), state, nullptr);
    if (!means_.finite(state.x)) {
      state.outcome = Outcome{Status::non_finite, steps_};
      std::fill_n(state.x, model_.size(), nan);
      return nan;
    }
    return gained;
  }

  Model<Scalar> model_;
  Start<Scalar> start_;
  bool shared_;
  Index steps_ = 0;
  Workspace memory_;
  F form_;
  Means<Scalar> means_;
  Tape<Scalar> tape_;
  std::optional<Resting<Scalar>> resting_;
  unsigned char* mask_;
  unsigned char* other_;
  Scalar* nothing_;  // a measurement of which everything is missing (m)
  MeanState<Scalar>* states_;
};

extern template class Online<Univariate<double>>;
extern template class Online<Univariate<float>>;

}  // namespace kelman::linear
