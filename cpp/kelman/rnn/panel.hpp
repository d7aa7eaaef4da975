// SPDX-License-Identifier: BSD-3-Clause
// Panels: one or two registers of series side by side, and the three products that recurrent networks are made of.
//
// A panel is a matrix of `rows` x L numbers, row after row: number j of L series is contiguous. L is `packs` (1 or 2)
// times what a register holds. Weights are numbers that are the same for all lanes.
//
//     affine    Y (rows x L) = c + M1 X1 + M2 X2 + ...   tiles of rows are held in registers while the columns of all M
//                                                        go by; an entry's sum runs in the order written here
//     outer     G (rows x cols) += sum over steps and lanes of E_r X_c      tiles of G in registers over all steps;
//                                                        columns may belong to several arrays
//     diagonal  the same where r = c only
//
// Neither tiles nor packs change the order in which an entry of `affine` is summed: what a series gives depends neither
// on its place nor on its neighbours, to the bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "kelman/core/pack.hpp"
#include "kelman/core/transpose.hpp"

namespace kelman::rnn {

template <Real S>
using Register = Pack<S, register_lanes<S>>;

inline constexpr Index max_packs = 2;

/// Numbers between a panel and the one of the next step: of panels of many rows one cache line more than they have, or
/// their rows would fall on the same few places of the first cache at every step.
template <Real S>
constexpr Index step_of(Index rows, Index packs) {
  return rows * packs * register_lanes<S> + (rows > 4 ? 64 / static_cast<Index>(sizeof(S)) : 0);
}

namespace detail {

/// Most rows of a tile of `affine`: its accumulators (two registers a row) fill most of the register file.
inline constexpr int tile_rows = register_bytes == 64 ? 12 : 6;
/// Most rows and columns of a tile of `outer`.
inline constexpr int outer_rows = register_bytes == 64 ? 4 : 3;
inline constexpr int outer_cols = register_bytes == 64 ? 6 : 4;
/// Of the rows that `outer` holds while all columns go by.
inline constexpr Index outer_bytes = Index(1) << 15;

/// `count` things in the fewest groups of at most `most`, the first of which have one more than the others.
struct Groups {
  Index groups, least, more;
  Groups(Index n, Index most) : groups((n + most - 1) / most), least(n), more(0) {
    if (groups < 2) return;  // divisions are slow
    least = static_cast<std::int32_t>(n) / static_cast<std::int32_t>(groups);
    more = n - groups * least;
  }
  Index first(Index g) const { return g * least + std::min(g, more); }
  int size(Index g) const { return static_cast<int>(g < more ? least + 1 : least); }
};

}  // namespace detail

/// A matrix of weights laid out for `affine`: tile of rows after tile of rows, column after column within a tile.
template <class S>
class Product {
 public:
  Product() = default;
  /// Entry (r, c) is from[r * row_step + c * col_step]: a matrix by rows, its transpose, or a part of either.
  Product(const S* from, Index rows, Index cols, Index row_step, Index col_step)
      : rows_(rows), cols_(cols), numbers_(static_cast<std::size_t>(rows * cols)) {
    S* to = numbers_.data();
    const detail::Groups tiles(rows, detail::tile_rows);
    for (Index t = 0; t < tiles.groups; ++t)
      for (Index c = 0; c < cols; ++c)
        for (Index r = tiles.first(t); r < tiles.first(t + 1); ++r) *to++ = from[r * row_step + c * col_step];
  }
  static Product plain(const S* from, Index rows, Index cols) { return {from, rows, cols, cols, 1}; }
  /// of a matrix `rows` x `cols` by rows; the product has `cols` rows
  static Product transposed(const S* from, Index rows, Index cols) { return {from, cols, rows, 1, cols}; }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool empty() const { return numbers_.empty(); }
  /// The tile that begins with this row.
  const S* tile(Index first_row) const { return numbers_.data() + first_row * cols_; }

 private:
  Index rows_ = 0, cols_ = 0;
  std::vector<S> numbers_;
};

/// One term of `affine`: M X. A product without numbers adds nothing.
template <class S>
struct Term {
  const Product<S>* weights;
  const S* panel;
};

/// What `affine` adds its terms to: nothing, a number for each row, or what is there.
template <class S>
struct From {
  const S* offsets = nullptr;  // (rows)
  const S* panel = nullptr;    // (rows x L)
};

namespace detail {

template <class S, int packs, int rows>
void affine_tile(S* to, const S* offsets, const S* start, const Term<S>* terms, std::size_t count, Index first) {
  using V = Register<S>;
  constexpr Index width = register_lanes<S>;
  V sum[rows][packs];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < packs; ++p) {
      if (start != nullptr) {
        sum[r][p] = load<V>(start + (r * packs + p) * width);
      } else {
        sum[r][p] = V(offsets != nullptr ? offsets[r] : S(0));
      }
    }
  }
  for (std::size_t term = 0; term < count; ++term) {
    const Product<S>& weights = *terms[term].weights;
    const S* w = weights.tile(first);
    const S* x = terms[term].panel;
    for (Index c = 0; c < weights.cols(); ++c, w += rows, x += packs * width) {
      V column[packs];
#pragma GCC unroll 2
      for (int p = 0; p < packs; ++p) column[p] = load<V>(x + p * width);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (int p = 0; p < packs; ++p) sum[r][p] = fused(w[r], column[p], sum[r][p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < packs; ++p) store(to + (r * packs + p) * width, sum[r][p]);
  }
}

template <class S, int packs>
inline constexpr auto affine_tiles = []<int... k>(std::integer_sequence<int, k...>) {
  return std::array{&affine_tile<S, packs, k + 1>...};
}(std::make_integer_sequence<int, tile_rows>{});

/// out[k] = the sum over the lanes of sums[k].
template <class V, int n>
void lane_sums(const V (&sums)[n], scalar_of<V>* out) {
  using T = scalar_of<V>;
#ifdef KELMAN_PORTABLE_PACK
  for (int k = 0; k < n; ++k) {
    T part[lanes<V>];
    store(part, sums[k]);
    for (int half = lanes<V> / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) part[l] += part[l + half];
    out[k] = part[0];
  }
#else
  using U = typename V::Unit;
  constexpr int L = V::unit_lanes;
  static_assert(V::units == 1);
#pragma GCC unroll 16
  for (int first = 0; first < n; first += L) {
    U block[L];
#pragma GCC unroll 16
    for (int l = 0; l < L; ++l) block[l] = first + l < n ? sums[first + l].v[0] : U{};
    unit::transpose<T>(block);
#pragma GCC unroll 4
    for (int half = L / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
      for (int l = 0; l < half; ++l) block[l] = block[l] + block[l + half];
    }
    std::memcpy(out + first, &block[0], static_cast<std::size_t>(std::min(L, n - first)) * sizeof(T));
  }
#endif
}

}  // namespace detail

/// Rows of a panel at successive steps: row r at step t begins at data + t * step + r * L.
template <class S>
struct Rows {
  const S* data;
  Index step;
  Rows from(Index row, Index lanes) const { return {data + row * lanes, step}; }
};

/// Columns of `outer` that belong to one array: to[r * row + c].
struct Sums {
  Index cols;
  double* to;
  Index row;
};

namespace detail {

/// Where a column goes: to[r * row].
struct Column {
  double* to;
  Index row;
};

template <class S, int rows, int cols>
void outer_tile(Rows<S> e, Rows<S> x, Index steps, Index packs, const Column* to, Index first_row) {
  using V = Register<S>;
  constexpr Index width = register_lanes<S>;
  const Index row = packs * width;
  V sums[rows * cols];
#pragma GCC unroll 32
  for (int k = 0; k < rows * cols; ++k) sums[k] = V(S(0));
  for (Index t = 0; t < steps; ++t, e.data += e.step, x.data += x.step) {
    for (Index p = 0; p < packs; ++p) {
      V error[rows];
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) error[r] = load<V>(e.data + r * row + p * width);
#pragma GCC unroll 8
      for (int c = 0; c < cols; ++c) {
        const V value = load<V>(x.data + c * row + p * width);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) sums[r * cols + c] = fused(error[r], value, sums[r * cols + c]);
      }
    }
  }
  S out[rows * cols];
  lane_sums(sums, out);
  for (int c = 0; c < cols; ++c)
    for (int r = 0; r < rows; ++r) to[c].to[(first_row + r) * to[c].row] += static_cast<double>(out[r * cols + c]);
}

template <class S>
using OuterTile = void (*)(Rows<S>, Rows<S>, Index, Index, const Column*, Index);

template <class S>
inline constexpr auto outer_tiles = []<int... k>(std::integer_sequence<int, k...>) {
  return std::array{&outer_tile<S, k / outer_cols + 1, k % outer_cols + 1>...};
}(std::make_integer_sequence<int, outer_rows * outer_cols>{});

}  // namespace detail

/// to (rows x L) = from + M1 X1 + M2 X2 + ...; every M has the same number of rows. `to` may be `from.panel`.
template <class S>
void affine(S* to, Index rows, Index packs, From<S> from, std::initializer_list<Term<S>> terms) {
  const detail::Groups tiles(rows, detail::tile_rows);
  const Index row = packs * register_lanes<S>;
  const auto& run = packs == 1 ? detail::affine_tiles<S, 1> : detail::affine_tiles<S, 2>;
  for (Index t = 0; t < tiles.groups; ++t) {
    const Index first = tiles.first(t);
    run[static_cast<std::size_t>(tiles.size(t) - 1)](
        to + first * row, from.offsets == nullptr ? nullptr : from.offsets + first,
        from.panel == nullptr ? nullptr : from.panel + first * row, terms.begin(), terms.size(), first);
  }
}

/// Adds the sums over steps and lanes of E_r X_c, where the columns of X are those of one array after another.
template <class S>
void outer(Rows<S> e, Index rows, Rows<S> x, Index steps, Index packs, std::initializer_list<Sums> parts) {
  Index cols = 0;
  for (const Sums& part : parts) cols += part.cols;
  if (rows == 0 || cols == 0) return;
  const detail::Groups down(rows, detail::outer_rows), across(cols, detail::outer_cols);
  const Index lanes = packs * register_lanes<S>;
  // some groups of rows, for which the columns go by, stay in the first cache
  const Index bytes = steps * lanes * detail::outer_rows * static_cast<Index>(sizeof(S));
  const Index together = std::max<Index>(1, detail::outer_bytes / std::max<Index>(1, bytes));
  for (Index begin = 0; begin < down.groups; begin += together) {
    const Sums* part = parts.begin();
    Index col = 0;  // of this part
    for (Index j = 0; j < across.groups; ++j) {
      std::array<detail::Column, detail::outer_cols> to;
      for (int c = 0; c < across.size(j); ++c, ++col) {
        while (col == part->cols) {
          ++part;
          col = 0;
        }
        to[static_cast<std::size_t>(c)] = {part->to + col, part->row};
      }
      for (Index i = begin; i < std::min(begin + together, down.groups); ++i) {
        const auto tile = static_cast<std::size_t>((down.size(i) - 1) * detail::outer_cols + across.size(j) - 1);
        detail::outer_tiles<S>[tile](e.from(down.first(i), lanes), x.from(across.first(j), lanes), steps, packs,
                                     to.data(), down.first(i));
      }
    }
  }
}

/// A panel row of ones.
template <class S>
inline constexpr std::array<S, static_cast<std::size_t>(max_packs* register_lanes<S>)> ones = [] {
  std::array<S, static_cast<std::size_t>(max_packs * register_lanes<S>)> row{};
  for (S& one : row) one = S(1);
  return row;
}();

/// to[r] += sum over steps and lanes of E_r X_r.
template <class S>
void diagonal(Rows<S> e, Index rows, Rows<S> x, Index steps, Index packs, double* to) {
  using V = Register<S>;
  constexpr Index width = register_lanes<S>;
  const Index lanes = packs * width;
  constexpr int most = 4;
  for (Index first = 0; first < rows; first += most) {
    const int count = static_cast<int>(std::min<Index>(most, rows - first));
    V sums[most] = {V(S(0)), V(S(0)), V(S(0)), V(S(0))};
    for (Index t = 0; t < steps; ++t) {
      for (int r = 0; r < count; ++r) {
        const Index at = t * e.step + (first + r) * lanes;
        for (Index p = 0; p < packs; ++p) {
          const V value = load<V>(x.data + t * x.step + (first + r) * lanes + p * width);
          sums[r] = fused(load<V>(e.data + at + p * width), value, sums[r]);
        }
      }
    }
    S out[most];
    detail::lane_sums(sums, out);
    for (int r = 0; r < count; ++r) to[first + r] += static_cast<double>(out[r]);
  }
}

}  // namespace kelman::rnn
