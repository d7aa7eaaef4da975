// SPDX-License-Identifier: BSD-3-Clause
// Long short-term memory, gates stacked by rows in the order i, f, g, o (PyTorch's), . = entry by entry:
//
//     i = sig(W_i x + U_i h- + b_i + P_i . c-)    f = sig(W_f x + U_f h- + b_f + P_f . c-)    g = tanh(W_g x + U_g h- +
//     b_g) c = f . c- + i . g        o = sig(W_o x + U_o h- + b_o + P_o . c)        t = tanh(c)        h = o . t
//
// Backward, with dh = dL/dh, dc = dL/dc and e_g the error of a gate's pre-activation:
//     e_o = dh . t . o . (1 - o)         dc += dh . o . (1 - t^2) + P_o . e_o
//     e_i = dc . g . i . (1 - i)         e_f = dc . c- . f . (1 - f)         e_g = dc . i . (1 - g^2)
//     dL/dh- = U' e                      dL/dc- = dc . f + P_i . e_i + P_f . e_f
// Shapes: U (4h,h), W (4h,i), b (4h), peepholes P (3,h) of i, f, o, or none. State: h, c. Tape: h, c, i, f, g, o, t.
// Reference: Hochreiter and Schmidhuber, Neural Computation 9 (1997); Gers, Schraudolph and Schmidhuber, JMLR 3 (2002).
#pragma once

#include "kelman/rnn/cell.hpp"

namespace kelman::rnn::cells {

template <Real S>
class Lstm final : public Cell<S> {
 public:
  /// P may be null.
  struct Weights {
    Index hidden, inputs;
    const S *U, *W, *b, *P;

    Index size() const { return 4 * hidden * (hidden + inputs + 1) + (P ? 3 * hidden : 0); }
  };

  explicit Lstm(const Weights& w)
      : Cell<S>({w.inputs, w.hidden, 2 * w.hidden, 7 * w.hidden, 4 * w.hidden, w.size()}),
        w_(w),
        b_(w.b),
        P_(w.P),
        U_(Product<S>::plain(w.U, 4 * w.hidden, w.hidden)),
        W_(Product<S>::plain(w.W, 4 * w.hidden, w.inputs)),
        U_back_(Product<S>::transposed(w.U, 4 * w.hidden, w.hidden)),
        W_back_(Product<S>::transposed(w.W, 4 * w.hidden, w.inputs)) {}

  void forward(const S* previous, const S* x, S* now, Index packs) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    affine<S>(now + 2 * size, 4 * h, packs, {b_}, {{&U_, previous}, {&W_, x}});
    step(previous + size, now, size, P_ != nullptr, [&](auto&& body) { each_row(packs, body); });
  }

  void backward(const S* previous, const S* now, S* carried, S* errors, Index packs, Term<S> more) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    const Tape<const S> at(now, size);
    const S* c_was = previous + size;
    S *e_i = errors, *e_f = errors + size, *e_g = errors + 2 * size, *e_o = errors + 3 * size;
    const V one(S(1));
    each_row(packs, [&](Index k, const Peepholes& peep) {
      const V i = load<V>(at.i + k), f = load<V>(at.f + k), g = load<V>(at.g + k), o = load<V>(at.o + k);
      const V t = load<V>(at.t + k), dh = load<V>(carried + k);
      const V error_o = dh * t * o * (one - o);
      const V dc = fused(peep.o, error_o, fused(dh * o, one - t * t, load<V>(carried + size + k)));
      const V error_i = dc * g * i * (one - i);
      const V error_f = dc * load<V>(c_was + k) * f * (one - f);
      store(e_i + k, error_i);
      store(e_f + k, error_f);
      store(e_g + k, dc * i * (one - g * g));
      store(e_o + k, error_o);
      store(carried + size + k, fused(peep.i, error_i, fused(peep.f, error_f, dc * f)));
    });
    affine<S>(carried, h, packs, {}, {{&U_back_, errors}, more});
  }

  void input_gradient(const S* errors, S* dx, Index packs) const override {
    affine<S>(dx, this->inputs(), packs, {}, {{&W_back_, errors}});
  }

  void add_gradient(const Span<S>& span, double* to) const override {
    const Index h = this->hidden(), i = this->inputs(), L = span.lanes(), steps = span.steps, packs = span.packs;
    double *const W = to + 4 * h * h, *const b = W + 4 * h * i;
    outer(span.errors, 4 * h, span.x, steps, packs, {{i, W, i}, {1, b, 1}, {h, to, h}});
    if (P_ == nullptr) return;
    to += 4 * h * (h + i + 1);
    diagonal(span.errors, h, span.previous.from(h, L), steps, packs, to);
    diagonal(span.errors.from(h, L), h, span.previous.from(h, L), steps, packs, to + h);
    diagonal(span.errors.from(3 * h, L), h, span.now.from(h, L), steps, packs, to + 2 * h);
  }

  void tangent(const S* seed, const S* previous, const S* previous_dot, const S* x_dot, const S* now, S* now_dot,
               Index packs) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    const Tape<const S> at(now, size);
    const Tape<S> dot(now_dot, size);
    const V one(S(1));
    affine<S>(dot.i, 4 * h, packs, {nullptr, seed}, {{&U_, previous_dot}, optional_term(W_, x_dot, none_)});
    each_row(packs, [&](Index k, const Peepholes& peep) {
      const V i = load<V>(at.i + k), f = load<V>(at.f + k), g = load<V>(at.g + k), o = load<V>(at.o + k);
      const V t = load<V>(at.t + k), was = load<V>(previous + size + k), was_dot = load<V>(previous_dot + size + k);
      const V i_dot = fused(peep.i, was_dot, load<V>(dot.i + k)) * i * (one - i);
      const V f_dot = fused(peep.f, was_dot, load<V>(dot.f + k)) * f * (one - f);
      const V g_dot = load<V>(dot.g + k) * (one - g * g);
      const V c_dot = f_dot * was + f * was_dot + i_dot * g + i * g_dot;
      const V o_dot = fused(peep.o, c_dot, load<V>(dot.o + k)) * o * (one - o);
      store(dot.c + k, c_dot);
      store(now_dot + k, o_dot * t + o * (one - t * t) * c_dot);
    });
  }

  void seed_along(const Cell<S>& direction, const S* previous, const S* x, const S* now, S* seed,
                  Index packs) const override {
    const auto& along = static_cast<const Lstm&>(direction);
    const Index h = this->hidden(), size = h * this->lanes(packs);
    affine<S>(seed, 4 * h, packs, {along.b_}, {{&along.U_, previous}, {&along.W_, x}});
    if (along.P_ == nullptr) return;
    along.each_row(packs, [&](Index k, const Peepholes& peep) {
      const V was = load<V>(previous + size + k), c = load<V>(now + size + k);
      store(seed + k, fused(peep.i, was, load<V>(seed + k)));
      store(seed + size + k, fused(peep.f, was, load<V>(seed + size + k)));
      store(seed + 3 * size + k, fused(peep.o, c, load<V>(seed + 3 * size + k)));
    });
  }

  std::vector<Entry> entries() const override {
    const Index h = this->hidden(), i = this->inputs();
    std::vector<Entry> all;
    append_matrix(all, 0, 4 * h, h, Entry::Where::previous);
    append_matrix(all, 0, 4 * h, i, Entry::Where::input);
    append_diagonal(all, 0, 4 * h, Entry::Where::one);
    if (P_ != nullptr) {
      append_diagonal(all, 0, 2 * h, Entry::Where::previous, h);
      for (Index j = 0; j < h; ++j)
        all[all.size() - static_cast<std::size_t>(h - j)].at = h + j;  // f sees c- as i does
      append_diagonal(all, 3 * h, h, Entry::Where::tape, h);
    }
    return all;
  }

  std::unique_ptr<const SingleStep<S>> single() const override { return std::make_unique<Single>(*this); }

 private:
  using V = Register<S>;

  template <class T>
  struct Tape {
    T *c, *i, *f, *g, *o, *t;
    Tape(T* at, Index size)
        : c(at + size), i(at + 2 * size), f(at + 3 * size), g(at + 4 * size), o(at + 5 * size), t(at + 6 * size) {}
  };

  /// Of one row; zero where there are none, which changes no finite number.
  struct Peepholes {
    V i, f, o;
  };

  /// The step from the sums in the rows of the gates; with peepholes each(body) calls body(k, peepholes) for every
  /// register k.
  template <class Each>
  static void step(const S* c_was, S* now, Index size, bool peepholes, Each&& each) {
    const Tape<S> at(now, size);
    if (peepholes)
      each([&](Index k, const Peepholes& peep) {
        const V was = load<V>(c_was + k);
        store(at.i + k, fused(peep.i, was, load<V>(at.i + k)));
        store(at.f + k, fused(peep.f, was, load<V>(at.f + k)));
      });
    for (Index first = 0; first < size; first += block) {  // a block of all gates stays in the first cache
      const Index n = std::min(block, size - first);
      S *const i = at.i + first, *const f = at.f + first, *const g = at.g + first, *const c = at.c + first;
      activate(activation_of<Sigmoid>, i, n);
      activate(activation_of<Sigmoid>, f, n);
      activate(activation_of<Tanh>, g, n);
      each_pack(
          n,
          [](const auto& in, const auto& keep, const auto& fresh, const auto& was) {
            return fused(keep, was, in * fresh);
          },
          c, read(i), read(f), read(g), c_was + first);
      if (!peepholes) close(at, now, first, n);
    }
    if (!peepholes) return;
    each([&](Index k, const Peepholes& peep) { store(at.o + k, fused(peep.o, load<V>(at.c + k), load<V>(at.o + k))); });
    close(at, now, 0, size);
  }
  /// From c and the sum of the output gate to h.
  static void close(const Tape<S>& at, S* now, Index first, Index n) {
    S *const o = at.o + first, *const t = at.t + first;
    activate(activation_of<Sigmoid>, o, n);
    std::copy_n(at.c + first, n, t);
    activate(activation_of<Tanh>, t, n);
    each_pack(n, [](const auto& gate, const auto& tanh_c) { return gate * tanh_c; }, now + first, read(o), read(t));
  }
  static const S* read(const S* p) { return p; }
  static constexpr Index block = 512;

  class Single final : public SingleStep<S> {
   public:
    explicit Single(const Lstm& cell)
        : size_(padded<S>(cell.w_.hidden)),
          b_(padded_blocks(cell.w_.b, 4, cell.w_.hidden)),
          P_(padded_blocks(cell.w_.P, 3, cell.w_.hidden)),
          U_(cell.w_.U, 4, cell.w_.hidden, cell.w_.hidden),
          W_(cell.w_.W, 4, cell.w_.hidden, cell.w_.inputs) {}

    void forward(const S* previous, const S* x, S* now) const override {
      affine_single<S>(now + 2 * size_, 4 * size_, b_.data(), {{&U_, previous}, {&W_, x}});
      step(previous + size_, now, size_, !P_.empty(), [&](auto&& body) {
        const S* const P = P_.data();
        for (Index k = 0; k < size_; k += kelman::lanes<V>)
          body(k, Peepholes{load<V>(P + k), load<V>(P + size_ + k), load<V>(P + 2 * size_ + k)});
      });
    }

   private:
    Index size_;
    std::vector<S> b_, P_;
    Columns<S> U_, W_;
  };

  /// body(k, peepholes) for every register k of a panel of h rows.
  template <class Body>
  void each_row(Index packs, Body&& body) const {
    const Index h = this->hidden(), row = this->lanes(packs);
    for (Index j = 0; j < h; ++j) {
      const Peepholes peep =
          P_ == nullptr ? Peepholes{V(S(0)), V(S(0)), V(S(0))} : Peepholes{V(P_[j]), V(P_[h + j]), V(P_[2 * h + j])};
      for (Index k = j * row; k < (j + 1) * row; k += kelman::lanes<V>) body(k, peep);
    }
  }

  Weights w_;
  const S *b_, *P_;
  Product<S> U_, W_, U_back_, W_back_, none_;
};

}  // namespace kelman::rnn::cells
