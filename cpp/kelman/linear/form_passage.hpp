// SPDX-License-Identifier: BSD-3-Clause
// The filter of one series there and back, for every kind of model: forward it leaves the moments of each step, and
// from the last step to the first it gives them back.
//
// The steps of one segment of time are kept. Of a longer series only what is known before each segment is kept, and the
// segment is filtered again, to the same bits: memory grows with T / segment.
//
// A series at rest, whose means and innovations are zero, goes there and back for its covariances only. Once these have
// settled, a step repeats the one before.
#pragma once

#include "kelman/linear/filter.hpp"
#include "kelman/linear/settling.hpp"

namespace kelman::linear {

/// What is known of (x, w): mean (n), finite covariance (n×n), Cov(x, w) (n×n; null = zero), diffuse factor
/// (n×columns).
template <Real Scalar>
struct Known {
  const Scalar* x = nullptr;
  const Scalar* P = nullptr;
  const Scalar* C = nullptr;
  const Scalar* V = nullptr;
  Index rank = 0;
};

template <Form F>
class FormPassage {
 public:
  using Scalar = typename F::scalar;

  /// `segment`: steps that are kept, 0: as many as fit into the cache. `at_rest`: every series is.
  FormPassage(const FilterProblem<Scalar>& problem, Workspace& memory, Index segment = 0, bool at_rest = false)
      : problem_(problem),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        s_(problem.model.size()),
        columns_(problem.start.columns),
        segment_(segment > 0 ? segment : segment_length(problem.model)),
        at_rest_(at_rest),
        settles_(at_rest && may_settle(problem)),
        form_(problem.model, columns_, problem.diffuse_constant, memory),
        means_(problem.model, memory),
        tape_(problem.model, segment_, memory, at_rest),
        diffuse_(problem.model, columns_),
        mask_(memory.take<unsigned char>(m_)),
        looked_(memory.take<unsigned char>(m_)),
        steps_(memory.take<Scalar>(segment_ * step_size(), true)),
        marks_(memory.take<Mark>(mark_count())),
        marked_(memory.take<Scalar>(mark_count() * mark_size())) {
    state_.x = memory.take<Scalar>(s_);
    state_.reach = memory.take<Scalar>(n_);
  }

  /// Before the first step of series i.
  void begin(Index i) noexcept {
    form_.load(problem_.start, i);
    means_.load(problem_.start, i, state_);
  }

  /// Steps [from, to) of series i, which follow those made before.
  void forward(Index i, Index from, Index to, Interrupt& stop) {
    for (Index k = from; k < to && state_.outcome.usable(); ++k) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      if (k % segment_ == 0) {
        mark(k);
        open(k);
      }
      advance(i, k);
    }
  }

  /// Calls `back(k)` for the steps of series i from the last of `count` to the first; `step`, `slot`, `diffuse` and
  /// `before` are valid for k inside.
  template <class Back>
  void backward(Index i, Index count, Interrupt& stop, Back&& back) {
    for (Index k = count; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      if (k < first_) {
        again(i, k - k % segment_);
      }
      back(k);
    }
  }

  /// The moments of one step.
  struct Step {
    Scalar* x;    ///< mean before the measurement (n)
    Scalar* P;    ///< finite covariance before (n×n)
    Scalar* x_f;  ///< mean after (n)
    Scalar* P_f;  ///< finite covariance after (n×n)
    Scalar* C;    ///< Cov(x, w) after, null without S (n×n)
    Scalar* v;    ///< innovations (count)
  };

  [[nodiscard]] Step step(Index k) const noexcept {
    Scalar* const v = steps_ + tape_.slot_of(k - first_) * step_size();
    Scalar* const x = v + m_;
    Scalar* const P = x + 2 * n_;
    return {x, P, x + n_, P + n_ * n_, problem_.model.joint() ? P + 2 * n_ * n_ : nullptr, v};
  }

  [[nodiscard]] Slot<Scalar> slot(Index k) const noexcept { return tape_.at(k - first_); }

  [[nodiscard]] Index segment() const noexcept { return segment_; }  ///< steps per segment
  [[nodiscard]] Index first() const noexcept { return first_; }      ///< first step of the present segment

  /// The first of the steps of the present segment that are the same as step k: it and those between are repeated.
  [[nodiscard]] Index first_like(Index k) const noexcept { return first_ + tape_.slot_of(k - first_); }

  /// What is kept of the present segment: gains, diffuse steps, and P_f (n×n) by slots of the tape.
  [[nodiscard]] const Tape<Scalar>& tape() const noexcept { return tape_; }
  [[nodiscard]] const DiffuseTape<Scalar>& diffuse_steps() const noexcept { return diffuse_; }
  [[nodiscard]] Field<const Scalar> filtered() const noexcept { return {step(first_).P_f, 0, step_size()}; }

  /// Step k of the diffuse phase, or null after it.
  [[nodiscard]] const DiffuseSlot<Scalar>* diffuse(Index k) const noexcept {
    return k - first_ < diffuse_.count() ? &diffuse_.at(k - first_) : nullptr;
  }

  /// What is known before the transition into x_k.
  [[nodiscard]] Known<Scalar> before(Index i, Index k) const noexcept {
    if (k > first_) {
      const Step last = step(k - 1);
      const DiffuseSlot<Scalar>* const vague = diffuse(k - 1);
      return {last.x_f, last.P_f, last.C, vague != nullptr ? vague->V : nullptr, vague != nullptr ? vague->rank : 0};
    }
    if (k > 0) {
      const Scalar* const at = marked(k);
      const Scalar* const P = at + s_ + n_;
      const Scalar* const V = P + n_ * n_;
      return {at, P, problem_.model.joint() ? V + n_ * columns_ : nullptr, V, marks_[k / segment_].rank};
    }
    const Start<Scalar>& start = problem_.start;
    return {start.mean.at(i), start.cov.at(i), start.noise_cross ? start.noise_cross.at(i) : nullptr,
            start.inf ? start.inf.at(i) : nullptr, start.inf ? static_cast<Index>(*start.rank.at(i)) : 0};
  }

  [[nodiscard]] const Outcome& outcome() const noexcept { return state_.outcome; }
  [[nodiscard]] double loglik() const noexcept { return state_.loglik; }
  [[nodiscard]] bool settled() const noexcept { return form_.moments().rank == 0; }

  /// Mean (n) and finite covariance (n×n) of the state now.
  void keep(Scalar* x, Scalar* P) const noexcept {
    const auto moments = form_.moments();
    std::copy_n(state_.x, n_, x);
    linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, P, n_);
  }

 private:
  static constexpr Index look_every = 16;

  /// Steps that take about half a megabyte.
  [[nodiscard]] static Index segment_length(const Model<Scalar>& model) noexcept {
    constexpr Index room = Index(1) << 19;
    const Index n = model.dims.n;
    const Index step = Tape<Scalar>::slot_bytes(model) +
                       static_cast<Index>(sizeof(Scalar)) * (model.dims.m + 2 * n + (model.joint() ? 3 : 2) * n * n);
    return std::clamp<Index>(room / step, std::min<Index>(64, std::max<Index>(model.dims.T, 1)),
                             std::max<Index>(model.dims.T, 1));
  }

  [[nodiscard]] Index step_size() const noexcept { return m_ + 2 * n_ + (problem_.model.joint() ? 3 : 2) * n_ * n_; }

  /// What is known before a segment: x (s), reach (n), P (n×n), V (n×columns), with S Cov(x, w) and Cov w (n×n), and
  /// the form's own account of its rounding (s×s).
  struct Mark {
    Index rank;
    bool rounding;
  };
  [[nodiscard]] Index mark_size() const noexcept {
    return s_ + n_ + (problem_.model.joint() ? 3 : 1) * n_ * n_ + n_ * columns_ + s_ * s_;
  }
  [[nodiscard]] Index mark_count() const noexcept { return (problem_.model.dims.T + segment_ - 1) / segment_; }
  [[nodiscard]] Scalar* marked(Index k) const noexcept { return marked_ + k / segment_ * mark_size(); }

  /// Keeps what is known before step k > 0.
  [[gnu::noinline]] void mark(Index k) noexcept {
    if (k == 0) {
      return;
    }
    const auto moments = form_.moments();
    Scalar* const x = marked(k);
    Scalar* const reach = x + s_;
    Scalar* const P = reach + n_;
    Scalar* const V = P + n_ * n_;
    Scalar* const C = V + n_ * columns_;
    std::copy_n(state_.x, s_, x);
    std::copy_n(state_.reach, n_, reach);
    linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, P, n_);
    linalg::copy_block(n_, moments.rank, moments.factor, moments.factor_ld, V, columns_);
    Scalar* rounding = C;
    if (problem_.model.joint()) {
      linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, C, n_);
      linalg::copy_block(n_, n_, moments.noise_cov, moments.noise_cov_ld, C + n_ * n_, n_);
      rounding = C + 2 * n_ * n_;
    }
    marks_[k / segment_] = {moments.rank, moments.rounding != nullptr};
    if (moments.rounding != nullptr) {
      std::copy_n(moments.rounding, s_ * s_, rounding);
    }
  }

  void open(Index k) noexcept {
    first_ = k;
    settled_ = false;
    diffuse_.clear();
  }

  /// Whether step k used the components that the one before used.
  [[nodiscard]] bool same_components(Index k) const noexcept {
    const Slot<Scalar> now = slot(k);
    const Slot<Scalar> last = slot(k - 1);
    return now.head->count == last.head->count &&
           std::equal(now.component, now.component + now.head->count, last.component);
  }

  /// Step k shares what is kept of the one before.
  void repeat(Index k) noexcept {
    tape_.repeat(k - first_, k - 1 - first_);
    state_.loglik += static_cast<double>(slot(k).head->constant);
  }

  /// The segment that begins with step k once more.
  [[gnu::noinline]] void again(Index i, Index k) {
    const double loglik = state_.loglik;
    if (k == 0) {
      begin(i);
    } else {
      resume(i, k);
    }
    open(k);
    for (Index l = k; l < k + segment_; ++l) {
      advance(i, l);
    }
    state_.loglik = loglik;
  }

  void resume(Index i, Index k) noexcept {
    const Scalar* const x = marked(k);
    const Scalar* const reach = x + s_;
    const Scalar* const P = reach + n_;
    const Scalar* const V = P + n_ * n_;
    const Scalar* const C = V + n_ * columns_;
    std::copy_n(x, s_, state_.x);
    std::copy_n(reach, n_, state_.reach);
    Moments<Scalar> moments;
    moments.cov = P;
    moments.factor = V;
    moments.factor_ld = columns_;
    moments.rank = marks_[k / segment_].rank;
    moments.cov_ld = moments.noise_cov_ld = moments.noise_cross_ld = n_;
    moments.noise_cov = problem_.model.joint() ? C + n_ * n_ : problem_.model.Q.at(i, k - 1);
    moments.noise_cross = problem_.model.joint() ? C : nullptr;
    if (marks_[k / segment_].rounding) {
      moments.rounding = problem_.model.joint() ? C + 2 * n_ * n_ : C;
    }
    form_.resume(moments);
  }

  /// Step k: the prediction, the covariances and the mean over the measurement.
  [[gnu::noinline]] void advance(Index i, Index k) {
    const Data<Scalar>& data = problem_.data;
    Outcome& outcome = state_.outcome;
    if (settled_) {
      observe(m_, data.z.at(i, k), looked_);
      settled_ = std::equal(mask_, mask_ + m_, looked_);
    }
    if (settled_) {
      repeat(k);
      return;
    }
    if (at_rest_) {
      tape_.own(k - first_);
    }
    const Step kept = step(k);
    const bool vague = form_.moments().rank > 0;
    if (k > 0 || problem_.start.before_first) {
      const Scalar* const noise = k == 0 && problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : nullptr;
      outcome.report(form_.predict(i, k), k);
      if (!at_rest_) {
        means_.predict(i, k, data.driving_input(problem_.model.input_lag, i, k), noise, state_.x);
      }
    }
    keep(kept.x, kept.P);
    if (outcome.usable()) {
      observe(m_, data.z.at(i, k), mask_);
      outcome.report(form_.update(i, k, mask_, slot(k), vague ? &diffuse_.append() : nullptr), k);
    }
    if (!outcome.usable()) {
      return;
    }
    if (at_rest_) {
      std::fill_n(kept.v, m_, Scalar(0));
      state_.loglik += static_cast<double>(slot(k).head->constant);
      keep(kept.x_f, kept.P_f);
      settled_ =
          settles_ && k > first_ && !vague && same_components(k) && linear::settled(n_, kept.P, n_, step(k - 1).P, n_);
      return;
    }
    state_.loglik +=
        static_cast<double>(means_.update(i, k, data.z.at(i, k), data.direct_input(i, k), slot(k), state_, kept.v));
    keep(kept.x_f, kept.P_f);
    if (kept.C != nullptr) {
      const auto moments = form_.moments();
      linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, kept.C, n_);
    }
    if (!means_.finite(state_.x)) {
      outcome = Outcome{Status::non_finite, k};
    }
  }

  FilterProblem<Scalar> problem_;
  Index n_;
  Index m_;
  Index s_;
  Index columns_;
  Index segment_;
  bool at_rest_;
  bool settles_;
  F form_;
  Means<Scalar> means_;
  Tape<Scalar> tape_;
  DiffuseTape<Scalar> diffuse_;
  unsigned char* mask_;
  unsigned char* looked_;
  Scalar* steps_;
  Mark* marks_;
  Scalar* marked_;
  MeanState<Scalar> state_;
  Index first_ = 0;  // step of the segment that is kept
  bool settled_ = false;
};

}  // namespace kelman::linear
