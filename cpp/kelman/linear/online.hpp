// SPDX-License-Identifier: BSD-3-Clause
// The filter online: one call per time step, N series at once, no allocation in a call (but one: see below).
//
// As long as model, start and missing pattern are the same for all series, covariances and gains are computed once per
// step; the first step at which the patterns differ gives every series covariances of its own, and takes their memory.
// A series with covariances of its own, of a constant regular model, is stepped as a triangle in registers from the
// step on at which nothing of it is diffuse; all others by the functions of filter.hpp.
#pragma once

#include <limits>
#include <optional>

#include "kelman/linear/forms/univariate.hpp"
#include "kelman/linear/one_step.hpp"
#include "kelman/linear/online_filter.hpp"
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

/// The online filter with the covariances of a form.
template <Form F>
class Online final : public OnlineFilter<typename F::scalar> {
 public:
  using Scalar = typename F::scalar;

  /// The views must stay valid as long as the object lives. `shared`: model and start are the same for all series;
  /// `regular`: takes_one_steps says so.
  [[gnu::cold, gnu::noinline]] Online(const Model<Scalar>& model, const Start<Scalar>& start,
                                      DiffuseConstant convention, bool shared, bool regular)
      : model_(model),
        start_(start),
        shared_(shared),
        form_(model, start.columns, convention, memory_),
        means_(model, memory_),
        tape_(model, 1, memory_),
        mask_(memory_.take<unsigned char>(model.dims.m)),
        other_(memory_.take<unsigned char>(model.dims.m)),
        nothing_(memory_.take<Scalar>(model.dims.m)),
        one_step_(regular ? one_step_of<Scalar>(model.dims.n) : nullptr),
        measurement_(model, memory_),
        y_(memory_.take<Scalar>(model.dims.m)),
        d_(memory_.take<Scalar>(model.dims.n)),
        square_(memory_.take<Scalar>(model.dims.n * model.dims.n)),
        triangles_(memory_.take<Scalar>(one_step_ != nullptr ? model.dims.N * size() : 0)),
        settled_(memory_.take<unsigned char>(model.dims.N)),
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
    for (Index i = 0; alone() && i < N; ++i) {
      settled_[i] = static_cast<unsigned char>(goes_on(i) ? 1 : 0);
      if (settled_[i] != 0) {
        keep_triangle(i, start.cov.at(i), model.dims.n);
      }
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

  bool step(const Field<const Scalar>& z, const Field<const Scalar>& u, const Field<const Scalar>& driving,
            const unsigned char* measured, Scalar* out, Scalar* loglik) override {
    const Index N = model_.dims.N;
    const auto seen = [&](Index i) { return measured == nullptr || measured[i] != 0 ? z.at(i) : nothing_; };
    if (shared_ && !same_pattern(seen)) {
      split();
    }
    Status status = Status::ok;
    bool trouble = false;
    for (Index i = 0; i < N; ++i) {
      const Scalar* const direct = u ? u.at(i) : nullptr;
      const Scalar* const before = driving ? driving.at(i) : nullptr;
      Scalar gained;
      if (settled_[i] != 0) {
        gained = triangle_step(i, seen(i), direct, before);
      } else {
        if (i == 0 || !shared_) {
          status = covariances(i, seen(i));
        }
        gained = mean(i, status, seen(i), direct, before);
        if (alone() && form_.moments().rank == 0 && states_[i].outcome.usable()) {
          keep_triangle(i, form_.moments().cov, form_.moments().cov_ld);
          settled_[i] = 1;
        }
      }
      trouble = trouble || states_[i].outcome.at == steps_;
      states_[i].loglik += static_cast<double>(gained);
      if (out != nullptr) {
        std::copy_n(states_[i].x, model_.dims.n, out + i * model_.dims.n);
      }
      if (loglik != nullptr) {
        loglik[i] = gained;
      }
    }
    ++steps_;
    return trouble;
  }

  [[nodiscard]] Index steps() const noexcept override { return steps_; }
  [[nodiscard]] bool shared() const noexcept override { return shared_; }
  [[nodiscard]] const MeanState<Scalar>& state(Index i) const noexcept override { return states_[i]; }

  [[nodiscard]] Moments<Scalar> moments(Index i) const noexcept override {
    if (settled_[i] == 0) {
      return shared_ ? form_.moments() : resting_->get(i);
    }
    const Index n = model_.dims.n;
    const Scalar* P = triangles_ + i * size();
    for (Index row = 0; row < n; ++row) {
      for (Index col = 0; col <= row; ++col) {
        square_[row * n + col] = square_[col * n + row] = *P++;
      }
    }
    Moments<Scalar> moments;
    moments.cov = square_;
    moments.cov_ld = n;
    moments.noise_cov = model_.Q.at(i, 0);
    moments.noise_cov_ld = n;
    return moments;
  }

 private:
  /// Whether series that are not settled may become so: each has covariances of its own.
  [[nodiscard]] bool alone() const noexcept { return one_step_ != nullptr && (model_.dims.N == 1 || !shared_); }

  [[nodiscard]] Index size() const noexcept { return model_.dims.n * (model_.dims.n + 1) / 2; }

  /// Whether series i starts as any step leaves it: moments after a step, with the noise of the model pending.
  [[nodiscard]] bool goes_on(Index i) const noexcept {
    const Index n = model_.dims.n;
    const auto zero = [](const Scalar* values, Index count) {
      return std::all_of(values, values + count, [](Scalar value) { return value == Scalar(0); });
    };
    return start_.before_first && (!start_.rank || *start_.rank.at(i) == 0) && start_.noise_cov &&
           std::equal(start_.noise_cov.at(i), start_.noise_cov.at(i) + n * n, model_.Q.at(i, 0)) &&
           (!start_.noise_mean || zero(start_.noise_mean.at(i), n));
  }

  void keep_triangle(Index i, const Scalar* P, Index ld) noexcept {
    Scalar* to = triangles_ + i * size();
    for (Index row = 0; row < model_.dims.n; ++row) {
      to = std::copy_n(P + row * ld, row + 1, to);
    }
  }

  Scalar triangle_step(Index i, const Scalar* z, const Scalar* u, const Scalar* driving) noexcept {
    const auto [n, m, p, T, N] = model_.dims;
    MeanState<Scalar>& state = states_[i];
    const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
    if (!state.outcome.usable()) {
      return nan;
    }
    // y = L⁻¹(z_o - c_o - D_o u)                                          (count)
    observe(m, z, mask_);
    bool good = measurement_.prepare(i, Index(0), mask_);
    const Index count = measurement_.count();
    for (Index e = 0; e < count; ++e) {
      const Index j = measurement_.component()[e];
      y_[e] = model_.c ? z[j] - model_.c.at(i, 0)[j] : z[j];
      if (model_.D && u != nullptr) {
        y_[e] -= linalg::dot(p, model_.D.at(i, 0) + j * p, u);
      }
    }
    if (measurement_.mix() != nullptr) {
      linalg::solve_unit_lower(count, Index(1), measurement_.mix(), count, y_, Index(1));
    }
    // d = b + B u                                                         (n)
    const bool driven = model_.b || (model_.B && driving != nullptr);
    for (Index row = 0; driven && row < n; ++row) {
      d_[row] = model_.b ? model_.b.at(i, 0)[row] : Scalar(0);
      if (model_.B && driving != nullptr) {
        d_[row] += linalg::dot(p, model_.B.at(i, 0) + row * p, driving);
      }
    }
    Scalar* const P = triangles_ + i * size();
    const Scalar gained = one_step_({model_.A.at(i, 0), model_.Q.at(i, 0), driven ? d_ : nullptr, count,
                                     measurement_.rows(), measurement_.noise(), y_},
                                    state.x, P, good);
    Scalar total(0);
    for (Index row = 0, diagonal = 0; row < n; diagonal += ++row + 1) {
      total += std::abs(state.x[row]) + std::abs(P[diagonal]);
    }
    if (good && std::isfinite(total)) {
      return gained;
    }
    state.outcome = Outcome{good || std::isnan(total) ? Status::non_finite : Status::not_positive_definite, steps_};
    std::fill_n(state.x, n, nan);
    return nan;
  }

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
  [[gnu::cold, gnu::noinline]] void split() {
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
  OneStep<Scalar> one_step_;
  Measurement<Scalar> measurement_;
  Scalar* y_;
  Scalar* d_;
  Scalar* square_;
  Scalar* triangles_;
  unsigned char* settled_;  // series that are stepped as triangles
  MeanState<Scalar>* states_;
};

}  // namespace kelman::linear
