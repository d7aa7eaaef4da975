// SPDX-License-Identifier: BSD-3-Clause
// The call `step(z)` of a `kelman.Stepper`, for measurements that need no conversion, and what all steppers call
// through.
//
// A step of a small model takes some 50 ns, less than Python needs to reach a function of its own. `StepperBase` is a
// plain C type with room for the handle; `accelerate` puts the function below into the call slot of its Python
// subclass. It takes what is an array of the right dtype and shape already. Anything else, and every error, goes to the
// class's own `__call__`, whose numbers are the same.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings/array.hpp"
#include "bindings/online.hpp"

namespace kelman::bindings {

namespace {

/// An instance: Python's head, the handle that it keeps alive, and the number of axes of a row (1: one series).
struct CallObject {
  PyObject ob_base;
  PyObject* owner;
  QuickCall* core;
  int axes;
};

CallObject& call_of(PyObject* self) { return *reinterpret_cast<CallObject*>(self); }

/// What the arguments of a call are, as they came.
struct Arguments {
  PyObject* z = nullptr;
  PyObject* u = nullptr;
  PyObject* mask = nullptr;
};

/// Sorts the arguments z, u and mask; false if there are others.
bool sort(PyObject* args, PyObject* kwargs, Arguments& out) {
  PyObject** const places[] = {&out.z, &out.u, &out.mask};
  const Py_ssize_t given = PyTuple_GET_SIZE(args);
  if (given > 3) {
    return false;
  }
  for (Py_ssize_t i = 0; i < given; ++i) {
    *places[i] = PyTuple_GET_ITEM(args, i);
  }
  if (kwargs != nullptr) {
    constexpr const char* names[] = {"z", "u", "mask"};
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(kwargs, &position, &key, &value) != 0) {
      int found = 0;
      while (found < 3 && PyUnicode_CompareWithASCIIString(key, names[found]) != 0) {
        ++found;
      }
      if (found == 3 || *places[found] != nullptr) {
        return false;
      }
      *places[found] = value;
    }
  }
  if (out.u == Py_None) {
    out.u = nullptr;
  }
  if (out.mask == Py_None) {
    out.mask = nullptr;
  }
  return out.z != nullptr;
}

/// The call slot.
PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs) {
  const CallObject& me = call_of(self);
  if (me.core != nullptr) {
    PyObject* const owner = Py_NewRef(me.owner);  // another thread may attach another handle during a long step
    PyObject* const result = me.core->call(self, args, kwargs, me.axes);
    Py_DECREF(owner);
    if (result != nullptr || PyErr_Occurred() != nullptr) {
      return result;
    }
  }
  PyObject* const method = PyObject_GetAttrString(self, "__call__");
  if (method == nullptr) {
    return nullptr;
  }
  PyObject* const result = PyObject_Call(method, args, kwargs);
  Py_DECREF(method);
  return result;
}

void release(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_CLEAR(call_of(self).owner);
  type->tp_free(self);
  Py_DECREF(type);
}

/// From now on calls of `self` go to this handle, or to Python if it is None.
void attach(PyObject* self, const py::object& handle, bool batched) {
  QuickCall* core = nullptr;
  if (!handle.is_none()) {
    const py::object found = py::getattr(handle, "quick_call", py::none());
    if (PyCapsule_IsValid(found.ptr(), QuickCall::capsule_name) == 0) {
      throw py::type_error("handle: expected a LinearStepper, a NetworkStepper or None");
    }
    core = static_cast<QuickCall*>(PyCapsule_GetPointer(found.ptr(), QuickCall::capsule_name));
  }
  CallObject& me = call_of(self);
  me.core = core;
  me.axes = batched ? 2 : 1;
  PyObject* const before = me.owner;
  me.owner = handle.is_none() ? nullptr : Py_NewRef(handle.ptr());
  Py_XDECREF(before);
}

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("Room for the handle of a stepper, and the short way to it.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(&release)},
    {0, nullptr},
};

PyType_Spec spec = {"kelman._core.StepperBase", sizeof(CallObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

PyObject* OnlineHandle::call(PyObject* self, PyObject* args, PyObject* kwargs, int axes) {
  const Dims& dims = this->dims();
  Arguments given;
  if (!sort(args, kwargs, given) || (given.u != nullptr) != (dims.p > 0) || (dims.T > 0 && steps() >= dims.T)) {
    return nullptr;
  }
  double number = 0;
  float single = 0;
  const void* z = nullptr;
  if (PyFloat_CheckExact(given.z) && axes == 1 && dims.m == 1) {
    number = PyFloat_AS_DOUBLE(given.z);
    single = static_cast<float>(number);
    z = type() == type_number<double>() ? static_cast<const void*>(&number) : static_cast<const void*>(&single);
  } else {
    z = plain(given.z, type(), axes, dims.N, dims.m);
  }
  const void* const u = given.u == nullptr ? nullptr : plain(given.u, type(), axes, dims.N, dims.p);
  const void* const mask =
      given.mask == nullptr ? nullptr : plain(given.mask, py::detail::npy_api::NPY_BOOL_, 1, dims.N, -1);
  if (z == nullptr || (given.u != nullptr && u == nullptr) || (given.mask != nullptr && mask == nullptr) ||
      !acceptable(z, u)) {
    return nullptr;
  }
  Taken taken = Taken::well;
  PyObject* const mean = into_fresh(type(), axes, dims.N, dims.n, work(), taken,
                                    [&](void* to) { return step(z, u, static_cast<const unsigned char*>(mask), to); });
  if (mean == nullptr || taken == Taken::well) {
    return mean;
  }
  if (taken == Taken::not_yet) {
    Py_DECREF(mean);
    return nullptr;  // the long way says that the stepper is in use
  }
  PyObject* const looked = PyObject_CallMethod(self, "_look", "i", 3);
  if (looked == nullptr) {
    Py_DECREF(mean);
    return nullptr;
  }
  Py_DECREF(looked);
  return mean;
}

void register_online_call(py::module_& m) {
  const auto base = py::reinterpret_steal<py::object>(PyType_FromModuleAndSpec(m.ptr(), &spec, nullptr));
  if (!base) {
    throw py::error_already_set();
  }
  base.attr("__module__") = m.attr("__name__");
  m.attr("StepperBase") = base;
  m.def(
      "accelerate",
      [base](const py::type& subclass) {
        auto* const type = reinterpret_cast<PyTypeObject*>(subclass.ptr());
        if (PyType_IsSubtype(type, reinterpret_cast<PyTypeObject*>(base.ptr())) == 0) {
          throw py::type_error("subclass: expected a subclass of StepperBase");
        }
        type->tp_call = &call;
      },
      py::arg("subclass"),
      "Let calls of the instances of a subclass of StepperBase try the attached handle before their `__call__`.");
  m.def(
      "attach",
      [base](const py::object& stepper, const py::object& handle, bool batched) {
        if (PyObject_TypeCheck(stepper.ptr(), reinterpret_cast<PyTypeObject*>(base.ptr())) == 0) {
          throw py::type_error("stepper: expected a StepperBase");
        }
        attach(stepper.ptr(), handle, batched);
      },
      py::arg("stepper"), py::arg("handle"), py::arg("batched"),
      "Let the calls of a stepper try this handle (None: only Python); `batched`: its arrays have a series axis.");
}

}  // namespace kelman::bindings
