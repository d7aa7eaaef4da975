// SPDX-License-Identifier: BSD-3-Clause
// The filter for few series: one at a time, as triangles in registers; constant gains once the covariances have
// settled.
//
// For regular models: no S, every component with noise of its own once R is decorrelated. Diffuse steps are taken
// before by the form that serves every start, and a series that fails is given to it whole: it knows what to report.
//
// Two components that are both observed are taken together, which costs the latency of one division instead of two:
//   S = H P H' + D,  d = |S|,  f₁ = S₁₁,  f₂ = d / f₁,  1/f₂ = f₁ / d             (2×2), 1/f₁ and 1/d at the same time
// The covariances have settled when a complete step changes none of them beyond rounding (Steady::settled). They are
// constant until the next gap, and the constant filter takes over.
#pragma once

#include "kelman/linear/lanes/start.hpp"
#include "kelman/linear/measurement.hpp"
#include "kelman/linear/single/pieces.hpp"

namespace kelman::linear::single {

/// Filters series of n states one at a time; one object per thread.
template <int n, Real T>
class Single {
 public:
  [[gnu::cold]] Single(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Workspace& memory)
      : problem_(problem),
        result_(result),
        model_(problem.model),
        m_(model_.dims.m),
        p_(problem.data.u ? model_.dims.p : 0),
        careful_(problem, result, Index(1), memory),
        measurement_(model_, memory),
        direct_(model_.D ? p_ : 0),
        drive_(model_.B ? p_ : 0),
        steady_(m_, m_ + direct_ + drive_, memory),
        pieces_(m_ + direct_ + drive_, threads, memory),
        y_(memory.take<T>(m_)),
        mask_(memory.take<unsigned char>(m_)),
        d_(memory.take<T>(n)),
        x_(memory.take<T>(n)),
        P_(memory.take<T>(lanes::triangle(n))),
        work_(memory.take<T>(n + n * n)),
        constant_(model_.A.constant() && model_.H.constant() && model_.Q.constant() && model_.R.constant() &&
                  model_.B.constant() && model_.D.constant() && model_.b.constant() && model_.c.constant()),
        may_settle_(problem.steady && constant_ && !result.predicted_mean) {}

  /// Filters series i; tells how.
  [[gnu::cold, gnu::noinline]] Method run(Index i, Interrupt& stop) {
    const Index length = problem_.data.length(i, model_.dims.T);
    lanes::Entry<T> entry{0, 0, x_, P_, work_};
    if (length == 0) {
      careful_.run(i, i + 1, stop);
      return Way::univariate;
    }
    if (!lanes::enter(problem_, i, careful_, d_, entry)) {
      return Way::univariate;
    }
    Method method = Way::scalar;
    method |= entry.begin > 0 ? Method(Way::univariate) : Method();
    std::copy_n(x_, n, state_.x);
    std::copy_n(P_, lanes::triangle(n), state_.P);
    total_ = entry.loglik;
    evidence_ = {};
    sum_ = {};
    failed_ = false;
    method |= steps(i, entry.begin, length, stop);
    flush();
    T size(0);
    for (int l = 0; l < n; ++l) {
      size += std::abs(state_.x[l]) + std::abs(state_.P[lanes::entry(l, l)]);
    }
    if (failed_ || !std::isfinite(size) || !std::isfinite(total_)) {
      careful_.run(i, i + 1, stop);
      return Way::univariate;
    }
    finish(i, length);
    return method;
  }

 private:
  /// From the moments predicted for step `k` to the end.
  [[gnu::noinline]] Method steps(Index i, Index k, Index length, Interrupt& stop) {
    Method method;
    T before[lanes::triangle(n)];
    while (true) {
      const bool complete = measure(i, k);
      if (result_.predicted_mean) {
        write_predicted(i, k);
      }
      const bool look = may_settle_ && complete && (k & 7) == 7;
      if (look) {
        std::copy_n(state_.P, lanes::triangle(n), before);
      }
      update(i, k);
      write(i, k);
      if ((++k & 255) == 0) {
        flush();
        if (failed_ || stop.check()) {
          return method;
        }
      }
      if (k == length) {
        return method;
      }
      bool again = false;
      do {
        lanes::predict_covariance<n>(model_.A.at(i, k), model_.Q.at(i, k - 1), state_.P);
        again = look && !again && Steady<n, T>::settled(state_.P, before) && constant_filter(i, k, length, stop);
        method |= again ? Method(Way::steady) : Method();
        if (again && (k == length || stop.requested())) {
          return method;
        }
      } while (again);
      predict_mean(i, k);
    }
  }

  /// Lets the constant filter take the steps up to the next gap; false if that is not worth it.
  bool constant_filter(Index i, Index& k, Index length, Interrupt& stop) {
    const Index end = stretch(i, k, length);
    if (end - k < worthwhile || !settle(i)) {
      return false;
    }
    run_steady(i, k, end, stop);
    k = end;
    return true;
  }

  void predict_mean(Index i, Index k) noexcept {
    lanes::predict_mean<n>(model_.A.at(i, k), state_.x);
    if (model_.b || drive_ > 0) {
      lanes::drive_entry(problem_, i, k, static_cast<const T*>(nullptr), d_);
      for (int l = 0; l < n; ++l) {
        state_.x[l] += d_[l];
      }
    }
  }

  /// y = z - c - D u of step k. Whether all of it is observed.
  [[gnu::noinline]] bool measure(Index i, Index k) noexcept {
    const T* const z = problem_.data.z.at(i, k);
    const T* const c = model_.c ? model_.c.at(i, k) : nullptr;
    bool complete = true;
    for (Index j = 0; j < m_; ++j) {
      y_[j] = c != nullptr ? z[j] - c[j] : z[j];
      complete = complete && y_[j] == y_[j];
    }
    for (Index j = 0; j < m_ && direct_ > 0; ++j) {
      y_[j] -= linalg::dot(direct_, model_.D.at(i, k) + j * direct_, problem_.data.u.at(i, k));
    }
    for (Index j = 0; j < m_; ++j) {
      mask_[j] = static_cast<unsigned char>(y_[j] == y_[j] ? 1 : 0);
    }
    return complete;
  }

  /// Uses y; what is missing is skipped.
  KELMAN_INLINE void update(Index i, Index k) noexcept {
    failed_ = !measurement_.prepare(i, k, mask_) || failed_;
    const Index count = measurement_.count();
    if (count < m_) {
      for (Index e = 0; e < count; ++e) {
        y_[e] = y_[measurement_.component()[e]];
      }
    }
    if (measurement_.mix() != nullptr) {
      linalg::solve_unit_lower(count, Index(1), measurement_.mix(), count, y_, Index(1));
    }
    const T* const rows = measurement_.rows();
    const T* const noise = measurement_.noise();
    if (count == 2 && update_two(rows, noise)) {
      return;
    }
    for (Index e = 0; e < count; ++e) {
      use_component<n>(rows + e * n, noise[e], y_[e], state_, evidence_, failed_);
    }
  }

  /// Both components at once. False, and nothing done, if one of them is so precise that its update needs care.
  KELMAN_INLINE bool update_two(const T* rows, const T* noise) noexcept {
    const T* const g = rows;
    const T* const h = rows + n;
    T M[n];
    T L[n];
    lanes::project<n>(g, state_.P, M);
    lanes::project<n>(h, state_.P, L);
    const T f = lanes::along<n>(g, M) + noise[0];
    const T both = lanes::along<n>(h, M);
    const T s = lanes::along<n>(h, L) + noise[1];
    const T d = fused(f, s, -(both * both));
    const T inverse = T(1) / f;
    const T other = f * (T(1) / d);  // 1 / f₂
    constexpr T precise = T(1e-3), least = std::numeric_limits<T>::min();
    if (!(f >= least && d >= least && noise[0] >= precise * f && noise[1] * other >= precise)) [[unlikely]] {
      return false;
    }
    const T ratio = both * inverse;
    const T v = y_[0] - lanes::along<n>(g, state_.x);
    const T w = fused(-ratio, v, y_[1] - lanes::along<n>(h, state_.x));
    T K[n];
    T J[n];
    KELMAN_UNROLL
    for (int l = 0; l < n; ++l) {
      K[l] = M[l] * inverse;
      L[l] = fused(-ratio, M[l], L[l]);
      J[l] = L[l] * other;
    }
    KELMAN_UNROLL
    for (int a = 0; a < n; ++a) {
      state_.x[a] = fused(J[a], w, fused(K[a], v, state_.x[a]));
      KELMAN_UNROLL
      for (int b = 0; b <= a; ++b) {
        T& P = state_.P[lanes::entry(a, b)];
        P = fused(-J[a], L[b], fused(-K[a], M[b], P));
      }
    }
    evidence_.quadratic = fused(w * other, w, fused(v * inverse, v, evidence_.quadratic));
    evidence_.mantissa *= d;
    evidence_.exponent += split_exponent(evidence_.mantissa);
    evidence_.count += T(2);
    return true;
  }

  /// Adds the step to the log-likelihood; the same whether or not the contributions of the steps are kept.
  void fold() noexcept {
    sum_.quadratic += evidence_.quadratic;
    sum_.mantissa *= evidence_.mantissa;
    sum_.exponent += evidence_.exponent + split_exponent(sum_.mantissa);
    sum_.count += evidence_.count;
    evidence_ = {};
  }

  /// Adds what the last steps contributed to the log-likelihood.
  void flush() noexcept {
    total_ -= 0.5 * lanes::deviance(sum_, 0);
    sum_ = {};
  }

  /// First step from k on in which something is missing.
  [[nodiscard]] Index stretch(Index i, Index k, Index length) const noexcept {
    using V = Pack<T, 2 * register_lanes<T>>;
    constexpr Index W = kelman::lanes<V>;
    constexpr Index together = 32;  // steps, looked at as one array where they are one
    if (problem_.data.z.time == m_) {
      V sum = V(T(0));
      for (; k + together <= length; k += together) {
        const T* const z = problem_.data.z.at(i, k);
        for (Index l = 0; l < together * m_; l += W) {
          sum += load<V>(z + l);
        }
        if (any(is_nan(sum))) {
          break;
        }
      }
    }
    for (; k < length; ++k) {
      const T* const z = problem_.data.z.at(i, k);
      if (std::any_of(z, z + m_, [](T value) { return value != value; })) {
        break;
      }
    }
    return k;
  }

  /// The constant filter for the covariance that is predicted now, unless it is there already.
  [[gnu::cold, gnu::noinline]] bool settle(Index i) noexcept {
    if (settled_for_ == i && steady_.fits(state_.P)) {
      return true;
    }
    std::fill_n(mask_, m_, static_cast<unsigned char>(1));
    if (!measurement_.prepare(i, Index(0), mask_)) {
      return false;
    }
    settled_for_ = i;
    return steady_.make(
        {model_.A.at(i, 0), model_.b ? model_.b.at(i, 0) : nullptr, drive_ > 0 ? model_.B.at(i, 0) : nullptr,
         model_.c ? model_.c.at(i, 0) : nullptr, direct_ > 0 ? model_.D.at(i, 0) : nullptr, measurement_.rows(),
         measurement_.noise(), measurement_.mix(), direct_, drive_},
        state_.P);
  }

  /// Steps [k, end), in which nothing is missing, from the mean after step k - 1.
  [[gnu::cold, gnu::noinline]] void run_steady(Index i, Index k, Index end, Interrupt& stop) {
    const Data<T>& data = problem_.data;
    Sources<T> from;
    from.part[0] = {data.z.at(i, k), data.z.time, m_};
    if (direct_ > 0) {
      from.part[1] = {data.u.at(i, k), data.u.time, direct_};
    }
    if (drive_ > 0) {
      from.part[2] = {data.u.at(i, model_.input_lag ? k - 1 : k), data.u.time, drive_};
    }
    Written<T> to;
    if (result_.mean && !result_.mean.constant()) {
      to.mean = result_.mean.at(i, k);
      to.mean_stride = result_.mean.time;
    }
    to.cov = result_.cov && !result_.cov.constant() ? result_.cov.at(i, k) : nullptr;
    to.loglik_obs = result_.loglik_obs ? result_.loglik_obs.at(i, k) : nullptr;
    const T constant = T(-0.5) * fused(log_two_pi<T>, static_cast<T>(m_), steady_.log_f);
    const double quadratic = pieces_.run(steady_, from, end - k, state_.x, constant, to, stop);
    total_ += static_cast<double>(end - k) * static_cast<double>(constant) - 0.5 * quadratic;
    std::copy_n(steady_.P_filt, lanes::triangle(n), state_.P);
  }

  void square(const T* triangle, T* out) const noexcept {
    for (int l = 0; l < n * n; ++l) {
      out[l] = triangle[lanes::entry(l / n, l % n)];
    }
  }

  void write(Index i, Index k) noexcept {
    if (result_.mean) {
      std::copy_n(state_.x, n, result_.mean.at(i, k));
    }
    if (result_.cov) {
      square(state_.P, result_.cov.at(i, k));
    }
    if (result_.loglik_obs) {
      *result_.loglik_obs.at(i, k) = static_cast<T>(-0.5 * lanes::deviance(evidence_, 0));
    }
    fold();
  }

  /// Moments before the measurement of step k, and the innovation in the user's components.
  [[gnu::cold, gnu::noinline]] void write_predicted(Index i, Index k) noexcept {
    std::copy_n(state_.x, n, result_.predicted_mean.at(i, k));
    square(state_.P, result_.predicted_cov.at(i, k));
    const T* const H = model_.H.at(i, k);
    const T* const R = model_.R.at(i, k);
    T* const S = result_.innovation_cov.at(i, k);
    for (Index row = 0; row < m_; ++row) {
      T M[n];
      lanes::project<n>(H + row * n, state_.P, M);
      result_.innovation.at(i, k)[row] = y_[row] - lanes::along<n>(H + row * n, state_.x);
      for (Index col = 0; col <= row; ++col) {
        S[row * m_ + col] = S[col * m_ + row] = R[row * m_ + col] + lanes::along<n>(H + col * n, M);
      }
    }
  }

  [[gnu::cold, gnu::noinline]] void finish(Index i, Index length) noexcept {
    const Index steps = model_.dims.T;
    constexpr Index size = Index(n) * n;
    if (result_.mean && result_.mean.constant()) {
      std::copy_n(state_.x, n, result_.mean.at(i));
    }
    if (result_.cov && result_.cov.constant()) {
      square(state_.P, result_.cov.at(i));
    }
    for (const Field<T>& means : {result_.mean, result_.predicted_mean}) {
      blank(means, i, length, steps, Index(n), false);
    }
    for (const Field<T>& covariances : {result_.cov, result_.predicted_cov}) {
      blank(covariances, i, length, steps, size, false);
    }
    blank(result_.loglik_obs, i, length, steps, Index(1), false);
    blank(result_.innovation, i, length, steps, m_, false);
    blank(result_.innovation_cov, i, length, steps, m_ * m_, false);
    *result_.loglik.at(i) = static_cast<T>(total_);
    *result_.status.at(i) = static_cast<std::int32_t>(Status::ok);
    *result_.failed_at.at(i) = -1;
    if (result_.state_mean) {
      std::copy_n(state_.x, n, result_.state_mean.at(i));
      square(state_.P, result_.state_cov.at(i));
      *result_.state_rank.at(i) = 0;
      std::fill_n(result_.state_inf.at(i), n * problem_.start.columns, T(0));
      std::copy_n(model_.Q.at(i, length - 1), size, result_.state_noise_cov.at(i));
    }
  }

  static constexpr Index worthwhile = 32;  // a shorter stretch costs less than the constant filter's making

  FilterProblem<T> problem_;
  FilterResult<T> result_;
  Model<T> model_;
  Index m_;
  Index p_;
  Filter<Univariate<T>> careful_;
  Measurement<T> measurement_;
  Index direct_;  // inputs that are fed through, and that drive the state
  Index drive_;
  Steady<n, T> steady_;
  Pieces<n, T> pieces_;
  T* y_;
  unsigned char* mask_;
  T* d_;
  T* x_;
  T* P_;
  T* work_;
  bool constant_;
  bool may_settle_;
  Index settled_for_ = -1;
  lanes::State<n, T> state_;
  lanes::Evidence<T> evidence_;  // of the step
  lanes::Evidence<T> sum_;       // of the last steps
  double total_ = 0;
  bool failed_ = false;
};

}  // namespace kelman::linear::single
