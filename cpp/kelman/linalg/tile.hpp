// SPDX-License-Identifier: BSD-3-Clause
// Dense products by tiles of registers, straight from row-major memory: nothing is packed, nothing is allocated.
//
//   C = A B,   C = base + A B,   C = base - A B                                            (r×c) = (r×k)(k×c)
//
// A tile of R rows × U registers of C stays in registers while k runs; each step loads U registers of B and broadcasts
// R numbers of A. A may be read by columns (a transposed left factor costs nothing). Columns that do not fill a
// register are computed in one that starts earlier, of which only the new part is kept.
// At the sizes of states (up to some hundred) this beats packed products: the operands are in the first cache levels.
#pragma once

#include <algorithm>

#include "kelman/core/pack.hpp"

namespace kelman::linalg {

/// What becomes of a product: it is the result, or is added to or subtracted from a base (C itself, or another matrix).
enum class Into { set, add, subtract };

/// A matrix of which row i, column k is data[i * row + k * column]: as it is (ld, 1), or transposed (1, ld).
template <class Scalar>
struct Operand {
  const Scalar* data;
  Index row;
  Index column;

  [[nodiscard]] Operand from_row(Index i) const noexcept { return {data + i * row, row, column}; }
};

/// Where a product goes, and the base it is combined with; rows of length `ld` and `base_ld`.
template <class Scalar>
struct Target {
  Into into;
  Scalar* C;
  Index ld;
  const Scalar* base;
  Index base_ld;

  Target(Into into_, Scalar* C_, Index ld_) noexcept : Target(into_, C_, ld_, C_, ld_) {}
  Target(Into into_, Scalar* C_, Index ld_, const Scalar* base_, Index base_ld_) noexcept
      : into(into_), C(C_), ld(ld_), base(base_), base_ld(base_ld_) {}

  [[nodiscard]] Target from(Index i, Index j) const noexcept {
    return {into, C + i * ld + j, ld, base + i * base_ld + j, base_ld};
  }
};

/// Registers of a row of a tile, and its rows: together they fill the register file.
inline constexpr int tile_units = 3;
inline constexpr int tile_rows = register_bytes == 64 ? 8 : 4;

/// One tile: R rows of A by U registers of B, the last of which starts at column `last`; of that one, columns before
/// `fresh` are not stored.                                                                  (R×U L) = (R×k)(k×U L)
template <int R, int U, Real Scalar>
[[gnu::always_inline]] inline void one_tile(Index inner, Operand<Scalar> A, const Scalar* B, Index ldb,
                                            const Target<Scalar>& to, Index last, Index fresh) noexcept {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  constexpr Index L = register_lanes<Scalar>;
  const auto start = [last](int u) { return u + 1 < U ? u * L : last; };
  V sum[R][U];
  for (int r = 0; r < R; ++r) {
    for (int u = 0; u < U; ++u) {
      sum[r][u] = V(Scalar(0));
    }
  }
  for (Index k = 0; k < inner; ++k, A.data += A.column, B += ldb) {
    V b[U];
    for (int u = 0; u < U; ++u) {
      b[u] = load<V>(B + start(u));
    }
    for (int r = 0; r < R; ++r) {
      const V a(A.data[r * A.row]);
      for (int u = 0; u < U; ++u) {
        sum[r][u] = fused(a, b[u], sum[r][u]);
      }
    }
  }
  Scalar kept[R * L];
  const auto combine = [&](auto&& with) {
    for (int r = 0; r < R; ++r) {
      for (int u = 0; u + 1 < U; ++u) {
        store(to.C + r * to.ld + u * L, with(to.base + r * to.base_ld + u * L, sum[r][u]));
      }
      const V value = with(to.base + r * to.base_ld + last, sum[r][U - 1]);
      store(fresh == last ? to.C + r * to.ld + last : kept + r * L, value);
    }
  };
  switch (to.into) {
    case Into::set:
      combine([](const Scalar*, const V& value) { return value; });
      break;
    case Into::add:
      combine([](const Scalar* base, const V& value) { return load<V>(base) + value; });
      break;
    case Into::subtract:
      combine([](const Scalar* base, const V& value) { return load<V>(base) - value; });
      break;
  }
  for (int r = 0; fresh != last && r < R; ++r) {
    std::copy(kept + r * L + (fresh - last), kept + (r + 1) * L, to.C + r * to.ld + fresh);
  }
}

/// R rows of C, columns [0, cols); at least one register of columns.                        (R×c) = (R×k)(k×c)
template <int R, Real Scalar>
void tile_row(Index inner, Index cols, const Operand<Scalar>& A, const Scalar* B, Index ldb,
              const Target<Scalar>& to) noexcept {
  constexpr Index L = register_lanes<Scalar>;
  for (Index j = 0; j < cols;) {
    // three registers; four are two and two, for one alone waits for its own sums
    const Index units = (cols - j + L - 1) / L;
    const Index take = units == 4 ? 2 : std::min<Index>(units, tile_units);
    const Index end = std::min(cols, j + take * L);
    const Index last = end - L - j;
    const Index fresh = (take - 1) * L;
    if (take == 3) {
      one_tile<R, 3>(inner, A, B + j, ldb, to.from(0, j), last, fresh);
    } else if (take == 2) {
      one_tile<R, 2>(inner, A, B + j, ldb, to.from(0, j), last, fresh);
    } else {
      one_tile<R, 1>(inner, A, B + j, ldb, to.from(0, j), last, fresh);
    }
    j = end;
  }
}

/// Rows i to i + count of C.
template <int R, Real Scalar>
void tile_rows_of(Index count, Index inner, Index cols, const Operand<Scalar>& A, const Scalar* B, Index ldb,
                  const Target<Scalar>& to) noexcept {
  if (count == R) {
    tile_row<R>(inner, cols, A, B, ldb, to);
  } else if constexpr (R > 1) {
    tile_rows_of<R - 1>(count, inner, cols, A, B, ldb, to);
  }
}

/// Numbers in the registers that hold `count` of them: row length of a matrix all of whose columns are in whole ones.
template <Real Scalar>
[[nodiscard]] constexpr Index whole_registers(Index count) noexcept {
  constexpr Index L = register_lanes<Scalar>;
  return (count + L - 1) / L * L;
}

/// y += alpha x on whole registers.                                                        (c) += (1)(c)
template <Real Scalar>
inline void axpy_registers(Index count, Scalar alpha, const Scalar* x, Scalar* y) noexcept {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  const V factor(alpha);
  for (Index j = 0; j < count; j += register_lanes<Scalar>) {
    store(y + j, fused(factor, load<V>(x + j), load<V>(y + j)));
  }
}

/// C = (base +-) A B, at least one register of columns. With `lower`, at least the lower triangle of it; entries above
/// become undefined.                                                                        (r×c) = (r×k)(k×c)
template <Real Scalar>
void multiply_tiled(bool lower, Index rows, Index inner, Index cols, const Operand<Scalar>& A, const Scalar* B,
                    Index ldb, const Target<Scalar>& to) noexcept {
  for (Index i = 0; i < rows;) {
    // tiles of nearly equal height
    const Index rest = rows - i;
    const Index tiles = (rest + tile_rows - 1) / tile_rows;
    const Index count = (rest + tiles - 1) / tiles;
    const Index width = lower ? std::min(cols, whole_registers<Scalar>(i + count)) : cols;
    tile_rows_of<tile_rows>(count, inner, width, A.from_row(i), B, ldb, to.from(i, 0));
    i += count;
  }
}

// compiled once, in cpp/instantiate/linalg.cpp
extern template void multiply_tiled(bool, Index, Index, Index, const Operand<double>&, const double*, Index,
                                    const Target<double>&) noexcept;
extern template void multiply_tiled(bool, Index, Index, Index, const Operand<float>&, const float*, Index,
                                    const Target<float>&) noexcept;

}  // namespace kelman::linalg
