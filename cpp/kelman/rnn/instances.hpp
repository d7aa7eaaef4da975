// SPDX-License-Identifier: BSD-3-Clause
// What is compiled in instantiate/rnn_*.cpp, so that who calls it need not compile it again.
#pragma once

#include <memory>

#include "kelman/rnn/cells/elman.hpp"
#include "kelman/rnn/cells/gru.hpp"
#include "kelman/rnn/cells/lstm.hpp"
#include "kelman/rnn/forward.hpp"
#include "kelman/rnn/gauss_newton.hpp"
#include "kelman/rnn/gradient.hpp"
#include "kelman/rnn/tangent.hpp"

namespace kelman::rnn {

template <class S>
using CellPointer = std::unique_ptr<const Cell<S>>;

CellPointer<double> make_cell(const cells::Elman<double>::Weights& weights, Activation activation);
CellPointer<float> make_cell(const cells::Elman<float>::Weights& weights, Activation activation);
CellPointer<double> make_cell(const cells::Gru<double>::Weights& weights);
CellPointer<float> make_cell(const cells::Gru<float>::Weights& weights);
CellPointer<double> make_cell(const cells::Lstm<double>::Weights& weights);
CellPointer<float> make_cell(const cells::Lstm<float>::Weights& weights);

NormalEquations normal_equations(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                                 const Targets<double>& targets, bool learns_start, const SeriesEquations* each,
                                 int threads, Interrupt& stop);
void jacobian(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in, bool learns_start,
              double* to, int threads, Interrupt& stop);

#define KELMAN_RNN_SWEEPS(prefix, S)                                                                                 \
  prefix template class Readout<S>;                                                                                  \
  prefix template void forward(const Cell<S>&, const Readout<S>&, const Inputs<S>&, const Outputs<S>&, int,          \
                               Interrupt&);                                                                          \
  prefix template LossSums loss_and_gradient(const Cell<S>&, const Readout<S>&, const Inputs<S>&, const Targets<S>&, \
                                             const SeriesGradients<S>&, int, Interrupt&);                            \
  prefix template LossSums vector_jacobian(const Cell<S>&, const Readout<S>&, const Inputs<S>&, const Upstream<S>&,  \
                                           const SeriesGradients<S>&, int, Interrupt&);                              \
  prefix template void jacobian_vector(const Cell<S>&, const Readout<S>&, const Inputs<S>&, const Direction<S>&,     \
                                       const Tangents<S>&, int, Interrupt&);

#define KELMAN_RNN_PRODUCTS(prefix, S)                                                            \
  prefix template void affine(S*, Index, Index, From<S>, std::initializer_list<Term<S>>);         \
  prefix template void outer(Rows<S>, Index, Rows<S>, Index, Index, std::initializer_list<Sums>); \
  prefix template void diagonal(Rows<S>, Index, Rows<S>, Index, Index, double*);                  \
  prefix template void activate(Activation, S*, Index);                                           \
  prefix template void times_slope(Activation, const S*, const S*, S*, Index);

#ifndef KELMAN_RNN_INSTANTIATING_SWEEPS
KELMAN_RNN_SWEEPS(extern, double)
KELMAN_RNN_SWEEPS(extern, float)
#endif
#ifndef KELMAN_RNN_INSTANTIATING_PRODUCTS
KELMAN_RNN_PRODUCTS(extern, double)
KELMAN_RNN_PRODUCTS(extern, float)
#endif

}  // namespace kelman::rnn
