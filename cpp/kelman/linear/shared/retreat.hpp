// SPDX-License-Identifier: BSD-3-Clause
// The way back of the means for series side by side, whose covariances are the same: backward.hpp over packs.
//
//   r <- A'r,   x_k|T = x_k|k + P r,   r <- r + h (v/f - K'r)          (n) = (n×n)(n), one component after the other
//
// Ordinary steps with n up to 8 keep r in registers. Diffuse steps, steps that go by their kernel, larger n and models
// with S take the second function, which is a copy of what BackwardMean does for one series.
#pragma once

#include "kelman/linalg/factor.hpp"
#include "kelman/linear/shared/recursion.hpp"

namespace kelman::linear::shared {

/// Steps [first, last) of one group on the way back.
template <class V>
struct Retreat {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>* steps = nullptr;
  Field<const Scalar> cov;                       ///< P_k|k (n×n) of step k at the number of its slot
  Field<const Scalar> cross;                     ///< Cov(x_k, w_k) (n×n) likewise, null without S
  const DiffuseTape<Scalar>* diffuse = nullptr;  ///< of step k at k - origin
  Index origin = 0;
  Index length = 0;  ///< steps of the series
  Index first = 0;
  Index last = 0;
  V* mean = nullptr;            ///< x_k|k in, x_k|T out ((last - first)×n)
  const V* residual = nullptr;  ///< v ((last - first)×m)
  V* r0 = nullptr;              ///< r (s), in and out
  V* q = nullptr;               ///< V'r of its diffuse part (columns)
  V* scratch = nullptr;         ///< (n + columns)
  V* adjoint = nullptr;         ///< if wanted: r before the measurement of each step ((last - first)×n)
  V* score = nullptr;           ///< if wanted: what h is multiplied by, at the places of z ((last - first)×m)

  /// Step k of the diffuse phase, or null after it.
  [[nodiscard]] const DiffuseSlot<Scalar>* diffuse_at(Index k) const noexcept {
    return k - origin < diffuse->count() ? &diffuse->at(k - origin) : nullptr;
  }
};

/// Back over ordinary steps, for n states.
template <class V, int n>
void retreat(const Retreat<V>& back) noexcept {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>& steps = *back.steps;
  const Index m = steps.problem().model.dims.m;
  Registers<V, n> r;
  r.load(back.r0);
  for (Index k = back.last; k-- > back.first;) {
    if (k + 1 < back.length) {
      Registers<V, n> next;
      next.product(steps.A(k + 1), 1, n, r);
      r.copy(next);
    }
    V* const x = back.mean + (k - back.first) * n;
    Registers<V, n> smoothed;
    smoothed.load(x);
    smoothed.add_product(back.cov.at(0, steps.number(k)), r);
    smoothed.store(x);
    const Slot<Scalar> slot = steps.slot(k);
    const Scalar* const inverse = steps.inverse(k);
    const V* const v = back.residual + (k - back.first) * m;
    for (Index e = slot.head->count; e-- > 0;) {
      Registers<V, 1> scaled;
      unrolled<V::units>([&](auto u) KELMAN_INLINED { scaled.v[0][u] = v[e].v[u] * inverse[e]; });
      r.take_from(scaled, slot.gains + e * n);
      r.add(slot.rows + e * n, scaled);
      if (back.score != nullptr) {
        scaled.store(back.score + (k - back.first) * m + slot.component[e]);
      }
    }
    if (back.adjoint != nullptr) {
      r.store(back.adjoint + (k - back.first) * n);
    }
  }
  r.store(back.r0);
}

/// sum_i a_i r_i over a vector of any length.                                                          (1) = (1×n)(n)
template <class V>
[[nodiscard]] inline V along(Index count, const scalar_of<V>* a, const V* r) noexcept {
  V sum(scalar_of<V>(0));
  for (Index i = 0; i < count; ++i) {
    sum = fused(a[i], r[i], sum);
  }
  return sum;
}

/// r <- T'r: A'r (n), and with S the old r for w (n), and zero for v.
template <class V>
void transition_back(const Model<scalar_of<V>>& model, const scalar_of<V>* A, V* r, V* scratch) noexcept {
  const Index n = model.dims.n;
  std::fill_n(scratch, n, V(scalar_of<V>(0)));
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      scratch[j] = fused(A[i * n + j], r[i], scratch[j]);
    }
  }
  if (model.joint()) {
    std::copy_n(r, n, r + n);
    std::fill(r + 2 * n, r + model.size(), V(scalar_of<V>(0)));
  }
  std::copy_n(scratch, n, r);
}

/// r <- r + (h, 0, e_j) t                                                                              (s) += (s)(1)
template <class V>
void add_row(const Model<scalar_of<V>>& model, const scalar_of<V>* h, Index e, const V& t, V* r) noexcept {
  for (Index i = 0; i < model.dims.n; ++i) {
    r[i] = fused(h[i], t, r[i]);
  }
  if (model.joint()) {
    r[2 * model.dims.n + e] += t;
  }
}

/// Back over any one step, k = back.first. `gain` is J of a step that goes by its kernel, or null; `next` and
/// `predicted` are then x_{k+1}|T and x_{k+1}|k.
template <class V>
void retreat_any(const Retreat<V>& back, const scalar_of<V>* gain, const V* next, const V* predicted) noexcept {
  using Scalar = scalar_of<V>;
  const Model<Scalar>& model = back.steps->problem().model;
  const Index n = model.dims.n;
  const Index k = back.first;
  const DiffuseSlot<Scalar>* const diffuse = back.diffuse_at(k);
  const Index columns = back.steps->problem().start.columns;
  Index directions = diffuse != nullptr ? diffuse->rank : 0;
  if (k + 1 < back.length) {
    transition_back(model, back.steps->A(k + 1), back.r0, back.scratch);
  }
  if (gain != nullptr) {
    // x_k|T = x_k|k + J (x_{k+1}|T - x_{k+1|k})
    for (Index i = 0; i < n; ++i) {
      back.scratch[i] = next[i] - predicted[i];
    }
    for (Index i = 0; i < n; ++i) {
      back.mean[i] += along(n, gain + i * n, back.scratch);
    }
  } else {
    // x += P r₀ + C r₀_w + V q
    const Scalar* const C = back.cross ? back.cross.at(0, k - back.origin) : nullptr;
    for (Index i = 0; i < n; ++i) {
      back.mean[i] += along(n, back.cov.at(0, back.steps->number(k)) + i * n, back.r0);
      if (C != nullptr) {
        back.mean[i] += along(n, C + i * n, back.r0 + n);
      }
    }
    for (Index i = 0; i < n; ++i) {
      back.mean[i] += along(directions, diffuse != nullptr ? diffuse->V + i * columns : nullptr, back.q);
    }
  }
  const Slot<Scalar> slot = back.steps->slot(k);
  const Index s = slot.head->size;
  for (Index e = slot.head->count; e-- > 0;) {
    const Scalar* const h = slot.rows + e * n;
    const Scalar* const K = slot.gains + e * model.size();
    const V scaled = V(Scalar(1) / slot.variance[e]) * back.residual[e];
    const V lost = along(s, K, back.r0);
    if (back.score != nullptr) {
      back.score[slot.component[e]] = slot.use[e] == Use::diffuse ? -lost : scaled - lost;
    }
    if (slot.use[e] == Use::diffuse) {
      const V told = scaled - along(s, diffuse->gains + e * model.size(), back.r0);
      linalg::restore_direction(++directions, diffuse->seen + e * columns, told, back.q);
      add_row(model, h, e, -lost, back.r0);
      continue;
    }
    add_row(model, h, e, scaled - lost, back.r0);
  }
  if (diffuse != nullptr && diffuse->led > 0) {
    lead_back(*diffuse, directions, columns, back.scratch, back.q);
  }
  if (back.adjoint != nullptr) {
    std::copy_n(back.r0, n, back.adjoint);
  }
}

/// The way back over ordinary steps for a model, or null where it is one step at a time.
template <class V>
using WayBack = void (*)(const Retreat<V>&) noexcept;

template <class V>
[[nodiscard]] WayBack<V> retreat_for(const Model<scalar_of<V>>& model) noexcept {
  constexpr WayBack<V> fixed[] = {retreat<V, 1>, retreat<V, 2>, retreat<V, 3>, retreat<V, 4>,
                                  retreat<V, 5>, retreat<V, 6>, retreat<V, 7>, retreat<V, 8>};
  return model.dims.n <= 8 && !model.joint() ? fixed[model.dims.n - 1] : nullptr;
}

// compiled once, in cpp/instantiate/linear_shared_means.cpp
extern template WayBack<SideBySide<double>> retreat_for<SideBySide<double>>(const Model<double>&) noexcept;
extern template WayBack<SideBySide<float>> retreat_for<SideBySide<float>>(const Model<float>&) noexcept;
extern template void retreat_any(const Retreat<SideBySide<double>>&, const double*, const SideBySide<double>*,
                                 const SideBySide<double>*) noexcept;
extern template void retreat_any(const Retreat<SideBySide<float>>&, const float*, const SideBySide<float>*,
                                 const SideBySide<float>*) noexcept;

}  // namespace kelman::linear::shared
