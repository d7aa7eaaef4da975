// SPDX-License-Identifier: BSD-3-Clause
// What a group of series reads, as packs: fields over (series, time) turned so that lane s holds series s of the group.
#pragma once

#include "kelman/core/transpose.hpp"
#include "kelman/core/workspace.hpp"
#include "kelman/linear/model.hpp"

namespace kelman::linear::lanes {

/// The series in the lanes of a group. Lanes beyond the last series hold a copy of the first and write nothing.
template <Lanes V>
struct Series {
  static constexpr int W = kelman::lanes<V>;
  Index index[W] = {};
  int count = 0;
};

/// Steps [first, first + steps) of a field with inner arrays of `size` values.                        (steps×size)
template <Lanes V>
void fetch(const Field<const scalar_of<V>>& field, Index size, const Series<V>& series, Index first, Index steps,
           V* to) noexcept {
  using T = scalar_of<V>;
  if (field.shared()) {
    for (Index t = 0; t < steps; ++t) {
      const T* const from = field.at(0, first + t);
      for (Index l = 0; l < size; ++l) {
        to[t * size + l] = V(from[l]);
      }
    }
    return;
  }
  const bool contiguous = field.time == size || steps == 1;
  for (Index t = 0; t < steps; t += contiguous ? steps : 1) {
    const T* rows[Series<V>::W];
    for (int s = 0; s < Series<V>::W; ++s) {
      rows[s] = field.at(series.index[s], first + t);
    }
    gather(rows, Index(0), contiguous ? steps * size : size, to + t * size);
  }
}

/// Asks for the rows of steps [first, first + steps) ahead of time.
template <Lanes V>
void expect(const Field<const scalar_of<V>>& field, Index size, const Series<V>& series, Index first,
            Index steps) noexcept {
#if defined(__GNUC__)
  constexpr Index line = 64 / static_cast<Index>(sizeof(scalar_of<V>));
  for (int s = 0; s < series.count && field.time == size; ++s) {
    const auto* const row = field.at(series.index[s], first);
    for (Index l = 0; l < steps * size; l += line) {
      __builtin_prefetch(row + l);
    }
  }
#endif
}

/// A field in packs: fetched once per group if it is constant in time, else for each chunk.
template <Lanes V>
class Source {
 public:
  using Values = Field<const scalar_of<V>>;

  Source() = default;
  Source(const Values& field, Index size, Index steps, Workspace& memory)
      : field_(field), size_(size), values_(field ? memory.take<V>(size * (field.constant() ? 1 : steps)) : nullptr) {}

  [[nodiscard]] explicit operator bool() const noexcept { return values_ != nullptr; }

  /// At the start of a group.
  void begin(const Series<V>& series) noexcept {
    if (values_ != nullptr && field_.constant()) {
      fetch(field_, size_, series, Index(0), Index(1), values_);
    }
  }

  /// At the start of a chunk of steps.
  void read(const Series<V>& series, Index first, Index steps) noexcept {
    if (values_ != nullptr && !field_.constant()) {
      fetch(field_, size_, series, first, steps, values_);
    }
  }

  /// Values of the chunk's step t, and how far it is to the next.
  [[nodiscard]] const V* at(Index t) const noexcept { return values_ + t * next(); }
  [[nodiscard]] Index next() const noexcept { return field_.constant() ? 0 : size_; }

 private:
  Values field_;
  Index size_ = 0;
  V* values_ = nullptr;
};

/// What drives the means: y = z - c - D u and d = b + B u.
template <Lanes V>
class Drive {
 public:
  using T = scalar_of<V>;

  Drive(const Model<T>& model, const Data<T>& data, Index steps, Workspace& memory)
      : n_(model.dims.n),
        m_(model.dims.m),
        p_(model.dims.p),
        lag_(model.input_lag),
        z_(data.z),
        u_(data.u),
        b_(model.b, n_, steps, memory),
        B_(data.u ? model.B : Field<const T>{}, n_ * p_, steps, memory),
        c_(model.c, m_, steps, memory),
        D_(data.u ? model.D : Field<const T>{}, m_ * p_, steps, memory),
        inputs_(data.u ? memory.take<V>(p_ * steps) : nullptr),
        drive_(b_ || B_ ? memory.take<V>(n_ * steps) : nullptr) {}

  void begin(const Series<V>& series) noexcept {
    b_.begin(series);
    B_.begin(series);
    c_.begin(series);
    D_.begin(series);
  }

  /// y = z - c - D u for some steps, of which `more` follow.                                          (steps×m)
  void measurements(const Series<V>& series, Index first, Index steps, Index more, V* y) noexcept {
    fetch(z_, m_, series, first, steps, y);
    if (!z_.shared()) {
      expect(z_, m_, series, first + steps, more);
    }
    if (c_) {
      c_.read(series, first, steps);
      for (Index t = 0; t < steps; ++t) {
        for (Index j = 0; j < m_; ++j) {
          y[t * m_ + j] -= c_.at(t)[j];
        }
      }
    }
    if (D_) {
      D_.read(series, first, steps);
      fetch(u_, p_, series, first, steps, inputs_);
      for (Index t = 0; t < steps; ++t) {
        subtract(D_.at(t), inputs_ + t * p_, y + t * m_);
      }
    }
  }

  /// d = b + B u into each of some steps, or null if there is none. The first step may be 0 only if nothing drives the
  /// state into it.                                                               (steps×n)
  [[nodiscard]] const V* drive(const Series<V>& series, Index first, Index steps) noexcept {
    if (drive_ == nullptr) {
      return nullptr;
    }
    b_.read(series, first, steps);
    for (Index e = 0; e < steps * n_; ++e) {
      drive_[e] = b_ ? b_.at(e / n_)[e % n_] : V(T(0));
    }
    if (B_) {
      B_.read(series, first, steps);
      const Index skip = lag_ && first == 0 ? 1 : 0;
      const Index from = first + skip - (lag_ ? 1 : 0);
      fetch(u_, p_, series, from, steps - skip, inputs_ + skip * p_);
      for (Index t = skip; t < steps; ++t) {
        add(B_.at(t), inputs_ + t * p_, drive_ + t * n_);
      }
    }
    return drive_;
  }

 private:
  void subtract(const V* D, const V* u, V* y) const noexcept {
    for (Index j = 0; j < m_; ++j) {
      for (Index l = 0; l < p_; ++l) {
        y[j] = fused(-D[j * p_ + l], u[l], y[j]);
      }
    }
  }

  void add(const V* B, const V* u, V* d) const noexcept {
    for (Index i = 0; i < n_; ++i) {
      for (Index l = 0; l < p_; ++l) {
        d[i] = fused(B[i * p_ + l], u[l], d[i]);
      }
    }
  }

  Index n_;
  Index m_;
  Index p_;
  bool lag_;
  Field<const T> z_;
  Field<const T> u_;
  Source<V> b_;
  Source<V> B_;
  Source<V> c_;
  Source<V> D_;
  V* inputs_;
  V* drive_;
};

}  // namespace kelman::linear::lanes
