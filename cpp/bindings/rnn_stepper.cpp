// SPDX-License-Identifier: BSD-3-Clause
// A network online, for Python: a handle that holds the states of N series.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bindings/quick_call.hpp"
#include "kelman/rnn/stepper.hpp"
#include "rnn_network.hpp"

namespace py = pybind11;

namespace kelman::bindings {

namespace {

/// What became of a step.
enum Outcome : int { fine = 0, bad_input = 1, overflow = 2, in_use = 3 };

/// The stepper of a cell whatever its numbers are; with `feed` the first of a chain, which takes steps of all.
class AnyStepper : public QuickCall {
 public:
  struct Sizes {
    Index series, inputs, outputs;
    int type;     // numpy's number
    double work;  // roughly, in operations
  };

  virtual const Sizes& sizes() const = 0;
  /// Takes x (N, i) and writes y (N, o) unless null; memory was checked.
  virtual Outcome take(const void* x, void* y) = 0;
  virtual py::dict read_state() const = 0;
  virtual void begin(const py::object& h0, const py::object& c0) = 0;

  py::dict state() {
    const Turn turn(busy_);
    turn.require();
    return read_state();
  }

  void restart(const py::object& h0, const py::object& c0) {
    const Turn turn(busy_);
    turn.require();
    begin(h0, c0);
  }

  /// From now on the outputs are the inputs of another, which must outlive this one.
  void feed(AnyStepper& next) {
    const Sizes &own = sizes(), &others = next.sizes();
    if (others.series != own.series || others.inputs != own.outputs || others.type != own.type)
      throw py::value_error("next: does not take what this one gives");
    next_ = &next;
    between_.resize(static_cast<std::size_t>(own.series * own.outputs));
  }

  /// A step of the chain.
  Outcome run(const void* x, void* y) {
    const Turn turn(busy_);
    if (!turn.mine()) return in_use;
    void* const to = next_ == nullptr ? y : between_.data();
    Outcome outcome = take(x, to);
    if (outcome == fine && next_ != nullptr) outcome = next_->run(to, y);
    steps_ += outcome == fine;
    return outcome;
  }

  int step(const py::object& x, const py::object& y) {
    const Sizes &first = sizes(), &end = last().sizes();
    const bool wide = first.type == type_number<double>();
    const void* const from = wide ? given<double>(x, first) : given<float>(x, first);
    void* to = nullptr;
    if (!y.is_none()) {
      to = wide ? wanted<double>(y, end) : wanted<float>(y, end);
      check_overlap({Extent(x, "x")}, {Extent(y, "y")});
    }
    const Outcome outcome = run(from, to);
    if (outcome == in_use) throw std::runtime_error(in_use_text);
    return outcome;
  }

  PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs, int axes) final {
    const Sizes &first = sizes(), &end = last().sizes();
    if (kwargs != nullptr || PyTuple_GET_SIZE(args) != 1) return nullptr;
    const void* const x = plain(PyTuple_GET_ITEM(args, 0), first.type, axes, first.series, first.inputs);
    if (x == nullptr) return nullptr;
    Outcome outcome = fine;
    PyObject* const y = into_fresh(first.type, axes, end.series, end.outputs, first.work, outcome,
                                   [&](void* to) { return run(x, to); });
    if (y == nullptr || outcome == fine) return y;
    Py_DECREF(y);
    if (outcome != overflow) return nullptr;  // nothing was done: the long way says why
    PyObject* const raised = PyObject_CallMethod(self, "_complain", "Oi", PyTuple_GET_ITEM(args, 0), outcome);
    Py_XDECREF(raised);
    if (raised != nullptr) PyErr_SetString(PyExc_RuntimeError, "a network overflowed and nothing was raised");
    return nullptr;
  }

  Index steps() const { return steps_; }
  void set_steps(Index steps) { steps_ = steps; }

 private:
  const AnyStepper& last() const {
    const AnyStepper* one = this;
    while (one->next_ != nullptr) one = one->next_;
    return *one;
  }
  template <class S>
  static const void* given(const py::object& x, const Sizes& sizes) {
    return input<S>(x, "x", {}, {sizes.series, sizes.inputs}).data;
  }
  template <class S>
  static void* wanted(const py::object& y, const Sizes& sizes) {
    return output<S>(y, "y", {}, {sizes.series, sizes.outputs}).data;
  }

  AnyStepper* next_ = nullptr;
  std::vector<double> between_;  // room for the outputs, in either precision
  Index steps_ = 0;
  std::atomic<bool> busy_{false};
};

template <class S>
class OneStepper final : public AnyStepper {
 public:
  OneStepper(const std::string& kind, const py::dict& weights, const py::dict& options, const py::object& output,
             const py::object& h0, const py::object& c0)
      : held_(weights.attr("copy")()),
        network_(kind, held_, options, output),
        sizes_(read_sizes(length(as_array(h0, "h0"), "h0", 0))),
        stepper_(*network_.cell, network_.readout, sizes_.series, start(h0, "h0", hidden()),
                 c0.is_none() ? nullptr : start(c0, "c0", beyond())) {}

  const Sizes& sizes() const override { return sizes_; }

  Outcome take(const void* x, void* y) override {
    const S* const from = static_cast<const S*>(x);
    S sum = 0;  // NaN where a number is not finite
    for (Index k = 0; k < sizes_.series * sizes_.inputs; ++k) sum += S(0) * from[k];
    if (sum != S(0)) return bad_input;
    return stepper_.step(from, static_cast<S*>(y)) ? fine : overflow;
  }

  py::dict read_state() const override {
    py::array_t<S> h = fresh<S>({sizes_.series, hidden()}), c = fresh<S>({sizes_.series, beyond()});
    stepper_.state(h.mutable_data(), beyond() > 0 ? c.mutable_data() : nullptr);
    py::dict result;
    result["h"] = h;
    if (beyond() > 0) result["c"] = c;
    return result;
  }

  void begin(const py::object& h0, const py::object& c0) override {
    stepper_.restart(start(h0, "h0", hidden()), c0.is_none() ? nullptr : start(c0, "c0", beyond()));
  }

 private:
  Index hidden() const { return network_.cell->hidden(); }
  Index beyond() const { return network_.cell->state() - hidden(); }
  Sizes read_sizes(Index series) const {
    if (series < 1) throw py::value_error("h0: expected at least one series");
    const Index i = network_.cell->inputs(), o = network_.readout.outputs();
    double numbers = 0;
    for (const auto& [name, array] : held_) numbers += static_cast<double>(as_array(array, "weights").size());
    return {series, i, o, type_number<S>(), 2 * numbers * static_cast<double>(series)};
  }
  const S* start(const py::object& array, const char* name, Index columns) const {
    if (columns == 0) throw py::value_error(std::string(name) + ": this cell has no second state");
    return input<S>(array, name, {}, {sizes_.series, columns}).data;
  }

  py::dict held_;  // the arrays that the cell looks into
  Weights<S> network_;
  Sizes sizes_;
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
      .def("feed", &AnyStepper::feed, py::arg("next"), py::keep_alive<1, 2>(),
           "From now on steps go on to another, whose inputs are the outputs of this one; y is what the last gives.")
      .def_property("steps", &AnyStepper::steps, &AnyStepper::set_steps, "Number of steps taken without an error.")
      .def_property_readonly("quick_call", &AnyStepper::quick_call, "What `attach` calls.")
      .def("state", &AnyStepper::state, "The states h (N, h), and c (N, h) of an LSTM.")
      .def("restart", &AnyStepper::restart, py::arg("h0"), py::arg("c0") = py::none(), "Begins again at h0 (and c0).");
}

}  // namespace kelman::bindings
