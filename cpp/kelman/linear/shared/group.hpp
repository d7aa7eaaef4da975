// SPDX-License-Identifier: BSD-3-Clause
// One group of series, side by side in packs, on its way through the steps of a window.
//
//   z (rows of W series) -> registers, transposed -> y = L⁻¹(z - c - D u) -> recursion.hpp -> transposed -> results
//
// A few steps at a time, so that everything in between stays in the first cache.
#pragma once

#include <limits>

#include "kelman/linear/mean.hpp"
#include "kelman/linear/shared/columns.hpp"
#include "kelman/linear/shared/recursion.hpp"

namespace kelman::linear::shared {

/// Results beyond this size are written past the caches.
inline constexpr Index cached_bytes = Index(1) << 24;

/// Whether the results of all series are too large for the caches.
template <Real Scalar>
[[nodiscard]] bool overflows_caches(const Field<Scalar>& field, const Dims& dims) noexcept {
  return field && dims.N * dims.T * field.time * static_cast<Index>(sizeof(Scalar)) > cached_bytes;
}

/// Steps per chunk: what is read of one series is two cache lines, and packs fill whole registers.
[[nodiscard]] inline Index chunk_steps(const Dims& dims) noexcept { return dims.m == 1 ? 16 : 8; }

/// Fills what the recursion reads of a chunk.
template <class V>
class Reader {
 public:
  using Scalar = scalar_of<V>;

  [[gnu::noinline]] Reader(const Steps<Scalar>& steps, Workspace& memory)
      : steps_(steps),
        n_(steps.problem().model.dims.n),
        m_(steps.problem().model.dims.m),
        p_(steps.problem().model.dims.p),
        span_(chunk_steps(steps.problem().model.dims)),
        y_(memory.take<V>(span_ * m_)),
        mixed_(memory.take<V>(span_ * m_)),
        drive_(steps.drives() && !steps.drive_shared() ? memory.take<V>(span_ * n_) : nullptr),
        u_(drive_ != nullptr || !steps.offset_shared() ? memory.take<V>(std::max<Index>(p_, 1)) : nullptr),
        row_(memory.take<Scalar>(std::max(n_, m_))) {}

  /// Steps of a whole chunk.
  [[nodiscard]] Index span() const noexcept { return span_; }

  /// Reads steps [first, first + count) and points the chunk at them. Lanes that have a value where the tape takes it
  /// for missing become NaN in `chunk.unsound`.
  void read(const Members<kelman::lanes<V>>& members, Index first, Index count, Chunk<V>& chunk) noexcept {
    const auto& data = steps_.problem().data;
    shared::read<V>(data.z, members, first, count, m_, y_);
    find_surplus(first, count, *chunk.unsound);
    expect<V>(data.z, members, std::min(first + 2 * span_, steps_.problem().model.dims.T - count), count);
    if (steps_.corrects()) {
      correct(members, first, count);
    }
    if (drive_ != nullptr) {
      drive(members, first, count);
    }
    chunk.first = first;
    chunk.count = count;
    chunk.drive = drive_;
    chunk.y = steps_.mixed() ? decorrelated(first, count) : y_;
  }

  /// z - c - D u of the chunk that was read, in the user's components (count×m).
  [[nodiscard]] const V* corrected() const noexcept { return y_; }

 private:
  void find_surplus(Index first, Index count, V& unsound) const noexcept {
    for (Index c = 0; c < count; ++c) {
      const Slot<Scalar> slot = steps_.slot(first + c);
      Index e = 0;
      for (Index j = 0; slot.head->count < m_ && j < m_; ++j) {
        if (e < slot.head->count && slot.component[e] == j) {
          ++e;
        } else {
          unsound = select(is_nan(y_[c * m_ + j]), unsound, V(std::numeric_limits<Scalar>::quiet_NaN()));
        }
      }
    }
  }

  /// y -= c + D u                                                                          (m) -= (m) + (m×p)(p)
  [[gnu::noinline]] void correct(const Members<kelman::lanes<V>>& members, Index first, Index count) noexcept {
    const auto& problem = steps_.problem();
    const auto& model = problem.model;
    for (Index c = 0; c < count; ++c) {
      const Index k = first + c;
      V* const y = y_ + c * m_;
      if (const Scalar* const offset = steps_.offset(k)) {
        for (Index j = 0; j < m_; ++j) {
          y[j] -= V(offset[j]);
        }
      } else if (model.c.shared() && model.D.shared()) {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          input(problem.data.direct_input(members.of[l], k), l);
        }
        for (Index j = 0; j < m_; ++j) {
          if (model.c) {
            y[j] -= V(model.c.at(0, k)[j]);
          }
          for (Index l = 0; l < p_; ++l) {
            y[j] = fused(-model.D.at(0, k)[j * p_ + l], u_[l], y[j]);
          }
        }
      } else {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          steps_.offset_of(members.of[l], k, row_);
          for (Index j = 0; j < m_; ++j) {
            set_lane(y[j], l, lane(y[j], l) - row_[j]);
          }
        }
      }
    }
  }

  /// b + B u                                                                                  (n) = (n) + (n×p)(p)
  [[gnu::noinline]] void drive(const Members<kelman::lanes<V>>& members, Index first, Index count) noexcept {
    const auto& problem = steps_.problem();
    const auto& model = problem.model;
    for (Index c = 0; c < count; ++c) {
      const Index k = first + c;
      V* const out = drive_ + c * n_;
      if (model.b.shared() && model.B.shared()) {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          input(problem.data.driving_input(model.input_lag, members.of[l], k), l);
        }
        for (Index i = 0; i < n_; ++i) {
          out[i] = V(model.b ? model.b.at(0, k)[i] : Scalar(0));
          for (Index l = 0; l < p_; ++l) {
            out[i] = fused(model.B.at(0, k)[i * p_ + l], u_[l], out[i]);
          }
        }
      } else {
        for (int l = 0; l < kelman::lanes<V>; ++l) {
          steps_.drive_of(members.of[l], k, row_);
          for (Index i = 0; i < n_; ++i) {
            set_lane(out[i], l, row_[i]);
          }
        }
      }
    }
  }

  void input(const Scalar* u, int at) noexcept {
    for (Index l = 0; l < p_; ++l) {
      set_lane(u_[l], at, u != nullptr ? u[l] : Scalar(0));
    }
  }

  /// L⁻¹ y where a slot has an L, at the places of z.
  [[nodiscard, gnu::noinline]] const V* decorrelated(Index first, Index count) noexcept {
    std::copy_n(y_, count * m_, mixed_);
    for (Index c = 0; c < count; ++c) {
      const Slot<Scalar> slot = steps_.slot(first + c);
      V* const y = mixed_ + c * m_;
      for (Index e = 1; slot.head->mixed && e < slot.head->count; ++e) {
        for (Index l = 0; l < e; ++l) {
          V& to = y[slot.component[e]];
          to = fused(-slot.mix[e * slot.head->count + l], y[slot.component[l]], to);
        }
      }
    }
    return mixed_;
  }

  const Steps<Scalar>& steps_;
  Index n_;
  Index m_;
  Index p_;
  Index span_;
  V* y_;
  V* mixed_;
  V* drive_;
  V* u_;
  Scalar* row_;
};

/// The filter's means of one group; one object per thread.
template <class V>
class GroupFilter {
 public:
  using Scalar = scalar_of<V>;
  using Lane = Members<kelman::lanes<V>>;

  [[gnu::noinline]] GroupFilter(const Steps<Scalar>& steps, const FilterResult<Scalar>& result, Workspace& memory)
      : steps_(steps),
        n_(steps.problem().model.dims.n),
        m_(steps.problem().model.dims.m),
        s_(steps.problem().model.size()),
        recursion_(recursion_for<V>(steps.problem().model)),
        reader_(steps, memory),
        mean_(sink(result.mean, n_, memory)),
        gained_(sink(result.loglik_obs, 1, memory)),
        predicted_(sink(result.predicted_mean, n_, memory)),
        innovation_(sink(result.innovation, m_, memory)),
        x_(memory.take<V>(s_)),
        next_(memory.take<V>(n_)) {}

  /// Takes the members through steps [first, last). `from` holds their means (carried, by series) and `to` gets them
  /// (s), `quadratic` the sum v²/f, lane by lane. Returns NaN in the lanes where some mean was not finite.
  V run(const Lane& members, Index first, Index last, const Field<const Scalar>& from, Index carried,
        const Field<Scalar>& to, V& quadratic) noexcept {
    read<V>(from, members, Index(0), Index(1), carried, x_);
    std::fill(x_ + carried, x_ + s_, V(Scalar(0)));
    V unsound(Scalar(0));
    Chunk<V> chunk(steps_, x_, next_, quadratic, unsound);
    mean_.open(members, first);
    gained_.open(members, first);
    predicted_.open(members, first);
    innovation_.open(members, first);
    for (Index k = first; k < last; k += reader_.span()) {
      const Index count = std::min(reader_.span(), last - k);
      reader_.read(members, k, count, chunk);
      chunk.mean = mean_.room();
      chunk.gained = gained_.room();
      chunk.predicted = predicted_.room();
      recursion_(chunk);
      if (V* const out = innovation_.room()) {
        innovate(k, count, chunk.predicted, out);
      }
      mean_.flush(count);
      gained_.flush(count);
      predicted_.flush(count);
      innovation_.flush(count);
    }
    mean_.close();
    gained_.close();
    predicted_.close();
    innovation_.close();
    Scalar* rows[kelman::lanes<V>];
    for (int l = 0; l < kelman::lanes<V>; ++l) {
      rows[l] = to.at(members.of[l]);
    }
    scatter(x_, s_, rows, Index(0));
    return unsound;
  }

 private:
  [[nodiscard]] Sink<V> sink(const Field<Scalar>& field, Index width, Workspace& memory) const {
    return Sink<V>(field, width, chunk_steps(steps_.problem().model.dims),
                   overflows_caches(field, steps_.problem().model.dims), memory);
  }

  /// z - c - D u - H x before the measurement, in the user's components                          (m) = (m) - (m×n)(n)
  [[gnu::noinline]] void innovate(Index first, Index count, const V* predicted, V* out) const noexcept {
    for (Index c = 0; c < count; ++c) {
      const Scalar* const H = steps_.problem().model.H.at(0, first + c);
      for (Index j = 0; j < m_; ++j) {
        V value = reader_.corrected()[c * m_ + j];
        for (Index i = 0; i < n_; ++i) {
          value = fused(-H[j * n_ + i], predicted[c * n_ + i], value);
        }
        out[c * m_ + j] = value;
      }
    }
  }

  const Steps<Scalar>& steps_;
  Index n_;
  Index m_;
  Index s_;
  void (*recursion_)(const Chunk<V>&) noexcept;
  Reader<V> reader_;
  Sink<V> mean_;
  Sink<V> gained_;
  Sink<V> predicted_;
  Sink<V> innovation_;
  V* x_;
  V* next_;
};

}  // namespace kelman::linear::shared
