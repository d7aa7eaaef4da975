// SPDX-License-Identifier: BSD-3-Clause
// Recurrent networks for Python: <cell>_forward, _loss_and_grad, _vjp, _jvp and _gauss_newton for every kind of cell.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>
#include <vector>

#include "call.hpp"
#include "rnn_network.hpp"

namespace py = pybind11;

namespace kelman::bindings {
namespace {

/// Copy of numbers as a fresh array.
template <class To, class From>
py::array_t<To> copied(const From* from, std::vector<Index> shape) {
  py::array_t<To> array = fresh<To>(std::move(shape));
  std::transform(from, from + array.size(), array.mutable_data(), [](From v) { return static_cast<To>(v); });
  return array;
}

/// A result (series, steps, columns) and its view; neither where there are no columns. It is fresh, unless the results
/// `out` of an earlier call have it.
template <class S>
struct Result {
  py::object array = py::none();
  Field<S> view{};

  Result(Index series, Index steps, Index columns, const char* name = "result", const py::object& out = py::none()) {
    if (columns == 0) return;
    const bool given = !out.is_none() && out.contains(name);
    array = given ? py::object(out[name]) : fresh<S>({series, steps, columns});
    view = output<S>(array, name, {series, steps}, {columns});
  }
};

/// Without `states` only y, or h where the state is the output.
template <class S>
py::object run_forward(const Call<S>& call, bool states, const py::object& out_arrays, int threads) {
  const Index series = call.in.series, steps = call.in.steps;
  const bool read = call.readout.there();
  const Result<S> y(series, steps, read ? call.readout.outputs() : 0, "y", out_arrays),
      h(series, steps, states || !read ? call.cell->hidden() : 0, "h", out_arrays),
      c(series, steps, states ? call.beyond() : 0, "c", out_arrays);
  check_overlap(call.extents, {{y.array, "y"}, {h.array, "h"}, {c.array, "c"}});
  py::array_t<std::int32_t> status = fresh<std::int32_t>({series});
  py::array_t<std::int64_t> failed_at = fresh<std::int64_t>({series});
  const rnn::Outputs<S> out{y.view, h.view, c.view, status.mutable_data(), failed_at.mutable_data()};
  without_gil([&](Interrupt& stop) { rnn::forward(*call.cell, call.readout, call.in, out, threads, stop); });
  py::dict result;
  result["y"] = y.array;
  if (h.view) result["h"] = h.array;
  if (c.view) result["c"] = c.array;
  result["status"] = status;
  result["failed_at"] = failed_at;
  return result;
}

/// The weights' gradients by name, and those by series.
template <class S>
py::dict gradients(const Call<S>& call, const std::vector<double>& sums, const Result<S>& h0, const Result<S>& c0) {
  py::dict result;
  const double* at = sums.data();
  for (const char* name : call.reader.names()) {
    const py::array shaped = call.reader.array(name);
    result[name] = copied<S>(at, {shaped.shape(), shaped.shape() + shaped.ndim()});
    at += shaped.size();
  }
  const auto flat = [&](const Result<S>& from) {
    auto array = py::reinterpret_borrow<py::array>(from.array);
    return array.reshape({array.shape(0), array.shape(2)});
  };
  result["h0"] = flat(h0);
  if (call.beyond() > 0) result["c0"] = flat(c0);
  return result;
}

template <class S>
py::object run_loss(const Call<S>& call, const rnn::Targets<S>& targets, int threads) {
  const Result<S> h0(call.in.series, 1, call.cell->hidden()), c0(call.in.series, 1, call.beyond());
  rnn::LossSums sums;
  without_gil([&](Interrupt& stop) {
    sums = rnn::loss_and_gradient(*call.cell, call.readout, call.in, targets, {h0.view, c0.view, {}}, threads, stop);
  });
  return py::make_tuple(sums.loss, sums.weight, gradients(call, sums.gradient, h0, c0));
}

template <class S>
py::object run_vjp(const Call<S>& call, const py::object& g_y, const py::object& g_h, const py::object& g_c,
                   bool want_x, int threads) {
  const Index series = call.in.series, steps = call.in.steps, hidden = call.cell->hidden();
  if (!g_c.is_none() && call.beyond() == 0) throw py::value_error("g_c: this cell has no second state");
  const rnn::Upstream<S> upstream{optional_input<S>(g_y, "g_y", {series, steps}, {call.readout.outputs()}),
                                  optional_input<S>(g_h, "g_h", {series, steps}, {hidden}),
                                  optional_input<S>(g_c, "g_c", {series}, {call.beyond()})};
  const Result<S> h0(series, 1, hidden), c0(series, 1, call.beyond()),
      x(series, steps, want_x ? call.cell->inputs() : 0);
  rnn::LossSums sums;
  without_gil([&](Interrupt& stop) {
    sums = rnn::vector_jacobian(*call.cell, call.readout, call.in, upstream, {h0.view, c0.view, x.view}, threads, stop);
  });
  py::dict result = gradients(call, sums.gradient, h0, c0);
  if (want_x) result["x"] = x.array;
  return result;
}

/// `tangents` with zeros for the weights that it does not move.
template <class S>
py::dict completed(const Call<S>& call, const py::dict& tangents) {
  py::dict all;
  for (const char* name : call.reader.names()) {
    const py::array shaped = call.reader.array(name);
    const std::vector<Index> shape(shaped.shape(), shaped.shape() + shaped.ndim());
    if (tangents.contains(name)) {
      const py::array given = as_array(tangents[name], name);
      if (!std::equal(shape.begin(), shape.end(), given.shape(), given.shape() + given.ndim()))
        throw py::value_error(std::string(name) + ": expected the shape of the weight");
      all[name] = given;
    } else {
      py::array_t<S> zeros = fresh<S>(shape);
      std::fill_n(zeros.mutable_data(), zeros.size(), S(0));
      all[name] = zeros;
    }
  }
  return all;
}

template <class S>
py::object run_jvp(const std::string& kind, const Call<S>& call, const py::dict& options, const py::object& output,
                   const py::dict& tangents, int threads) {
  const Index series = call.in.series, steps = call.in.steps, hidden = call.cell->hidden();
  const py::dict moved = completed(call, tangents);
  const Weights<S> along(kind, moved, options, output);
  const auto field = [&](const char* name, Lengths lead, Index columns) {
    return tangents.contains(name) ? input<S>(tangents[name], name, lead, {columns}) : Field<const S>{};
  };
  const rnn::Direction<S> direction{along.cell.get(), &along.readout, field("x", {series, steps}, call.cell->inputs()),
                                    field("h0", {series}, hidden),
                                    call.beyond() > 0 ? field("c0", {series}, call.beyond()) : Field<const S>{}};
  const Result<S> y(series, steps, call.readout.outputs()), h(series, steps, hidden), c(series, steps, call.beyond());
  const rnn::Tangents<S> out{y.view, h.view, c.view};
  without_gil(
      [&](Interrupt& stop) { rnn::jacobian_vector(*call.cell, call.readout, call.in, direction, out, threads, stop); });
  py::dict result;
  result["y"] = call.readout.there() ? y.array : py::none();
  result["h"] = h.array;
  if (call.beyond() > 0) result["c"] = c.array;
  return result;
}

py::object run_gauss_newton(const Call<double>& call, const rnn::Targets<double>& targets, bool learn_h0, int threads) {
  rnn::NormalEquations equations;
  without_gil([&](Interrupt& stop) {
    equations = rnn::normal_equations(*call.cell, call.readout, call.in, targets, learn_h0, nullptr, threads, stop);
  });
  return py::make_tuple(equations.loss, equations.weight,
                        copied<double>(equations.JtJ.data(), {equations.size, equations.size}),
                        copied<double>(equations.Jtr.data(), {equations.size}));
}

py::object run_gauss_newton_each(const Call<double>& call, const rnn::Targets<double>& targets, int threads) {
  const Index series = call.in.series, state = call.cell->state(),
              size = call.cell->weights() + call.readout.weights() + state;
  py::array_t<double> start = fresh<double>({series, state, size}), right = fresh<double>({series, state}),
                      end = fresh<double>({series, state}), end_dot = fresh<double>({series, state, size});
  const rnn::SeriesEquations each{start.mutable_data(), right.mutable_data(), end.mutable_data(),
                                  end_dot.mutable_data()};
  rnn::NormalEquations sums;
  without_gil([&](Interrupt& stop) {
    sums = rnn::normal_equations(*call.cell, call.readout, call.in, targets, true, &each, threads, stop);
  });
  py::dict result;
  result["loss"] = sums.loss;
  result["JtJ"] = copied<double>(sums.JtJ.data(), {sums.size, sums.size});
  result["Jtr"] = copied<double>(sums.Jtr.data(), {sums.size});
  result["start"] = start;
  result["right"] = right;
  result["end"] = end;
  result["end_dot"] = end_dot;
  return result;
}

py::object run_jacobian(const Call<double>& call, bool learn_h0, int threads) {
  const Index size = call.cell->weights() + call.readout.weights() + (learn_h0 ? call.cell->state() : 0);
  py::array_t<double> J = fresh<double>({call.in.series, call.in.steps, call.readout.outputs(), size});
  double* const to = J.mutable_data();
  const Index count = J.size();
  without_gil([&](Interrupt& stop) {
    std::fill_n(to, count, 0.0);
    rnn::jacobian(*call.cell, call.readout, call.in, learn_h0, to, threads, stop);
  });
  return J;
}

/// The verbs of one kind of cell.
void register_cell(py::module_& m, const std::string& kind) {
  using py::arg;
  using Object = const py::object&;
  using Dict = const py::dict&;
  m.def((kind + "_forward").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, int threads,
               bool states, Object out) {
          return with_scalar(x, [&](auto scalar) {
            return run_forward(Call<decltype(scalar)>(kind, weights, options, output, h0, c0, x, lengths), states, out,
                               threads);
          });
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("threads"),
        arg("states") = true, arg("out") = py::none(),
        "Outputs y (N,T,o) (None without a readout), states h (N,T,h) (and c of an LSTM), status (N,) and failed_at "
        "(N,), the first step at which a number, of x too, is not finite. Without `states` only y, or h where there is "
        "no readout. `out`: a dict with arrays y, h, c to write to.");
  m.def((kind + "_loss_and_grad").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, Object y,
               Object mask, Index warmup, int threads) {
          return with_scalar(x, [&](auto scalar) {
            const Call<decltype(scalar)> call(kind, weights, options, output, h0, c0, x, lengths);
            return run_loss(
                call,
                read_targets<decltype(scalar)>(y, mask, warmup, call.in.series, call.in.steps, call.readout.outputs()),
                threads);
          });
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("y"),
        arg("mask"), arg("warmup"), arg("threads"),
        "Mean squared error, total weight, and the gradients by name; those of h0 (and c0) per series (N,h).");
  m.def((kind + "_vjp").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, Object g_y,
               Object g_h, Object g_c, bool want_x, int threads) {
          return with_scalar(x, [&](auto scalar) {
            return run_vjp(Call<decltype(scalar)>(kind, weights, options, output, h0, c0, x, lengths), g_y, g_h, g_c,
                           want_x, threads);
          });
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("g_y"),
        arg("g_h"), arg("g_c"), arg("want_x"), arg("threads"),
        "Gradients of sum(g_y y) + sum(g_h h) + sum(g_c c_last) by name; of h0 (, c0) per series, and of x if wanted.");
  m.def((kind + "_jvp").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, Dict tangents,
               int threads) {
          return with_scalar(x, [&](auto scalar) {
            return run_jvp(kind, Call<decltype(scalar)>(kind, weights, options, output, h0, c0, x, lengths), options,
                           output, tangents, threads);
          });
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("tangents"),
        arg("threads"), "Directional derivatives of y, h (and c) along tangents of weights, h0, c0 and x.");
  m.def((kind + "_gauss_newton").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, Object y,
               Object mask, Index warmup, bool learn_h0, int threads) {
          const Call<double> call(kind, weights, options, output, h0, c0, x, lengths);
          return run_gauss_newton(
              call, read_targets<double>(y, mask, warmup, call.in.series, call.in.steps, call.readout.outputs()),
              learn_h0, threads);
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("y"),
        arg("mask"), arg("warmup"), arg("learn_h0"), arg("threads"),
        "Mean squared error, total weight, J'WJ and J'We over the weight; parameters: the cell's weights, V, c (, D) "
        "(, h0 (, c0)).");
  m.def((kind + "_gauss_newton_each").c_str(),
        [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, Object y,
               Object mask, Index warmup, int threads) {
          const Call<double> call(kind, weights, options, output, h0, c0, x, lengths);
          return run_gauss_newton_each(
              call, read_targets<double>(y, mask, warmup, call.in.series, call.in.steps, call.readout.outputs()),
              threads);
        },
        arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("y"),
        arg("mask"), arg("warmup"), arg("threads"),
        "For multiple shooting: the sums loss, JtJ (P,P) and Jtr (P) over the weights, and of each series start "
        "(N,s,P+s) = J_start'W [J, J_start], right (N,s) = J_start'We, end (N,s), the last state, and end_dot "
        "(N,s,P+s), its derivatives; s counts h (and c).");
  m.def(
      (kind + "_jacobian").c_str(),
      [kind](Dict weights, Dict options, Object output, Object h0, Object c0, Object x, Object lengths, bool learn_h0,
             int threads) {
        return run_jacobian(Call<double>(kind, weights, options, output, h0, c0, x, lengths), learn_h0, threads);
      },
      arg("weights"), arg("options"), arg("output"), arg("h0"), arg("c0"), arg("x"), arg("lengths"), arg("learn_h0"),
      arg("threads"),
      "Derivatives of the outputs (of h without a readout) by the parameters of _gauss_newton, (N,T,o,P); zero past a "
      "series' end.");
}

}  // namespace

void register_rnn(py::module_& m) {
  py::list words;
  for (const auto word : rnn::activation_names) words.append(py::str(word.data(), word.size()));
  m.attr("activations") = py::tuple(words);
  m.attr("cells") = py::make_tuple("elman", "gru", "lstm");
  for (const char* kind : {"elman", "gru", "lstm"}) register_cell(m, kind);
}

}  // namespace kelman::bindings
