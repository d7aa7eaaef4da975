// SPDX-License-Identifier: BSD-3-Clause
// The part of the gradient that depends on the data, for series side by side whose covariances are the same.
//
//   dA += r x_s'     dQ += r r'/2     db += r     dB += r u_k'        r: of the state that the transition leads to
//   dH += u x_s'     dR += u u'/2     dc += u     dD += u u_k'        u = S⁻¹ v - K'r: what H' is multiplied by
//   dm += r          dP += r r'/2     dV += r₀ q'                      by the moments at the start
//
// with r, u and the smoothed means x_s of retreat.hpp; the rest of the gradient is the same in all series
// (information.hpp). A chunk of steps goes back, and then its products are added up while they lie in the first cache.
#pragma once

#include "kelman/linear/form_passage.hpp"
#include "kelman/linear/gradient.hpp"
#include "kelman/linear/shared/group.hpp"
#include "kelman/linear/shared/outer.hpp"
#include "kelman/linear/shared/retreat.hpp"

namespace kelman::linear::shared {

/// What a group carries from one segment of time to the next.
template <class V>
struct Carried {
  V* x = nullptr;          ///< means at the beginning of every segment (segments×n)
  V* r0 = nullptr;         ///< r of the state at the beginning of the last segment that was gone back over (n)
  V* q = nullptr;          ///< V'r of its diffuse part (n)
  V* quadratic = nullptr;  ///< sum of v²/f
  V* unsound = nullptr;    ///< NaN in lanes where some mean was not finite
};

/// The score of one group; one object per thread.
template <class V>
class GroupScore {
 public:
  using Scalar = scalar_of<V>;
  using Lane = Members<kelman::lanes<V>>;

  [[gnu::cold, gnu::noinline]] GroupScore(const Steps<Scalar>& steps, Index segment,
                                          const GradientResult<Scalar>& wanted, Workspace& memory)
      : problem_(steps.problem()),
        steps_(steps),
        n_(problem_.model.dims.n),
        m_(problem_.model.dims.m),
        p_(problem_.model.dims.p),
        recursion_(recursion_for<V>(problem_.model)),
        retreat_(retreat_for<V>(problem_.model)),
        reader_(steps, memory),
        x_(memory.take<V>(n_)),
        next_(memory.take<V>(n_)),
        scratch_(memory.take<V>(n_)),
        mean_(memory.take<V>(segment * n_, true)),
        residual_(memory.take<V>(segment * m_, true)),
        adjoint_((memory.take<V>((reader_.span() + 1) * n_))),
        score_(memory.take<V>(reader_.span() * m_)),
        input_(memory.take<V>(reader_.span() * p_)),
        ones_(memory.take<V>(reader_.span())),
        row_(memory.take<Scalar>(4 * n_)) {
    std::fill_n(ones_, reader_.span(), V(Scalar(1)));
    const auto sums = [&](const Field<Scalar>& field, Index size) { return field ? memory.take<V>(size) : nullptr; };
    A_ = sums(wanted.A, n_ * n_);
    Q_ = sums(wanted.Q, n_ * n_);
    H_ = sums(wanted.H, m_ * n_);
    R_ = sums(wanted.R, m_ * m_);
    B_ = sums(wanted.B, n_ * p_);
    D_ = sums(wanted.D, m_ * p_);
    b_ = sums(wanted.b, n_);
    c_ = sums(wanted.c, m_);
  }

  /// Takes the members through segment `g`, steps [first, last), to where the next begins.
  void forward(const Lane& members, Index g, Index first, Index last, const Carried<V>& carried) noexcept {
    begin(members, g, carried);
    advance(members, first, last, *carried.quadratic, *carried.unsound);
    std::copy_n(x_, n_, carried.x + (g + 1) * n_);
  }

  /// The same, and back to its beginning; adds to the derivatives in `to`. The last segment of `length` steps, which
  /// has not been seen before, counts for the log-likelihood.
  void back(const Lane& members, Index g, Index first, Index last, Index length, const Carried<V>& carried,
            const Retreat<V>& known, const GradientResult<Scalar>& to) noexcept {
    begin(members, g, carried);
    V again(Scalar(0));
    advance(members, first, last, last == length ? *carried.quadratic : again, *carried.unsound);
    Retreat<V> back = known;
    back.r0 = carried.r0;
    back.q = carried.q;
    back.scratch = scratch_;
    for (Index k = last; k > first;) {
      const Index from = std::max(first, k - reader_.span());
      std::copy_n(carried.r0, n_, adjoint_ + (k - from) * n_);
      retreat(back, first, from, k);
      unmix(from, k);
      moved(members, first, from, std::min(k, length - 1), to);
      measured(members, first, from, k, to);
      k = from;
    }
    total(members, to);
    if (first == 0) {
      start(members, carried, to);
    }
  }

 private:
  void begin(const Lane& members, Index g, const Carried<V>& carried) noexcept {
    if (g == 0) {
      read<V>(problem_.start.mean, members, Index(0), Index(1), n_, x_);
    } else {
      std::copy_n(carried.x + g * n_, n_, x_);
    }
  }

  void advance(const Lane& members, Index first, Index last, V& quadratic, V& unsound) noexcept {
    Chunk<V> chunk(steps_, x_, next_, quadratic, unsound);
    for (Index k = first; k < last; k += reader_.span()) {
      reader_.read(members, k, std::min(reader_.span(), last - k), chunk);
      chunk.mean = mean_ + (k - first) * n_;
      chunk.residual = residual_ + (k - first) * m_;
      recursion_(chunk);
    }
  }

  /// Back over steps [from, until): r of each goes to adjoint_, u to score_, and the smoothed means to mean_.
  void retreat(Retreat<V>& back, Index first, Index from, Index until) noexcept {
    std::fill_n(score_, (until - from) * m_, V(Scalar(0)));
    for (Index k = until; k > from;) {
      const Index diffuse = std::clamp(back.origin + back.diffuse->count(), from, k);
      back.first = retreat_ != nullptr && diffuse < k ? diffuse : k - 1;
      back.last = k;
      back.mean = mean_ + (back.first - first) * n_;
      back.residual = residual_ + (back.first - first) * m_;
      back.adjoint = adjoint_ + (back.first - from) * n_;
      back.score = score_ + (back.first - from) * m_;
      if (retreat_ != nullptr && diffuse < k) {
        retreat_(back);
      } else {
        retreat_any<V>(back, nullptr, nullptr, nullptr);
      }
      k = back.first;
    }
  }

  /// u <- L⁻ᵀ u where rows were decorrelated.
  void unmix(Index from, Index until) noexcept {
    for (Index k = from; steps_.mixed() && k < until; ++k) {
      const Slot<Scalar> slot = steps_.slot(k);
      V* const u = score_ + (k - from) * m_;
      const Index count = slot.head->count;
      for (Index row = count; slot.head->mixed && row-- > 0;) {
        for (Index e = row + 1; e < count; ++e) {
          V& to = u[slot.component[row]];
          to = fused(-slot.mix[e * count + row], u[slot.component[e]], to);
        }
      }
    }
  }

  /// What the transitions that leave steps [from, until) add.
  void moved(const Lane& members, Index first, Index from, Index until, const GradientResult<Scalar>& to) noexcept {
    const Index count = until - from;
    const V* const r = adjoint_ + n_;
    const V* const x = mean_ + (from - first) * n_;
    add(members, to.A, from + 1, count, r, n_, x, n_, false, A_);
    add(members, to.Q, from, count, r, n_, r, n_, true, Q_);
    add(members, to.b, from + 1, count, r, n_, ones_, Index(1), false, b_);
    if (to.B && problem_.data.u) {
      for (Index c = 0; c < count; ++c) {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          take(problem_.data.driving_input(problem_.model.input_lag, members.of[l], from + c + 1), c, l);
        }
      }
      add(members, to.B, from + 1, count, r, n_, input_, p_, false, B_);
    }
  }

  /// What the measurements of steps [from, until) add.
  void measured(const Lane& members, Index first, Index from, Index until, const GradientResult<Scalar>& to) noexcept {
    const Index count = until - from;
    add(members, to.H, from, count, score_, m_, mean_ + (from - first) * n_, n_, false, H_);
    add(members, to.R, from, count, score_, m_, score_, m_, true, R_);
    add(members, to.c, from, count, score_, m_, ones_, Index(1), false, c_);
    if (to.D && problem_.data.u) {
      for (Index c = 0; c < count; ++c) {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          take(problem_.data.direct_input(members.of[l], from + c), c, l);
        }
      }
      add(members, to.D, from, count, score_, m_, input_, p_, false, D_);
    }
  }

  void take(const Scalar* u, Index c, int at) noexcept {
    for (Index l = 0; l < p_; ++l) {
      set_lane(input_[c * p_ + l], at, u != nullptr ? u[l] : Scalar(0));
    }
  }

  /// Registers of a pack that hold members and not only repetitions.
  [[nodiscard]] static int units(const Lane& members) noexcept {
    return (members.count + V::unit_lanes - 1) / V::unit_lanes;
  }

  /// Products of `count` steps: to their sums over time, or to the entries of the field from `entry` on.
  void add(const Lane& members, const Field<Scalar>& field, Index entry, Index count, const V* a, Index rows,
           const V* b, Index cols, bool symmetric, V* sum) noexcept {
    if (!field || field.constant()) {
      if (field) {
        add_outer(count, a, rows, b, cols, symmetric, units(members), sum);
      }
      return;
    }
    for (Index c = 0; c < count; ++c) {
      add_outer(Index(1), a + c * rows, rows, b + c * cols, cols, symmetric, units(members), sum);
      put(members, field, entry + c, rows, cols, symmetric, sum);
    }
  }

  /// Adds sums (rows×cols) to entry k of the members, halved and mirrored if they are symmetric; clears them.
  [[gnu::noinline]] void put(const Lane& members, const Field<Scalar>& field, Index k, Index rows, Index cols,
                             bool symmetric, V* sum) noexcept {
    for (int l = 0; l < members.count; ++l) {
      Scalar* const to = field.at(members.of[l], k);
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < (symmetric ? i + 1 : cols); ++j) {
          const Scalar value = lane(sum[i * cols + j], l);
          if (!symmetric) {
            to[i * cols + j] += value;
          } else {
            to[i * cols + j] += Scalar(0.5) * value;
            to[j * cols + i] += i == j ? Scalar(0) : Scalar(0.5) * value;
          }
        }
      }
    }
    std::fill_n(sum, rows * cols, V(Scalar(0)));
  }

  /// The sums over time.
  void total(const Lane& members, const GradientResult<Scalar>& to) noexcept {
    const auto give = [&](const Field<Scalar>& field, Index rows, Index cols, bool symmetric, V* sum) {
      if (field && field.constant()) {
        put(members, field, Index(0), rows, cols, symmetric, sum);
      }
    };
    give(to.A, n_, n_, false, A_);
    give(to.Q, n_, n_, true, Q_);
    give(to.H, m_, n_, false, H_);
    give(to.R, m_, m_, true, R_);
    give(to.B, n_, p_, false, B_);
    give(to.D, m_, p_, false, D_);
    give(to.b, n_, Index(1), false, b_);
    give(to.c, m_, Index(1), false, c_);
  }

  /// What the start adds, and the transition into the first step if there is one.
  [[gnu::cold, gnu::noinline]] void start(const Lane& members, const Carried<V>& carried,
                                          const GradientResult<Scalar>& to) noexcept {
    const Start<Scalar>& start = problem_.start;
    Scalar* const r0 = row_;
    Scalar* const q = row_ + n_;
    Scalar* const x = row_ + 2 * n_;
    for (int l = 0; l < members.count; ++l) {
      const Index i = members.of[l];
      const Index columns = start.columns;
      const Index rank = start.inf ? static_cast<Index>(*start.rank.at(i)) : 0;
      const Scalar* const V1 = rank > 0 ? start.inf.at(i) : nullptr;
      for (Index j = 0; j < n_; ++j) {
        r0[j] = lane(carried.r0[j], l);
        q[j] = lane(carried.q[j], l);
      }
      if (start.before_first) {
        const Scalar* const A = problem_.model.A.at(i, 0);
        add_scaled(n_, Scalar(1), r0, to.b, i);
        add_scaled(n_, Scalar(1), r0, to.noise_mean, i);
        add_square(r0, to.noise_cov, i);
        const Scalar* const u = problem_.data.driving_input(problem_.model.input_lag, i, 0);
        for (Index row = 0; to.B && u != nullptr && row < n_; ++row) {
          linalg::axpy(p_, r0[row], u, to.B.at(i, 0) + row * p_);
        }
        Scalar* const kept = x + n_;  // r of the first step
        std::copy_n(r0, n_, kept);
        back_through(A, r0, x);
        smooth_start(i, r0, q, V1, rank, x);
        for (Index row = 0; to.A && row < n_; ++row) {
          linalg::axpy(n_, kept[row], x, to.A.at(i, 0) + row * n_);
        }
      }
      add_scaled(n_, Scalar(1), r0, to.mean, i);
      add_square(r0, to.cov, i);
      for (Index row = 0; to.inf && row < n_; ++row) {
        linalg::axpy(rank, r0[row], q, to.inf.at(i) + row * columns);
      }
    }
  }

  /// r <- A'r
  void back_through(const Scalar* A, Scalar* r, Scalar* scratch) const noexcept {
    linalg::matvec_transposed(n_, n_, A, n_, r, scratch);
    std::copy_n(scratch, n_, r);
  }

  /// x = m + P r₀ + V q
  void smooth_start(Index i, const Scalar* r0, const Scalar* q, const Scalar* V1, Index rank,
                    Scalar* x) const noexcept {
    const Start<Scalar>& start = problem_.start;
    for (Index row = 0; row < n_; ++row) {
      x[row] = start.mean.at(i)[row] + linalg::dot(n_, start.cov.at(i) + row * n_, r0) +
               (rank > 0 ? linalg::dot(rank, V1 + row * start.columns, q) : Scalar(0));
    }
  }

  static void add_scaled(Index count, Scalar factor, const Scalar* from, const Field<Scalar>& field, Index i) noexcept {
    if (field) {
      linalg::axpy(count, factor, from, field.at(i, 0));
    }
  }

  void add_square(const Scalar* r, const Field<Scalar>& field, Index i) const noexcept {
    for (Index row = 0; field && row < n_; ++row) {
      linalg::axpy(n_, Scalar(0.5) * r[row], r, field.at(i) + row * n_);
    }
  }

  FilterProblem<Scalar> problem_;
  const Steps<Scalar>& steps_;
  Index n_;
  Index m_;
  Index p_;
  void (*recursion_)(const Chunk<V>&) noexcept;
  void (*retreat_)(const Retreat<V>&) noexcept;
  Reader<V> reader_;
  V* x_;
  V* next_;
  V* scratch_;
  V* mean_;      // x_k|k of the segment, and then x_k|T
  V* residual_;  // v of the segment
  V* adjoint_;   // r of the steps of a chunk and of the one after
  V* score_;     // u of the steps of a chunk
  V* input_;     // the inputs of the steps of a chunk
  V* ones_;
  Scalar* row_;
  V* A_;
  V* Q_;
  V* H_;
  V* R_;
  V* B_;
  V* D_;
  V* b_;
  V* c_;
};

}  // namespace kelman::linear::shared
