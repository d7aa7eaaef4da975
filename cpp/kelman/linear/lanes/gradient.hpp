// SPDX-License-Identifier: BSD-3-Clause
// Log-likelihood and gradient of one group of series: the filter forward, r and N backward, and the sums on the way.
#pragma once

#include "kelman/linear/lanes/back_group.hpp"
#include "kelman/linear/lanes/gradient_start.hpp"
#include "kelman/linear/lanes/gradient_sums.hpp"

namespace kelman::linear::lanes {

/// Sums (count) and, behind them, the reference (n) of a group, at its beginning.
template <Lanes V>
[[gnu::cold, gnu::noinline]] void begin_moments(const GradientResult<scalar_of<V>>& result, const Members<V>& members,
                                                Index n, Index count, V* moments) noexcept {
  std::fill_n(moments, count, V(scalar_of<V>(0)));
  for (Index i = 0; i < n; ++i) {
    for (int l = 0; l < kelman::lanes<V>; ++l) {
      set_lane(moments[count + i], l, result.reference.at(members.series[l])[i]);
    }
  }
}

/// The sums (count) into the result, NaN in lanes that are `lost`.
template <Lanes V>
[[gnu::cold, gnu::noinline]] void finish_moments(const GradientResult<scalar_of<V>>& result, const Members<V>& members,
                                                 const mask_of<V>& lost, Index count, const V* moments) noexcept {
  using Scalar = scalar_of<V>;
  const V flags = select(lost, V(Scalar(1)), V(Scalar(0)));
  for (int l = 0; l < members.count; ++l) {
    const bool sound = members.outcome[l].usable() && lane(flags, l) == Scalar(0);
    Scalar* const to = result.moments.at(members.series[l]);
    for (Index e = 0; e < count; ++e) {
      to[e] = sound ? lane(moments[e], l) : std::numeric_limits<Scalar>::quiet_NaN();
    }
  }
}

template <int n, Lanes V>
class GroupGradient final : public BackGroup<GradientResult<scalar_of<V>>> {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  GroupGradient(const FilterProblem<Scalar>& problem, bool mixed, const GradientResult<Scalar>& result)
      : problem_(problem),
        dims_(problem.model.dims),
        m_(dims_.m),
        mixed_(mixed),
        passage_(problem, mixed, memory_),
        residual_(memory_.take<V>(m_)),
        later_(memory_.take<V>(m_ * n)),
        measured_(dims_, memory_),
        total_(dims_, memory_),
        moved_(dims_, memory_),
        work_(memory_.take<Scalar>(4 * n * n)) {
    if (result.moments) {
      moments_ = memory_.take<V>(2 * half + n);
    }
    const auto varies = [](const Field<Scalar>& field) { return field && !field.constant(); };
    each_step_ = mixed_ && (!passage_.coefficients().measures_the_same() || varies(result.H) || varies(result.R) ||
                            varies(result.D) || varies(result.c));
  }

  /// Series [first, first + count), at most W of them; writes their log-likelihoods and adds their gradients.
  void run(Index first, int count, const GradientResult<Scalar>& result, Interrupt& stop) override {
    if (!passage_.forward(first, count, stop)) {
      return;
    }
    passage_.write_outcome(result);
    back_.clear();
    if (moments_ != nullptr) {
      begin_moments(result, passage_.members(), Index(n), Index(2 * half), moments_);
    }
    passage_.backward(stop, [&](Index k) {
      const State<n, V>& filtered = passage_.state(k);
      V xs[n];
      if (k + 1 < passage_.longest()) {
        transition(k + 1, filtered, xs, result);
      } else {
        smoothed_mean<n>(filtered, back_.r, xs);
      }
      if constexpr (n <= states_with_moments) {
        if (moments_ != nullptr) {
          add_moments(filtered, xs, k + 1 == passage_.longest());
        }
      }
      measurement(k, filtered, passage_.gains(k), xs, result);
    });
    finish(result);
  }

 private:
  static constexpr int half = n + triangle(n);

  /// Adds the smoothed moments of a step, before its measurement.
  [[gnu::noinline]] void add_moments(const State<n, V>& filtered, const V (&xs)[n], bool last) noexcept {
    constexpr Scalar much = Scalar(1 << 20);
    V P[triangle(n)];
    smoothed_covariance<n>(filtered.P, back_.N, P);
    const V* const far = moments_ + 2 * half;
    V* sum = moments_ + (last ? half : 0);
    each_row<n>([&](int i) {
      const V x = xs[i] - far[i];
      *sum = *sum + x;
      ++sum;
      for (int j = 0; j <= i; ++j, ++sum) {
        *sum = *sum + fused(x, xs[j] - far[j], P[entry(i, j)]);
      }
      lost_ = lost_ | !(P[entry(i, i)] * V(much) >= filtered.P[entry(i, i)]);
    });
  }

  /// Back over the transition into step k > 0 from the filtered state before it, whose smoothed mean goes to xs.
  KELMAN_INLINE void transition(Index k, const State<n, V>& filtered, V (&xs)[n],
                                const GradientResult<Scalar>& result) noexcept {
    const Step<V>& step = passage_.coefficients().at(k);
    V r[n];
    V NA[n * n];
    for (int i = 0; i < n; ++i) {
      r[i] = back_.r[i];
      moved_.b[i] += r[i];
      for (int j = 0; j <= i; ++j) {
        moved_.Q[entry(i, j)] = fused(r[i], r[j], moved_.Q[entry(i, j)] - back_.N[entry(i, j)]);
      }
    }
    if (step.B != nullptr && problem_.data.u) {
      const V* const u = passage_.inputs(k, false);
      for (int i = 0; i < n; ++i) {
        for (Index e = 0; e < dims_.p; ++e) {
          moved_.B[i * dims_.p + e] = fused(r[i], u[e], moved_.B[i * dims_.p + e]);
        }
      }
    }
    back_.transition(step.A, NA);
    smoothed_mean<n>(filtered, back_.r, xs);
    each_row<n>([&](int row) {
      V* const dA = moved_.A + row * n;
      KELMAN_UNROLL
      for (int col = 0; col < n; ++col) {
        V total = fused(r[row], xs[col], dA[col]);
        KELMAN_UNROLL
        for (int l = 0; l < n; ++l) {
          total = fused_minus(NA[row * n + l], filtered.P[entry(l, col)], total);
        }
        dA[col] = total;
      }
    });
    emit(result.A, k, false, n * n, moved_.A);
    emit(result.b, k, false, n, moved_.b);
    emit(result.B, k, false, n * dims_.p, moved_.B);
    if (result.Q && !result.Q.constant()) {
      add_symmetric(result.Q, passage_.members(), k - 1, n, true, moved_.Q);
    }
  }

  KELMAN_INLINE void measurement(Index k, const State<n, V>& filtered, const Used<n, V>* gains, const V (&xs)[n],
                                 const GradientResult<Scalar>& result) noexcept {
    const Step<V>& step = passage_.coefficients().at(k);
    const bool fed = step.D != nullptr && problem_.data.u;
    const V* const u = fed ? passage_.inputs(k, true) : nullptr;
    V P[triangle(n)];  // after component j
    for (int e = 0; e < triangle(n); ++e) {
      P[e] = filtered.P[e];
    }
    V q[n];
    for (Index j = m_; j-- > 0;) {
      const Used<n, V>& gain = gains[j];
      const V* const h = step.H + j * n;
      const Residual<V> out = back_.component(h, gain, q);
      V* const dh = measured_.H + j * n;
      V Pq[n];
      project<n>(q, P, Pq);
      KELMAN_UNROLL
      for (int i = 0; i < n; ++i) {
        dh[i] = fused(out.u, xs[i], dh[i] - gain.K[i]) + Pq[i];
      }
      measured_.c[j] += out.u;
      for (Index e = 0; fed && e < dims_.p; ++e) {
        measured_.D[j * dims_.p + e] = fused(out.u, u[e], measured_.D[j * dims_.p + e]);
      }
      V* const dr = measured_.R + j * m_;
      dr[j] = fused(out.u, out.u, dr[j] - out.D);
      if (m_ > 1) {
        residual_[j] = out.u;
        across(j, h, gain, out, q);
      }
      if (j > 0) {  // P + f K K'
        KELMAN_UNROLL
        for (int i = 0; i < n; ++i) {
          const V scaled = gain.f * gain.K[i];
          KELMAN_UNROLL
          for (int l = 0; l <= i; ++l) {
            P[entry(i, l)] = fused(scaled, gain.K[l], P[entry(i, l)]);
          }
        }
      }
    }
    emit_measurement(k, step, result);
  }

  /// R_lj of the components l > j that were gone over before, with the vectors g that they left in later_.
  KELMAN_INLINE void across(Index j, const V* h, const Used<n, V>& gain, const Residual<V>& out,
                            const V (&q)[n]) noexcept {
    for (Index l = j + 1; l < m_; ++l) {
      V* const g = later_ + l * n;
      V Kg = gain.K[0] * g[0];
      KELMAN_UNROLL
      for (int i = 1; i < n; ++i) {
        Kg = fused(gain.K[i], g[i], Kg);
      }
      V& sum = measured_.R[l * m_ + j];
      sum = fused(residual_[l], out.u, sum + Kg);
      KELMAN_UNROLL
      for (int i = 0; i < n; ++i) {
        g[i] = fused_minus(Kg, V(h[i]), g[i]);
      }
    }
    V* const own = later_ + j * n;
    KELMAN_UNROLL
    for (int i = 0; i < n; ++i) {
      own[i] = fused(h[i], out.D, -q[i]);
    }
  }

  void emit_measurement(Index k, const Step<V>& step, const GradientResult<Scalar>& result) noexcept {
    if (!each_step_) {
      emit_measured(measured_, k, false, result);
      return;
    }
    correlate(dims_, step.mix, measured_);
    move(m_ * n, measured_.H, total_.H);
    move(m_ * m_, measured_.R, total_.R);
    move(m_ * dims_.p, measured_.D, total_.D);
    move(m_, measured_.c, total_.c);
    emit_measured(total_, k, false, result);
  }

  static void move(Index count, V* from, V* to) noexcept {
    for (Index e = 0; e < count; ++e) {
      to[e] += from[e];
      from[e] = V(Scalar(0));
    }
  }

  /// Adds what belongs to time k to the fields that vary in time; with `last`, the sums over time to the others.
  void emit_measured(const MeasurementSums<V>& sums, Index k, bool last,
                     const GradientResult<Scalar>& result) noexcept {
    emit(result.H, k, last, m_ * n, sums.H);
    emit(result.D, k, last, m_ * dims_.p, sums.D);
    emit(result.c, k, last, m_, sums.c);
    if (result.R && result.R.constant() == last) {
      add_symmetric(result.R, passage_.members(), k, m_, false, sums.R);
    }
  }

  void emit(const Field<Scalar>& field, Index k, bool last, Index count, V* sums) noexcept {
    if (field && field.constant() == last) {
      add_to(field, passage_.members(), k, count, sums);
    }
  }

  /// The sums over time, and the derivatives by the start.
  [[gnu::cold, gnu::noinline]] void finish(const GradientResult<Scalar>& result) noexcept {
    if (moments_ != nullptr) {
      finish_moments(result, passage_.members(), lost_, Index(2 * half), moments_);
      lost_ = mask_of<V>{};
    }
    emit(result.A, 0, true, n * n, moved_.A);
    emit(result.b, 0, true, n, moved_.b);
    emit(result.B, 0, true, n * dims_.p, moved_.B);
    if (result.Q && result.Q.constant()) {
      add_symmetric(result.Q, passage_.members(), 0, n, true, moved_.Q);
    }
    if (mixed_ && !each_step_) {
      correlate(dims_, passage_.coefficients().at(0).mix, measured_);
    }
    emit_measured(each_step_ ? total_ : measured_, 0, true, result);
    for (int l = 0; l < passage_.members().count; ++l) {
      const Outcome& outcome = passage_.members().outcome[l];
      const Scalar spoiled = outcome.usable() ? Scalar(0) : std::numeric_limits<Scalar>::quiet_NaN();
      Scalar r[n];
      Scalar G[n * n];
      for (int row = 0; row < n; ++row) {
        r[row] = lane(back_.r[row], l) + spoiled;
        for (int col = 0; col <= row; ++col) {
          const Scalar twice = fused(r[row], r[col], -lane(back_.N[entry(row, col)], l));
          G[row * n + col] = G[col * n + row] = Scalar(0.5) * twice;
        }
      }
      differentiate_start(problem_, passage_.members().series[l], r, G, work_, result);
    }
  }

  FilterProblem<Scalar> problem_;
  Dims dims_;
  Index m_;
  bool mixed_;
  bool each_step_ = false;  // L or what it turns varies in time
  Workspace memory_;
  Passage<n, V> passage_;
  V* residual_;  // u of each component
  V* later_;     // g of each component
  MeasurementSums<V> measured_;
  MeasurementSums<V> total_;
  TransitionSums<V> moved_;
  Scalar* work_;
  V* moments_ = nullptr;  // sums (2×half) and the reference (n)
  mask_of<V> lost_{};     // lanes whose covariances lost digits
  Backward<n, V> back_;
};

}  // namespace kelman::linear::lanes
