// SPDX-License-Identifier: BSD-3-Clause
// A network online, for Python: a handle that holds the states of N series.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "kelman/rnn/stepper.hpp"
#include "rnn_network.hpp"

namespace py = pybind11;

namespace kelman::bindings {

namespace {

/// What became of a step.
enum Outcome : int { fine = 0, bad_input = 1, overflow = 2 };

/// The stepper whatever its numbers are.
class AnyStepper {
 public:
  virtual ~AnyStepper() = default;
  virtual int step(const py::object& x, const py::object& y) = 0;
  virtual py::dict state() const = 0;
  virtual void restart(const py::object& h0, const py::object& c0) = 0;
};

template <class S>
class OneStepper final : public AnyStepper {
 public:
  OneStepper(const std::string& kind, const py::dict& weights, const py::dict& options, const py::object& output,
             const py::object& h0, const py::object& c0)
      : held_(weights.attr("copy")()),
        network_(kind, held_, options, output),
        series_(length(as_array(h0, "h0"), "h0", 0)),
        stepper_(*network_.cell, network_.readout, checked(series_), start(h0, "h0", hidden()),
                 c0.is_none() ? nullptr : start(c0, "c0", beyond())) {}

  int step(const py::object& x, const py::object& y) override {
    const S* const from = rows<const S>(input<S>(x, "x", {}, {series_, network_.cell->inputs()}));
    S* to = nullptr;
    if (!y.is_none()) {
      to = output<S>(y, "y", {}, {series_, network_.readout.outputs()}).data;
      check_overlap({Extent(x, "x")}, {Extent(y, "y")});
    }
    S sum = 0;  // NaN where a number is not finite
    for (Index k = 0; k < series_ * network_.cell->inputs(); ++k) sum += S(0) * from[k];
    if (sum != S(0)) return bad_input;
    return stepper_.step(from, to) ? fine : overflow;
  }

  py::dict state() const override {
    py::array_t<S> h = fresh<S>({series_, hidden()}), c = fresh<S>({series_, beyond()});
    stepper_.state(h.mutable_data(), beyond() > 0 ? c.mutable_data() : nullptr);
    py::dict result;
    result["h"] = h;
    if (beyond() > 0) result["c"] = c;
    return result;
  }

  void restart(const py::object& h0, const py::object& c0) override {
    stepper_.restart(start(h0, "h0", hidden()), c0.is_none() ? nullptr : start(c0, "c0", beyond()));
  }

 private:
  Index hidden() const { return network_.cell->hidden(); }
  Index beyond() const { return network_.cell->state() - hidden(); }
  static Index checked(Index series) {
    if (series < 1) throw py::value_error("h0: expected at least one series");
    return series;
  }
  template <class T>
  static T* rows(const Field<T>& field) {
    return field.data;
  }
  const S* start(const py::object& array, const char* name, Index columns) const {
    if (columns == 0) throw py::value_error(std::string(name) + ": this cell has no second state");
    return input<S>(array, name, {}, {series_, columns}).data;
  }

  py::dict held_;  // the arrays that the cell looks into
  Weights<S> network_;
  Index series_;
  rnn::Stepper<S> stepper_;
};

std::unique_ptr<AnyStepper> make_stepper(const std::string& kind, const py::dict& weights, const py::dict& options,
                                         const py::object& output, const py::object& h0, const py::object& c0) {
  if (kind != "elman" && kind != "gru" && kind != "lstm") throw py::value_error("kind: unknown cell " + kind);
  if (as_array(h0, "h0").dtype().num() == type_number<float>())
    return std::make_unique<OneStepper<float>>(kind, weights, options, output, h0, c0);
  return std::make_unique<OneStepper<double>>(kind, weights, options, output, h0, c0);
}

}  // namespace

void register_rnn_stepper(py::module_& m) {
  py::class_<AnyStepper>(
      m, "NetworkStepper", py::module_local(),
      "A network online: one step of N series at a time. Its weights must not change while it lives.")
      .def(py::init(&make_stepper), py::arg("kind"), py::arg("weights"), py::arg("options"), py::arg("output"),
           py::arg("h0"), py::arg("c0") = py::none(),
           "Starts at h0 (N, h), and c0 (N, h) of an LSTM; the other arguments are those of the cell's forward.")
      .def("step", &AnyStepper::step, py::arg("x"), py::arg("y") = py::none(),
           "Takes x (N, i) and writes the outputs to y (N, o) unless None. 0; 1 where x is not finite, and nothing was "
           "done; "
           "2 where a state is not finite.")
      .def("state", &AnyStepper::state, "The states h (N, h), and c (N, h) of an LSTM.")
      .def("restart", &AnyStepper::restart, py::arg("h0"), py::arg("c0") = py::none(), "Begins again at h0 (and c0).");
}

}  // namespace kelman::bindings
