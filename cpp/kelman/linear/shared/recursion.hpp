// SPDX-License-Identifier: BSD-3-Clause
// The recursion of the means for series side by side, whose gains are the same: mean.hpp over packs.
//
//   predict    x <- A x + (b + B u) (+ w with S)                             (n) = (n×n)(n) + (n)
//   update     v = y_e - h x (- v_e with S),  q += v²/f,  x <- x + K v       (s), one component after the other
//
// No division, no branch on data. n up to 8 is a template parameter and x stays in registers; above, and with S, x is
// in the first cache and zeros of A and H may be left out.
#pragma once

#include <utility>

#include "kelman/core/pack.hpp"
#include "kelman/linear/shared/steps.hpp"

namespace kelman::linear::shared {

/// A few steps of one group of series. Results whose pointer is null are not kept.
template <class V>
struct Chunk {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>* steps = nullptr;
  Index first = 0;
  Index count = 0;
  const V* y = nullptr;      ///< L⁻¹(z - c - D u), at the places of z (count×m)
  const V* drive = nullptr;  ///< b + B u where it differs between series (count×n)
  V* x = nullptr;            ///< mean (s), in and out
  V* next = nullptr;         ///< scratch (n)
  V* quadratic = nullptr;    ///< sum of v²/f, in and out
  V* unsound = nullptr;      ///< NaN in lanes where some x was not finite, in and out
  V* predicted = nullptr;    ///< x before the measurement (count×n)
  V* mean = nullptr;         ///< x after it (count×n)
  V* gained = nullptr;       ///< contribution to the log-likelihood (count)
  V* residual = nullptr;     ///< v (count×m)
};

/// y - h x in two chains, which halves the wait for the sum.                                          (1) = (1) -
/// (n)(n)
template <int n, class V>
[[nodiscard]] inline V residual_of(const V& y, const scalar_of<V>* h, const V* x) noexcept {
  V even = fused(-h[0], x[0], y);
  if constexpr (n >= 4) {
    V odd = V(h[1]) * x[1];
    for (int j = 2; j < n; ++j) {
      if (j % 2 == 0) {
        even = fused(-h[j], x[j], even);
      } else {
        odd = fused(h[j], x[j], odd);
      }
    }
    return even - odd;
  } else {
    for (int j = 1; j < n; ++j) {
      even = fused(-h[j], x[j], even);
    }
    return even;
  }
}

/// The steps of a chunk, for n states.
template <class V, int n>
void advance(const Chunk<V>& chunk) noexcept {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>& steps = *chunk.steps;
  const Index m = steps.problem().model.dims.m;
  V x[n];
  for (int i = 0; i < n; ++i) {
    x[i] = chunk.x[i];
  }
  V quadratic = *chunk.quadratic;
  for (Index c = 0; c < chunk.count; ++c) {
    const Index k = chunk.first + c;
    if (steps.moves(k)) {
      const Scalar* const A = steps.A(k);
      const Scalar* const drive = steps.drive(k);
      V next[n];
      for (int i = 0; i < n; ++i) {
        if (chunk.drive != nullptr) {
          next[i] = fused(A[i * n], x[0], chunk.drive[c * n + i]);
        } else if (drive != nullptr) {
          next[i] = fused(A[i * n], x[0], V(drive[i]));
        } else {
          next[i] = V(A[i * n]) * x[0];
        }
        for (int j = 1; j < n; ++j) {
          next[i] = fused(A[i * n + j], x[j], next[i]);
        }
      }
      for (int i = 0; i < n; ++i) {
        x[i] = next[i];
      }
    }
    if (chunk.predicted != nullptr) {
      for (int i = 0; i < n; ++i) {
        chunk.predicted[c * n + i] = x[i];
      }
    }
    const Slot<Scalar> slot = steps.slot(k);
    const Scalar* const inverse = steps.inverse(k);
    V q(Scalar(0));
    for (Index e = 0; e < slot.head->count; ++e) {
      const V v = residual_of<n>(chunk.y[c * m + slot.component[e]], slot.rows + e * n, x);
      if (chunk.residual != nullptr) {
        chunk.residual[c * m + e] = v;
      }
      q = fused(v * V(inverse[e]), v, q);
      const Scalar* const K = slot.gains + e * n;
      for (int i = 0; i < n; ++i) {
        x[i] = fused(K[i], v, x[i]);
      }
    }
    quadratic += q;
    if (chunk.gained != nullptr) {
      chunk.gained[c] = fused(Scalar(-0.5), q, V(slot.head->constant));
    }
    if (chunk.mean != nullptr) {
      for (int i = 0; i < n; ++i) {
        chunk.mean[c * n + i] = x[i];
      }
    }
  }
  // an x that is not finite stays so, for every later one is made of all of it
  V unsound = *chunk.unsound;
  for (int i = 0; i < n; ++i) {
    chunk.x[i] = x[i];
    unsound = fused(Scalar(0), x[i], unsound);
  }
  *chunk.unsound = unsound;
  *chunk.quadratic = quadratic;
}

/// next <- A x + b + B u + w                                                                 (n) = (n×n)(n) + (n)
template <class V>
void predict_any(const Chunk<V>& chunk, Index c) noexcept {
  using Scalar = scalar_of<V>;
  constexpr Index rows = 4;  // sums at a time
  const Steps<Scalar>& steps = *chunk.steps;
  const Index n = steps.problem().model.dims.n;
  const Index k = chunk.first + c;
  const Scalar* const drive = steps.drive(k);
  for (Index i = 0; i < n; ++i) {
    chunk.next[i] = chunk.drive != nullptr ? chunk.drive[c * n + i] : V(drive != nullptr ? drive[i] : Scalar(0));
  }
  if (const SparseRows<Scalar>* const sparse = steps.sparse()) {
    for (Index i = 0; i < n; ++i) {
      V sum = chunk.next[i];
      for (std::int32_t l = sparse->begin[i]; l < sparse->begin[i + 1]; ++l) {
        sum = fused(sparse->value[l], chunk.x[sparse->column[l]], sum);
      }
      chunk.next[i] = sum;
    }
  } else {
    const Scalar* const A = steps.A(k);
    Index i = 0;
    for (; i + rows <= n; i += rows) {
      V sum[rows];
      for (Index r = 0; r < rows; ++r) {
        sum[r] = chunk.next[i + r];
      }
      for (Index j = 0; j < n; ++j) {
        const V x = chunk.x[j];
        for (Index r = 0; r < rows; ++r) {
          sum[r] = fused(A[(i + r) * n + j], x, sum[r]);
        }
      }
      for (Index r = 0; r < rows; ++r) {
        chunk.next[i + r] = sum[r];
      }
    }
    for (; i < n; ++i) {
      V sum = chunk.next[i];
      for (Index j = 0; j < n; ++j) {
        sum = fused(A[i * n + j], chunk.x[j], sum);
      }
      chunk.next[i] = sum;
    }
  }
  if (steps.problem().model.joint()) {
    for (Index i = 0; i < n; ++i) {
      chunk.next[i] += chunk.x[n + i];
    }
  }
  for (Index i = 0; i < n; ++i) {
    chunk.x[i] = chunk.next[i];
  }
}

/// The steps of a chunk for any n, and for models with S, which carry (x, w, v).
template <class V>
void advance_any(const Chunk<V>& chunk) noexcept {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>& steps = *chunk.steps;
  const Model<Scalar>& model = steps.problem().model;
  const Index n = model.dims.n;
  const Index m = model.dims.m;
  const Index s = model.size();
  const bool joint = model.joint();
  const std::vector<std::int32_t>& seen = steps.seen();
  V* const x = chunk.x;
  for (Index c = 0; c < chunk.count; ++c) {
    const Index k = chunk.first + c;
    if (steps.moves(k)) {
      predict_any(chunk, c);
    }
    if (chunk.predicted != nullptr) {
      std::copy_n(x, n, chunk.predicted + c * n);
    }
    std::fill(x + n, x + s, V(Scalar(0)));
    const Slot<Scalar> slot = steps.slot(k);
    const Scalar* const inverse = steps.inverse(k);
    V q(Scalar(0));
    for (Index e = 0; e < slot.head->count; ++e) {
      const Scalar* const h = slot.rows + e * n;
      V v = chunk.y[c * m + slot.component[e]];
      for (const std::int32_t j : seen) {
        v = fused(-h[j], x[j], v);
      }
      if (joint) {
        v -= x[2 * n + e];
      }
      if (chunk.residual != nullptr) {
        chunk.residual[c * m + e] = v;
      }
      q = fused(v * V(inverse[e]), v, q);
      const Scalar* const K = slot.gains + e * s;
      for (Index i = 0; i < slot.head->size; ++i) {
        x[i] = fused(K[i], v, x[i]);
      }
    }
    *chunk.quadratic += q;
    if (chunk.gained != nullptr) {
      chunk.gained[c] = fused(Scalar(-0.5), q, V(slot.head->constant));
    }
    if (chunk.mean != nullptr) {
      std::copy_n(x, n, chunk.mean + c * n);
    }
    V unsound = *chunk.unsound;  // each step: what a sparse A does not pass on is not seen later
    for (Index i = 0; i < n; ++i) {
      unsound = fused(Scalar(0), x[i], unsound);
    }
    *chunk.unsound = unsound;
  }
}

/// The recursion for a model.
template <class V>
[[nodiscard]] auto recursion_for(const Model<scalar_of<V>>& model) noexcept {
  using Recursion = void (*)(const Chunk<V>&) noexcept;
  constexpr Recursion fixed[] = {advance<V, 1>, advance<V, 2>, advance<V, 3>, advance<V, 4>,
                                 advance<V, 5>, advance<V, 6>, advance<V, 7>, advance<V, 8>};
  return model.dims.n <= 8 && !model.joint() ? fixed[model.dims.n - 1] : static_cast<Recursion>(advance_any<V>);
}

}  // namespace kelman::linear::shared
