// SPDX-License-Identifier: BSD-3-Clause
// Sums over time of what each step adds to the gradient, lane by lane, and their way into the result.
//
// Over a transition into step k, with r, N before it (of the predicted state), x_s and P_f of step k - 1:
//   dA += r x_s' - (N A) P_f       dQ += (r r' - N)/2       dB += r u'      db += r
// Over component j of a measurement, with P after it, q = N K (N after it), u and D of backward.hpp:
//   dh += u x_s - K + P q          dr_j += (u² - D)/2       dD_j += u u_k'  dc_j += u
//   dR_ij, i before j:  (u_i u_j - D_ij)/2,  D_ij = -K_i' g,  where g = h_j D_jj - q_j of component j, g <- g - h_l
//   K_l'g over each component l between
// Where R = L D L' is not diagonal these are by H~ = L⁻¹ H and so on, and become
//   dH = L⁻ᵀ dH~,  dD = L⁻ᵀ dD~,  dc = L⁻ᵀ dc~,  dR = L⁻ᵀ dR~ L⁻¹
#pragma once

#include <algorithm>
#include <limits>

#include "kelman/linear/gradient.hpp"
#include "kelman/linear/lanes/backward.hpp"
#include "kelman/linear/lanes/passage.hpp"

namespace kelman::linear::lanes {

/// Derivatives by what a measurement depends on. R and (r r' - N) are doubled: they are halved on the way out.
template <Lanes V>
struct MeasurementSums {
  V* H = nullptr;  ///< (m×n)
  V* R = nullptr;  ///< (m×m), lower triangle in use
  V* D = nullptr;  ///< (m×p)
  V* c = nullptr;  ///< (m)

  MeasurementSums(const Dims& dims, Workspace& memory)
      : H(memory.take<V>(dims.m * dims.n)),
        R(memory.take<V>(dims.m * dims.m)),
        D(memory.take<V>(dims.m * dims.p)),
        c(memory.take<V>(dims.m)) {}
};

/// Derivatives by what a transition depends on.
template <Lanes V>
struct TransitionSums {
  V* A = nullptr;  ///< (n×n)
  V* Q = nullptr;  ///< triangle
  V* B = nullptr;  ///< (n×p)
  V* b = nullptr;  ///< (n)

  TransitionSums(const Dims& dims, Workspace& memory)
      : A(memory.take<V>(dims.n * dims.n)),
        Q(memory.take<V>(dims.n * (dims.n + 1) / 2)),
        B(memory.take<V>(dims.n * dims.p)),
        b(memory.take<V>(dims.n)) {}
};

/// X <- L⁻ᵀ X                                                             (m×cols) = (m×m)(m×cols)
template <Lanes V>
[[gnu::noinline]] void solve_transposed(Index m, Index cols, const V* L, V* X) noexcept {
  for (Index i = m - 1; i-- > 0;) {
    for (Index k = i + 1; k < m; ++k) {
      const V factor = -(L[k * m + i]);
      for (Index col = 0; col < cols; ++col) {
        X[i * cols + col] = fused(factor, X[k * cols + col], X[i * cols + col]);
      }
    }
  }
}

/// From the derivatives by what is uncorrelated to those by the model's own H, R, D and c.
template <Lanes V>
[[gnu::noinline]] void correlate(const Dims& dims, const V* L, const MeasurementSums<V>& sums) noexcept {
  const Index m = dims.m;
  solve_transposed(m, dims.n, L, sums.H);
  solve_transposed(m, dims.p, L, sums.D);
  solve_transposed(m, Index(1), L, sums.c);
  for (int side = 0; side < 2; ++side) {  // L⁻ᵀ (L⁻ᵀ dR~)' = L⁻ᵀ dR~ L⁻¹
    for (Index row = 0; row < m; ++row) {
      for (Index col = row + 1; col < m; ++col) {
        if (side == 0) {
          sums.R[row * m + col] = sums.R[col * m + row];
        } else {
          std::swap(sums.R[row * m + col], sums.R[col * m + row]);
        }
      }
    }
    solve_transposed(m, m, L, sums.R);
  }
}

/// Adds `count` sums to a field of results at time k; clears them.
template <Lanes V>
[[gnu::noinline]] void add_to(const Field<scalar_of<V>>& field, const Members<V>& members, Index k, Index count,
                              V* sums) noexcept {
  using Scalar = scalar_of<V>;
  if (!field) {
    return;
  }
  for (int l = 0; l < members.count; ++l) {
    Scalar* const to = field.at(members.series[l], k);
    for (Index e = 0; e < count; ++e) {
      to[e] += members.outcome[l].usable() ? lane(sums[e], l) : std::numeric_limits<Scalar>::quiet_NaN();
    }
  }
  std::fill_n(sums, count, V(Scalar(0)));
}

/// The same for a symmetric matrix (size×size), given twice its lower triangle: packed, or with rows of length `row`.
template <Lanes V>
[[gnu::noinline]] void add_symmetric(const Field<scalar_of<V>>& field, const Members<V>& members, Index k, Index size,
                                     bool packed, V* sums) noexcept {
  using Scalar = scalar_of<V>;
  if (!field) {
    return;
  }
  for (int l = 0; l < members.count; ++l) {
    Scalar* const to = field.at(members.series[l], k);
    for (Index row = 0; row < size; ++row) {
      for (Index col = 0; col <= row; ++col) {
        const Index from = (packed ? row * (row + 1) / 2 : row * size) + col;
        const Scalar value =
            members.outcome[l].usable() ? Scalar(0.5) * lane(sums[from], l) : std::numeric_limits<Scalar>::quiet_NaN();
        to[row * size + col] += value;
        if (col < row) {
          to[col * size + row] += value;
        }
      }
    }
  }
  std::fill_n(sums, packed ? size * (size + 1) / 2 : size * size, V(Scalar(0)));
}

}  // namespace kelman::linear::lanes
