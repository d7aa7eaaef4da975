// SPDX-License-Identifier: BSD-3-Clause
// A cell driven over sequences: what every sweep shares.
//
//     h_k = cell(h_{k-1}, x_k),  y_k = readout(h_k, x_k)                    k = 1..T, for each of N series
//
// Series are cut into blocks of one panel (one or two registers of series), which go through time on their own; the cut
// depends on sizes only, so results are the same for any number of threads. A block that is not full is filled with
// copies of its last series. Shapes: x (N,T,i), h0, c0 (N,h), y (N,T,o), h, c (N,T,h).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kelman/core/field.hpp"
#include "kelman/core/parallel.hpp"
#include "kelman/core/prefetch.hpp"
#include "kelman/core/workspace.hpp"
#include "kelman/rnn/cell.hpp"
#include "kelman/rnn/readout.hpp"

namespace kelman::rnn {

/// What drives the cell. A stride of zero means the same for all.
template <class S>
struct Inputs {
  Index series;
  Index steps;
  Field<const S> x;             // (N,T,i)
  Field<const S> h0;            // (N,1,h)
  Field<const S> c0;            // (N,1,state - h), or null: zeros
  const std::int64_t* lengths;  // (N), or null: all steps

  Index length(Index n) const { return lengths ? std::min(static_cast<Index>(lengths[n]), steps) : steps; }
};

namespace detail {

inline constexpr Index max_chunks = 16;
inline constexpr Index steps_between_checks = 64;
inline constexpr Index chunk_steps = 16;
inline constexpr Index past_caches = Index(1) << 22;  // bytes of a result that is not written through the caches

/// Floating-point operations of one forward pass, roughly.
template <class S>
double operations(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in) {
  const double per_step =
      2.0 * static_cast<double>(cell.weights() + readout.weights()) + 20.0 * static_cast<double>(cell.tape());
  return static_cast<double>(in.series) * static_cast<double>(in.steps) * per_step;
}

/// How N series are cut into blocks, and blocks into chunks whose sums are added in order: by sizes only.
template <class S>
struct Cut {
  Index series, packs, lanes, blocks, chunks;

  explicit Cut(Index n)
      : series(n),
        packs(n <= register_lanes<S> ? 1 : max_packs),
        lanes(packs * register_lanes<S>),
        blocks((n + lanes - 1) / lanes),
        chunks(std::max<Index>(1, std::min(blocks, max_chunks))) {}
  Index first_block(Index chunk) const { return blocks * chunk / chunks; }
};

}  // namespace detail

/// The series in the lanes of one panel: where their rows lie, and which lanes still run.
template <class S>
class Group {
 public:
  static constexpr Index most = max_packs * register_lanes<S>;

  Group(const Inputs<S>& in, Index first, Index packs)
      : packs_(packs), lanes_(packs * register_lanes<S>), last_(in.steps), steps_(in.steps), total_(in.series) {
    for (Index l = 0; l < lanes_; ++l) {
      const bool copy = first + l >= in.series;
      series_[at(l)] = copy ? in.series - 1 : first + l;
      length_[at(l)] = in.length(series_[at(l)]);
      counted_[at(l)] = copy ? 0 : length_[at(l)];
      if (!copy) used_ = l + 1;
      last_ = std::min(last_, length_[at(l)]);
    }
  }

  /// One series in all lanes.
  static Group single(const Inputs<S>& in, Index n, Index packs) {
    Group group(in, n, packs);
    group.series_.fill(n);
    group.length_.fill(in.length(n));
    group.last_ = in.length(n);
    return group;
  }

  Index packs() const { return packs_; }
  Index lanes() const { return lanes_; }
  /// lanes that hold a series and not a copy
  Index used() const { return used_; }
  Index series(Index l) const { return series_[at(l)]; }
  Index length(Index l) const { return length_[at(l)]; }
  /// whether some series has ended before step k
  bool some_ended(Index k) const { return k >= last_; }

  /// panels (steps x cols x L, `step` numbers apart) = rows of `from` at steps first .. first + steps - 1. Numbers that
  /// follow each other in a series are taken a register at a time, also across steps.
  void gather(const Field<const S>& from, Index cols, Index first, Index steps, S* to, Index step) const {
    std::array<const S*, static_cast<std::size_t>(most)> rows{};
    const Index joined = from.time == cols || steps == 1 ? steps : 1;  // steps in one piece
    for (Index k = 0; k < steps; k += joined) {
      for (Index l = 0; l < lanes_; ++l) rows[at(l)] = from.at(series_[at(l)], first + k);
      for (Index p = 0; p < packs_; ++p) {
        const S* const* const own = rows.data() + p * kelman::lanes<V>;
        Place<S> place{to + k * step + p * kelman::lanes<V>, step - cols * lanes_, lanes_, cols};
        V block[V::unit_lanes];
        Index c = 0;
        for (; c + V::unit_lanes <= joined * cols; c += V::unit_lanes) {
          kelman::gather<V>(own, c, V::unit_lanes, block);
#pragma GCC unroll 16
          for (Index q = 0; q < V::unit_lanes; ++q) store(place.next(), block[q]);
        }
        const Index rest = joined * cols - c;
        if (rest > 0) kelman::gather<V>(own, c, rest, block);
        for (Index q = 0; q < rest; ++q) store(place.next(), block[q]);
      }
      if (from.series != 0 && first + k + joined < steps_) {  // what comes next is asked for in time
        const Index next = std::min(joined * cols, (steps_ - first - k - joined) * cols);
        for (Index l = 0; l < used_; ++l) prefetch(rows[at(l)] + joined * cols, next);
      }
    }
  }
  /// the other way; copies write what their series writes
  void scatter(const S* from, Index step, Index cols, Index first, Index steps, const Field<S>& to) const {
    std::array<S*, static_cast<std::size_t>(most)> rows{};
    const Index joined = to.time == cols || steps == 1 ? steps : 1;
    const bool large = joined > 1 && to.series * total_ * static_cast<Index>(sizeof(S)) > detail::past_caches;
    for (Index k = 0; k < steps; k += joined) {
      bool past_caches = large;
      for (Index l = 0; l < lanes_; ++l) {
        rows[at(l)] = to.at(series_[at(l)], first + k);
        past_caches = past_caches && reinterpret_cast<std::uintptr_t>(rows[at(l)]) % 64 == 0;
      }
      for (Index p = 0; p < packs_; ++p) {
        S* const* const own = rows.data() + p * kelman::lanes<V>;
        Place<const S> place{from + k * step + p * kelman::lanes<V>, step - cols * lanes_, lanes_, cols};
        V block[V::unit_lanes];
        Index c = 0;
        for (; c + V::unit_lanes <= joined * cols; c += V::unit_lanes) {
#pragma GCC unroll 16
          for (Index q = 0; q < V::unit_lanes; ++q) block[q] = load<V>(place.next());
          if (past_caches) {
            kelman::scatter<true, V>(block, V::unit_lanes, own, c);
          } else {
            kelman::scatter<false, V>(block, V::unit_lanes, own, c);
          }
        }
        const Index rest = joined * cols - c;
        for (Index q = 0; q < rest; ++q) block[q] = load<V>(place.next());
        if (rest > 0) kelman::scatter<false, V>(block, rest, own, c);
      }
    }
  }

  /// as `scatter`, without the copies: for numbers that a copy does not share with its series
  void scatter_used(const S* from, Index step, Index cols, Index first, Index steps, const Field<S>& to) const {
    if (used_ == lanes_) return scatter(from, step, cols, first, steps, to);
    for (Index l = 0; l < used_; ++l)
      for (Index k = 0; k < steps; ++k)
        for (Index j = 0; j < cols; ++j) to.at(series(l), first + k)[j] = from[k * step + j * lanes_ + l];
  }

  /// Whether no lane is a copy, nor of a series that has ended before step k.
  bool all_run(Index k) const { return k < last_ && used_ == lanes_; }
  /// 1 in the lanes whose series runs at step k, else 0; with `counted` copies do not run.
  void running(Index k, bool counted, S* to) const {
    if (k < last_ && (used_ == lanes_ || !counted)) {
      std::copy_n(ones<S>.data(), lanes_, to);
      return;
    }
    const auto& ends = counted ? counted_ : length_;
    for (Index l = 0; l < lanes_; ++l) to[l] = k < ends[at(l)] ? S(1) : S(0);
  }
  /// Rows of a panel become zero in the lanes that do not run (where `running` is 0).
  void silence(S* panel, Index rows, const S* running) const {
    for (Index p = 0; p < packs_; ++p) {
      const auto runs = load<V>(running + p * kelman::lanes<V>) > V(S(0));
      for (Index r = 0; r < rows; ++r) {
        S* const row = panel + r * lanes_ + p * kelman::lanes<V>;
        store(row, select(runs, load<V>(row), V(S(0))));
      }
    }
  }

  /// NaN (or another number) in the rows of a result past the end of each series.
  void fill_past_end(const Field<S>& to, Index cols, Index steps, S value) const {
    for (Index l = 0; l < used_; ++l)
      for (Index k = length(l); k < steps; ++k) std::fill_n(to.at(series(l), k), cols, value);
  }

 private:
  static std::size_t at(Index l) { return static_cast<std::size_t>(l); }

  using V = Register<S>;

  /// Numbers of panels in the order in which a series has them: column after column, step after step.
  template <class T>
  struct Place {
    T* at;
    Index to_next_step, lanes, cols, col = 0;
    T* next() {
      T* const here = at;
      at += lanes;
      if (++col == cols) {
        col = 0;
        at += to_next_step;
      }
      return here;
    }
  };

  Index packs_, lanes_, used_ = 0, last_, steps_, total_;
  std::array<Index, static_cast<std::size_t>(most)> series_{}, length_{}, counted_{};
};

/// The start of a block: h0, and what a cell carries beyond h from c0.
template <class S>
void gather_start(const Cell<S>& cell, const Inputs<S>& in, const Group<S>& group, S* state) {
  const Index rest = cell.state() - cell.hidden();
  group.gather(in.h0, cell.hidden(), 0, 1, state, 0);
  S* const beyond = state + cell.hidden() * group.lanes();
  if (rest > 0 && in.c0) {
    group.gather(in.c0, rest, 0, 1, beyond, 0);
  } else {
    std::fill_n(beyond, rest * group.lanes(), S(0));
  }
}

/// Inputs of some steps; zeros where a series has ended, whatever lies there.
template <class S>
void gather_inputs(const Cell<S>& cell, const Inputs<S>& in, const Group<S>& group, Index first, Index steps, S* to,
                   Index step) {
  group.gather(in.x, cell.inputs(), first, steps, to, step);
  std::array<S, static_cast<std::size_t>(Group<S>::most)> runs;
  for (Index k = 0; k < steps; ++k) {
    if (!group.some_ended(first + k)) continue;
    group.running(first + k, false, runs.data());
    group.silence(to + k * step, cell.inputs(), runs.data());
  }
}

/// One step; the tape of series that have ended is zero, so that whatever they would have done stays out of the sums.
template <class S>
void run_step(const Cell<S>& cell, const Group<S>& group, Index k, const S* previous, const S* x, S* now) {
  cell.forward(previous, x, now, group.packs());
  if (!group.some_ended(k)) return;
  std::array<S, static_cast<std::size_t>(Group<S>::most)> runs;
  group.running(k, false, runs.data());
  group.silence(now, cell.tape(), runs.data());
}

}  // namespace kelman::rnn
