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

/// What must not become a call: arrays that it indexes stay in registers.
#if defined(__GNUC__)
#define KELMAN_INLINED __attribute__((always_inline))
#else
#define KELMAN_INLINED
#endif

namespace kelman::linear::shared {

/// A few steps of one group of series. Results whose pointer is null are not kept.
template <class V>
struct Chunk {
  using Scalar = scalar_of<V>;

  /// What stays while chunk follows chunk.
  Chunk(const Steps<Scalar>& steps_, V* x_, V* next_, V& quadratic_, V& unsound_) noexcept
      : steps(&steps_), x(x_), next(next_), quadratic(&quadratic_), unsound(&unsound_) {}

  const Steps<Scalar>* steps;
  Index first = 0;
  Index count = 0;
  const V* y = nullptr;      ///< L⁻¹(z - c - D u), at the places of z (count×m)
  const V* drive = nullptr;  ///< b + B u where it differs between series (count×n)
  V* x;                      ///< mean (s), in and out
  V* next;                   ///< scratch (n)
  V* quadratic;              ///< sum of v²/f, in and out
  V* unsound;                ///< NaN in lanes where some x was not finite, in and out
  V* predicted = nullptr;    ///< x before the measurement (count×n)
  V* mean = nullptr;         ///< x after it (count×n)
  V* gained = nullptr;       ///< contribution to the log-likelihood (count)
  V* residual = nullptr;     ///< v (count×m)
};

/// body(0), ..., body(n - 1) with constant arguments: arrays that are indexed by them stay in registers.
template <int n, class Body>
inline KELMAN_INLINED void unrolled(Body&& body) noexcept {
  [&]<int... i>(std::integer_sequence<int, i...>)
      KELMAN_INLINED { (body(std::integral_constant<int, i>{}), ...); }(std::make_integer_sequence<int, n>{});
}

/// n packs as single registers, which the compiler keeps where it would put a pack into memory.
template <class V, int n>
struct Registers {
  using Scalar = scalar_of<V>;
  using Unit = typename V::Unit;
  Unit v[n][V::units];

  [[gnu::always_inline]] static Unit all(Scalar a) noexcept { return a - Unit{}; }

  [[gnu::always_inline]] void load(const V* from) noexcept {
    unrolled<n>([&](auto i)
                    KELMAN_INLINED { unrolled<V::units>([&](auto u) KELMAN_INLINED { v[i][u] = from[i].v[u]; }); });
  }

  [[gnu::always_inline]] void store(V* to) const noexcept {
    unrolled<n>([&](auto i)
                    KELMAN_INLINED { unrolled<V::units>([&](auto u) KELMAN_INLINED { to[i].v[u] = v[i][u]; }); });
  }

  [[gnu::always_inline]] void copy(const Registers& from) noexcept {
    unrolled<n>([&](auto i)
                    KELMAN_INLINED { unrolled<V::units>([&](auto u) KELMAN_INLINED { v[i][u] = from.v[i][u]; }); });
  }

  /// v_i += a_i x                                                                                 (n) += (n)(1)
  [[gnu::always_inline]] void add(const Scalar* a, const Registers<V, 1>& x) noexcept {
    unrolled<n>([&](auto i) KELMAN_INLINED {
      unrolled<V::units>([&](auto u) KELMAN_INLINED { v[i][u] = unit::fma<Scalar>(all(a[i]), x.v[0][u], v[i][u]); });
    });
  }

  /// v_i += from_i
  [[gnu::always_inline]] void add(const V* from) noexcept {
    unrolled<n>([&](auto i)
                    KELMAN_INLINED { unrolled<V::units>([&](auto u) KELMAN_INLINED { v[i][u] += from[i].v[u]; }); });
  }

  /// v += A from                                                                            (n) += (n×n)(n)
  [[gnu::always_inline]] void add_product(const Scalar* a, const Registers& from) noexcept {
    unrolled<n>([&](auto j) KELMAN_INLINED {
      unrolled<n>([&](auto i) KELMAN_INLINED {
        unrolled<V::units>(
            [&](auto u) KELMAN_INLINED { v[i][u] = unit::fma<Scalar>(all(a[i * n + j]), from.v[j][u], v[i][u]); });
      });
    });
  }

  /// y -= a v in two chains, which halves the wait for the sum.                                        (1) -= (n)(n)
  [[gnu::always_inline]] void take_from(Registers<V, 1>& y, const Scalar* a) const noexcept {
    unrolled<V::units>([&](auto u) KELMAN_INLINED { y.v[0][u] = unit::fma<Scalar>(all(-a[0]), v[0][u], y.v[0][u]); });
    if constexpr (n < 4) {
      unrolled<n - 1>([&](auto i) KELMAN_INLINED {
        constexpr int j = i + 1;
        unrolled<V::units>([&](auto u)
                               KELMAN_INLINED { y.v[0][u] = unit::fma<Scalar>(all(-a[j]), v[j][u], y.v[0][u]); });
      });
    } else {
      Registers<V, 1> odd;
      unrolled<V::units>([&](auto u) KELMAN_INLINED { odd.v[0][u] = all(a[1]) * v[1][u]; });
      unrolled<n - 2>([&](auto i) KELMAN_INLINED {
        constexpr int j = i + 2;
        unrolled<V::units>([&](auto u) KELMAN_INLINED {
          if constexpr (j % 2 == 0) {
            y.v[0][u] = unit::fma<Scalar>(all(-a[j]), v[j][u], y.v[0][u]);
          } else {
            odd.v[0][u] = unit::fma<Scalar>(all(a[j]), v[j][u], odd.v[0][u]);
          }
        });
      });
      unrolled<V::units>([&](auto u) KELMAN_INLINED { y.v[0][u] -= odd.v[0][u]; });
    }
  }

  /// A from, in two chains where no three registers hide the wait; A_ij is at a[i row + j col].     (n) = (n×n)(n)
  [[gnu::always_inline]] void product(const Scalar* a, Index row, Index col, const Registers& from) noexcept {
    constexpr int half = n >= 4 && V::units < 3 ? n / 2 : n;
    unrolled<n>([&](auto i) KELMAN_INLINED {
      unrolled<V::units>([&](auto u) KELMAN_INLINED {
        Unit first = all(a[i * row]) * from.v[0][u];
        unrolled<half - 1>([&](auto l) KELMAN_INLINED {
          constexpr int j = l + 1;
          first = unit::fma<Scalar>(all(a[i * row + j * col]), from.v[j][u], first);
        });
        if constexpr (half < n) {
          Unit second = all(a[i * row + half * col]) * from.v[half][u];
          unrolled<n - half - 1>([&](auto l) KELMAN_INLINED {
            constexpr int j = l + half + 1;
            second = unit::fma<Scalar>(all(a[i * row + j * col]), from.v[j][u], second);
          });
          first += second;
        }
        v[i][u] = first;
      });
    });
  }
};

/// The steps of a chunk, for n states.
template <class V, int n>
void advance(const Chunk<V>& chunk) noexcept {
  using Scalar = scalar_of<V>;
  const Steps<Scalar>& steps = *chunk.steps;
  const Index m = steps.problem().model.dims.m;
  Registers<V, n> x;
  x.load(chunk.x);
  V quadratic = *chunk.quadratic;
  for (Index c = 0; c < chunk.count; ++c) {
    const Index k = chunk.first + c;
    if (steps.moves(k)) {
      Registers<V, n> next;
      next.product(steps.A(k), n, 1, x);
      x.copy(next);
      if (chunk.drive != nullptr) {
        x.add(chunk.drive + c * n);
      } else if (const Scalar* const drive = steps.drive(k)) {
        Registers<V, 1> one;
        unrolled<V::units>([&](auto u) KELMAN_INLINED { one.v[0][u] = Registers<V, 1>::all(Scalar(1)); });
        x.add(drive, one);
      }
    }
    if (chunk.predicted != nullptr) {
      x.store(chunk.predicted + c * n);
    }
    const Slot<Scalar> slot = steps.slot(k);
    const Scalar* const inverse = steps.inverse(k);
    const Index count = slot.head->count;
    V q(Scalar(0));
    for (Index e = 0; e < count; ++e) {
      Registers<V, 1> v;
      v.load(chunk.y + c * m + slot.component[e]);
      x.take_from(v, slot.rows + e * n);
      if (chunk.residual != nullptr) {
        v.store(chunk.residual + c * m + e);
      }
      unrolled<V::units>([&](auto u)
                             KELMAN_INLINED { q.v[u] = unit::fma<Scalar>(v.v[0][u] * inverse[e], v.v[0][u], q.v[u]); });
      x.add(slot.gains + e * n, v);
    }
    quadratic += q;
    if (chunk.gained != nullptr) {
      chunk.gained[c] = fused(Scalar(-0.5), q, V(slot.head->constant));
    }
    if (chunk.mean != nullptr) {
      x.store(chunk.mean + c * n);
    }
  }
  x.store(chunk.x);
  // an x that is not finite stays so, for every later one is made of all of it
  for (int i = 0; i < n; ++i) {
    *chunk.unsound = fused(Scalar(0), chunk.x[i], *chunk.unsound);
  }
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
  V* const x = chunk.x;
  V* const next = chunk.next;
  for (Index i = 0; i < n; ++i) {
    next[i] = chunk.drive != nullptr ? chunk.drive[c * n + i] : V(drive != nullptr ? drive[i] : Scalar(0));
  }
  if (const SparseRows<Scalar>* const sparse = steps.sparse()) {
    const std::int32_t* const begin = sparse->begin.data();
    const std::int32_t* const column = sparse->column.data();
    const Scalar* const value = sparse->value.data();
    for (Index i = 0; i < n; ++i) {
      V sum = next[i];
      std::int32_t l = begin[i];
      if (begin[i + 1] - l > 3) {  // a long row in two chains
        V other(Scalar(0));
        for (; l + 1 < begin[i + 1]; l += 2) {
          sum = fused(value[l], x[column[l]], sum);
          other = fused(value[l + 1], x[column[l + 1]], other);
        }
        sum += other;
      }
      for (; l < begin[i + 1]; ++l) {
        sum = fused(value[l], x[column[l]], sum);
      }
      next[i] = sum;
    }
  } else {
    const Scalar* const A = steps.A(k);
    Index i = 0;
    for (; i + rows <= n; i += rows) {
      V sum[rows];
      for (Index r = 0; r < rows; ++r) {
        sum[r] = next[i + r];
      }
      for (Index j = 0; j < n; ++j) {
        const V from = x[j];
        for (Index r = 0; r < rows; ++r) {
          sum[r] = fused(A[(i + r) * n + j], from, sum[r]);
        }
      }
      for (Index r = 0; r < rows; ++r) {
        next[i + r] = sum[r];
      }
    }
    for (; i < n; ++i) {
      V sum = next[i];
      for (Index j = 0; j < n; ++j) {
        sum = fused(A[i * n + j], x[j], sum);
      }
      next[i] = sum;
    }
  }
  if (steps.problem().model.joint()) {
    for (Index i = 0; i < n; ++i) {
      next[i] += x[n + i];
    }
  }
  for (Index i = 0; i < n; ++i) {
    x[i] = next[i];
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
  const std::int32_t* const seen = steps.seen().data();
  const auto visible = static_cast<Index>(steps.seen().size());
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
      for (Index l = 0; l < visible; ++l) {
        v = fused(-h[seen[l]], x[seen[l]], v);
      }
      if (joint) {
        v -= x[2 * n + e];
      }
      if (chunk.residual != nullptr) {
        chunk.residual[c * m + e] = v;
      }
      q = fused(v * V(inverse[e]), v, q);
      const Scalar* const K = slot.gains + e * s;
      const Index size = slot.head->size;
      for (Index i = 0; i < size; ++i) {
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
using Recursion = void (*)(const Chunk<V>&) noexcept;

template <class V>
[[nodiscard]] Recursion<V> recursion_for(const Model<scalar_of<V>>& model) noexcept {
  constexpr Recursion<V> fixed[] = {advance<V, 1>, advance<V, 2>, advance<V, 3>, advance<V, 4>,
                                    advance<V, 5>, advance<V, 6>, advance<V, 7>, advance<V, 8>};
  return model.dims.n <= 8 && !model.joint() ? fixed[model.dims.n - 1] : Recursion<V>(advance_any<V>);
}

/// Lanes of a group: as many registers as hide the wait for each sum, and as the processor has room for.
template <Real Scalar>
using SideBySide = Pack<Scalar, (register_bytes == 64 ? 3 : 2) * register_lanes<Scalar>>;

// compiled once, in cpp/instantiate/linear_shared_means.cpp
extern template Recursion<SideBySide<double>> recursion_for<SideBySide<double>>(const Model<double>&) noexcept;
extern template Recursion<SideBySide<float>> recursion_for<SideBySide<float>>(const Model<float>&) noexcept;

}  // namespace kelman::linear::shared
