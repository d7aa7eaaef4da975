// SPDX-License-Identifier: BSD-3-Clause
// A recurrent network out of Python's dictionaries of weights: cell, readout and what drives them, as plain views.
// A cell is one row in `read_cell`.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

#include "array.hpp"
#include "kelman/rnn/instances.hpp"

namespace kelman::bindings {

namespace py = pybind11;

/// Number of rows or columns of a weight matrix, before its shape is checked as a whole.
inline Index length(const py::array& array, const char* name, py::ssize_t axis) {
  if (array.ndim() <= axis) throw py::value_error(std::string(name) + ": too few dimensions");
  return array.shape(axis);
}

/// The row of an activation, by its word.
inline rnn::Activation activation(const std::string& word, const char* name) {
  for (std::size_t k = 0; k < rnn::activation_count; ++k)
    if (rnn::activation_names[k] == word) return static_cast<rnn::Activation>(k);
  throw py::value_error(std::string(name) + ": unknown activation " + word);
}

/// A word out of the options.
inline std::string option(const py::dict& options, const char* name) {
  if (!options.contains(name)) throw py::key_error(std::string("options: there is no ") + name);
  return py::cast<std::string>(options[name]);
}

/// Reads weight arrays by name, and notes the names in the order in which gradients come.
template <class S>
class WeightReader {
 public:
  explicit WeightReader(const py::dict& weights) : weights_(weights) {}

  bool has(const char* name) const { return weights_.contains(name); }
  py::array array(const char* name) const {
    if (!has(name)) throw py::key_error(std::string("weights: there is no ") + name);
    return as_array(weights_[name], name);
  }
  const S* read(const char* name, Lengths shape) {
    names_.push_back(name);
    return input<S>(array(name), name, {}, shape).data;
  }
  const S* read_if_there(const char* name, Lengths shape) { return has(name) ? read(name, shape) : nullptr; }
  const std::vector<const char*>& names() const { return names_; }

 private:
  py::dict weights_;
  std::vector<const char*> names_;
};

/// The cell of this kind. Its weights by name, in order, are U, W, b and what is optional.
template <class S>
rnn::CellPointer<S> read_cell(const std::string& kind, const py::dict& options, WeightReader<S>& from) {
  const Index h = length(from.array("U"), "U", 1), i = length(from.array("W"), "W", 1);
  if (kind == "elman") {
    const S *U = from.read("U", {h, h}), *W = from.read("W", {h, i}), *b = from.read("b", {h});
    const S *A = from.read_if_there("A", {h, h}), *B = from.read_if_there("B", {h, i});
    return rnn::make_cell(typename rnn::cells::Elman<S>::Weights{h, i, U, W, b, A, B},
                          activation(option(options, "hidden"), "hidden"));
  }
  if (kind == "gru") {
    const std::string reset = option(options, "reset");
    if (reset != "after" && reset != "before") throw py::value_error("reset: unknown word " + reset);
    const S *U = from.read("U", {3 * h, h}), *W = from.read("W", {3 * h, i}), *b = from.read("b", {3 * h});
    return rnn::make_cell(
        typename rnn::cells::Gru<S>::Weights{h, i, U, W, b, reset == "after" ? from.read("d", {h}) : nullptr});
  }
  const S *U = from.read("U", {4 * h, h}), *W = from.read("W", {4 * h, i}), *b = from.read("b", {4 * h});
  return rnn::make_cell(typename rnn::cells::Lstm<S>::Weights{h, i, U, W, b, from.read_if_there("P", {3, h})});
}

/// The readout V, c (, D); without V the state is the output.
template <class S>
rnn::Readout<S> read_readout(const py::object& output, WeightReader<S>& from, Index hidden, Index inputs) {
  if (!from.has("V")) {
    if (!output.is_none()) throw py::value_error("output: a network without V has no activation of its output");
    return rnn::Readout<S>(hidden);
  }
  if (output.is_none()) throw py::value_error("output: a network with V needs an activation of its output");
  const Index outputs = length(from.array("V"), "V", 0);
  const S *V = from.read("V", {outputs, hidden}), *c = from.read("c", {outputs});
  return {outputs,
          hidden,
          inputs,
          V,
          c,
          from.read_if_there("D", {outputs, inputs}),
          activation(py::cast<std::string>(output), "output")};
}

/// Cell and readout.
template <class S>
struct Weights {
  WeightReader<S> reader;
  rnn::CellPointer<S> cell;
  rnn::Readout<S> readout;

  Weights(const std::string& kind, const py::dict& weights, const py::dict& options, const py::object& output)
      : reader(weights),
        cell(read_cell(kind, options, reader)),
        readout(read_readout(output, reader, cell->hidden(), cell->inputs())) {}
};

/// Weights and what drives them.
template <class S>
struct Call : Weights<S> {
  rnn::Inputs<S> in;
  std::vector<Extent> extents;  // of all that is read

  Call(const std::string& kind, const py::dict& weights, const py::dict& options, const py::object& output,
       const py::object& h0, const py::object& c0, const py::object& x, const py::object& lengths)
      : Weights<S>(kind, weights, options, output),
        in(read_inputs(h0, c0, as_array(x, "x"), lengths)),
        extents{{h0, "h0"}, {c0, "c0"}, {x, "x"}, {lengths, "lengths"}} {
    for (const char* name : this->reader.names()) extents.emplace_back(this->reader.array(name), name);
  }

  /// What the cell carries beyond h.
  Index beyond() const { return this->cell->state() - this->cell->hidden(); }

 private:
  rnn::Inputs<S> read_inputs(const py::object& h0, const py::object& c0, const py::array& x,
                             const py::object& lengths) const {
    if (x.ndim() != 3) throw py::value_error("x: expected three axes");
    if (!c0.is_none() && beyond() == 0) throw py::value_error("c0: this cell has no second state");
    const Index series = x.shape(0), steps = x.shape(1);
    const Field<const std::int64_t> ends = optional_input<std::int64_t>(lengths, "lengths", {}, {series});
    for (Index n = 0; ends && n < series; ++n)
      if (ends.data[n] < 0 || ends.data[n] > steps) throw py::value_error("lengths: outside 0 .. T");
    return {series,
            steps,
            input<S>(x, "x", {series, steps}, {this->cell->inputs()}),
            input<S>(h0, "h0", {series}, {this->cell->hidden()}),
            optional_input<S>(c0, "c0", {series}, {beyond()}),
            ends.data};
  }
};

template <class S>
rnn::Targets<S> read_targets(const py::object& y, const py::object& mask, Index warmup, Index series, Index steps,
                             Index outputs) {
  rnn::Targets<S> targets{input<S>(y, "y", {series, steps}, {outputs}), {}, 0, warmup};
  if (!mask.is_none()) {
    const py::array array = as_array(mask, "mask");
    targets.mask_columns = length(array, "mask", 2) == 1 ? 1 : outputs;
    targets.mask = input<S>(array, "mask", {series, steps}, {targets.mask_columns});
  }
  return targets;
}

/// Calls f with a number of the type that x holds.
template <class F>
py::object with_scalar(const py::object& x, F&& f) {
  const py::array array = as_array(x, "x");
  if (array.dtype().num() == type_number<double>()) return f(double{});
  if (array.dtype().num() == type_number<float>()) return f(float{});
  throw py::type_error("x: expected dtype float64 or float32, got " + std::string(py::str(array.dtype())));
}

}  // namespace kelman::bindings
