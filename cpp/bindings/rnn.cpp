// SPDX-License-Identifier: BSD-3-Clause
// Recurrent networks for Python. A cell is one row in register_rnn() and one Row type that reads its weights.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>
#include <vector>

#include "array.hpp"
#include "call.hpp"
#include "kelman/rnn/instances.hpp"

namespace py = pybind11;

namespace kelman::bindings {
namespace {

using rnn::Activation;

/// A weight array out of the dictionary, by name.
py::array weight(const py::dict& weights, const char* name) {
  if (!weights.contains(name)) throw py::key_error(std::string("weights: there is no ") + name);
  return as_array(weights[name], name);
}

/// Number of rows or columns of a weight matrix, before its shape is checked as a whole.
Index length(const py::array& array, const char* name, py::ssize_t axis) {
  if (array.ndim() <= axis) throw py::value_error(std::string(name) + ": too few dimensions");
  return array.shape(axis);
}

/// The row of an activation, by its word.
Activation activation(const std::string& word, const char* name) {
  for (std::size_t k = 0; k < rnn::activation_count; ++k)
    if (rnn::activation_names[k] == word) return static_cast<Activation>(k);
  throw py::value_error(std::string(name) + ": unknown activation " + word);
}

/// The Elman cell: its weights by name, and how many gradients of which shapes they have.
struct ElmanRow {
  template <class Scalar>
  using Cell = rnn::cells::Elman<Scalar>;

  template <class Scalar>
  static Cell<Scalar> read(const py::dict& weights, const std::string& hidden_activation) {
    const py::array U = weight(weights, "U"), W = weight(weights, "W"), b = weight(weights, "b");
    const Index hidden = length(U, "U", 0), inputs = length(W, "W", 1);
    return {{input<Scalar>(U, "U", {}, {hidden, hidden}).data, hidden, hidden},
            {input<Scalar>(W, "W", {}, {hidden, inputs}).data, hidden, inputs},
            {input<Scalar>(b, "b", {}, {hidden}).data, hidden},
            activation(hidden_activation, "hidden")};
  }
  static std::vector<const char*> names() { return {"U", "W", "b"}; }
};

template <class Scalar>
rnn::Readout<Scalar> read_readout(const py::dict& weights, Index hidden, Index inputs,
                                  const std::string& output_activation) {
  const py::array V = weight(weights, "V"), c = weight(weights, "c");
  const Index outputs = length(V, "V", 0);
  const bool direct = weights.contains("D");
  return {
      {input<Scalar>(V, "V", {}, {outputs, hidden}).data, outputs, hidden},
      {input<Scalar>(c, "c", {}, {outputs}).data, outputs},
      {direct ? input<Scalar>(weights["D"], "D", {}, {outputs, inputs}).data : nullptr, direct ? outputs : 0, inputs},
      activation(output_activation, "output")};
}

/// The network of one call: cell, readout and what drives them, as plain views.
template <class Row, class Scalar>
struct Call {
  typename Row::template Cell<Scalar> cell;
  rnn::Readout<Scalar> readout;
  rnn::Inputs<Scalar> in;

  Call(const py::dict& weights, const std::string& hidden, const std::string& output, const py::object& h0,
       const py::object& x, const py::object& lengths)
      : cell(Row::template read<Scalar>(weights, hidden)),
        readout(read_readout<Scalar>(weights, cell.hidden(), cell.inputs(), output)),
        in(read_inputs(h0, as_array(x, "x"), lengths)) {}

 private:
  rnn::Inputs<Scalar> read_inputs(const py::object& h0, const py::array& x, const py::object& lengths) const {
    if (x.ndim() != 3) throw py::value_error("x: expected three axes");
    const Index series = x.shape(0), steps = x.shape(1);
    const Field<const std::int64_t> ends = optional_input<std::int64_t>(lengths, "lengths", {}, {series});
    for (Index n = 0; ends && n < series; ++n)
      if (ends.data[n] < 0 || ends.data[n] > steps) throw py::value_error("lengths: outside 0 .. T");
    return {series, steps, input<Scalar>(x, "x", {series, steps}, {cell.inputs()}),
            input<Scalar>(h0, "h0", {series}, {cell.hidden()}), ends.data};
  }
};

template <class Scalar>
rnn::Targets<Scalar> read_targets(const py::object& y, const py::object& mask, Index warmup, Index series, Index steps,
                                  Index outputs) {
  rnn::Targets<Scalar> targets{input<Scalar>(y, "y", {series, steps}, {outputs}), {}, 0, warmup};
  if (!mask.is_none()) {
    const py::array array = as_array(mask, "mask");
    targets.mask_columns = length(array, "mask", 2) == 1 ? 1 : outputs;
    targets.mask = input<Scalar>(array, "mask", {series, steps}, {targets.mask_columns});
  }
  return targets;
}

/// Copy of `count` numbers as a fresh array.
template <class To, class From>
py::array_t<To> copied(const From* from, std::vector<Index> shape) {
  py::array_t<To> array = fresh<To>(std::move(shape));
  std::transform(from, from + array.size(), array.mutable_data(), [](From v) { return static_cast<To>(v); });
  return array;
}

/// Calls f with a number of the type that x holds.
template <class F>
py::object with_scalar(const py::object& x, F&& f) {
  const py::array array = as_array(x, "x");
  if (array.dtype().num() == type_number<double>()) return f(double{});
  if (array.dtype().num() == type_number<float>()) return f(float{});
  throw py::type_error("x: expected dtype float64 or float32, got " + std::string(py::str(array.dtype())));
}

template <class Row, class Scalar>
py::object run_forward(const Call<Row, Scalar>& call, int threads) {
  const Index series = call.in.series, steps = call.in.steps;
  py::array_t<Scalar> y = fresh<Scalar>({series, steps, call.readout.outputs()});
  py::array_t<Scalar> h = fresh<Scalar>({series, steps, call.cell.hidden()});
  py::array_t<std::int32_t> status = fresh<std::int32_t>({series});
  py::array_t<std::int64_t> failed_at = fresh<std::int64_t>({series});
  const rnn::Outputs<Scalar> out{output<Scalar>(y, "y", {series, steps}, {call.readout.outputs()}),
                                 output<Scalar>(h, "h", {series, steps}, {call.cell.hidden()}), status.mutable_data(),
                                 failed_at.mutable_data()};
  without_gil([&](Interrupt& stop) { rnn::forward(call.cell, call.readout, call.in, out, threads, stop); });
  return py::make_tuple(y, h, status, failed_at);
}

template <class Row, class Scalar>
py::object run_loss(const Call<Row, Scalar>& call, const rnn::Targets<Scalar>& targets, const py::dict& weights,
                    int threads) {
  py::array_t<Scalar> h0 = fresh<Scalar>({call.in.series, call.cell.hidden()});
  const Field<Scalar> h0_view = output<Scalar>(h0, "h0", {call.in.series}, {call.cell.hidden()});
  rnn::LossSums sums;
  without_gil([&](Interrupt& stop) {
    sums = rnn::loss_and_gradient(call.cell, call.readout, call.in, targets, h0_view, threads, stop);
  });
  py::dict gradients;
  const double* at = sums.gradient.data();
  std::vector<const char*> names = Row::names();
  names.insert(names.end(), {"V", "c"});
  if (call.readout.direct()) names.push_back("D");
  for (const char* name : names) {
    const py::array shaped = weight(weights, name);
    gradients[name] = copied<Scalar>(at, {shaped.shape(), shaped.shape() + shaped.ndim()});
    at += shaped.size();
  }
  gradients["h0"] = h0;
  return py::make_tuple(sums.loss, sums.weight, gradients);
}

/// <cell>_forward and <cell>_loss_and_grad.
template <class Row>
void register_cell(py::module_& m, const std::string& name) {
  m.def((name + "_forward").c_str(),
        [](const py::dict& weights, const std::string& hidden, const std::string& output, const py::object& h0,
           const py::object& x, const py::object& lengths, int threads) {
          return with_scalar(x, [&](auto scalar) {
            using Scalar = decltype(scalar);
            return run_forward(Call<Row, Scalar>(weights, hidden, output, h0, x, lengths), threads);
          });
        },
        py::arg("weights"), py::arg("hidden"), py::arg("output"), py::arg("h0"), py::arg("x"), py::arg("lengths"),
        py::arg("threads"), "Outputs (N,T,o), states (N,T,h), status (N,) and the first non-finite step (N,).");
  m.def((name + "_loss_and_grad").c_str(),
        [](const py::dict& weights, const std::string& hidden, const std::string& output, const py::object& h0,
           const py::object& x, const py::object& lengths, const py::object& y, const py::object& mask, Index warmup,
           int threads) {
          return with_scalar(x, [&](auto scalar) {
            using Scalar = decltype(scalar);
            const Call<Row, Scalar> call(weights, hidden, output, h0, x, lengths);
            return run_loss(
                call, read_targets<Scalar>(y, mask, warmup, call.in.series, call.in.steps, call.readout.outputs()),
                weights, threads);
          });
        },
        py::arg("weights"), py::arg("hidden"), py::arg("output"), py::arg("h0"), py::arg("x"), py::arg("lengths"),
        py::arg("y"), py::arg("mask"), py::arg("warmup"), py::arg("threads"),
        "Mean squared error, total weight, and the gradients by name; that of h0 per series (N,h).");
}

py::object elman_gauss_newton(const py::dict& weights, const std::string& hidden, const std::string& output,
                              const py::object& h0, const py::object& x, const py::object& lengths, const py::object& y,
                              const py::object& mask, Index warmup, bool learn_h0, int threads) {
  const Call<ElmanRow, double> call(weights, hidden, output, h0, x, lengths);
  const auto targets = read_targets<double>(y, mask, warmup, call.in.series, call.in.steps, call.readout.outputs());
  rnn::NormalEquations<double> equations;
  without_gil([&](Interrupt& stop) {
    equations = rnn::gauss_newton(call.cell, call.readout, call.in, targets, learn_h0, threads, stop);
  });
  const Index size = equations.Jtr.size();
  return py::make_tuple(equations.loss, equations.weight, copied<double>(equations.JtJ.data(), {size, size}),
                        copied<double>(equations.Jtr.data(), {size}));
}

}  // namespace

void register_rnn(py::module_& m) {
  py::list words;
  for (const auto word : rnn::activation_names) words.append(py::str(word.data(), word.size()));
  m.attr("activations") = py::tuple(words);

  register_cell<ElmanRow>(m, "elman");

  m.def("elman_gauss_newton", &elman_gauss_newton, py::arg("weights"), py::arg("hidden"), py::arg("output"),
        py::arg("h0"), py::arg("x"), py::arg("lengths"), py::arg("y"), py::arg("mask"), py::arg("warmup"),
        py::arg("learn_h0"), py::arg("threads"),
        "Mean squared error, total weight, J'WJ and J'We over the weight; parameters U, W, b, V, c (, D) (, h0).");
}

}  // namespace kelman::bindings
