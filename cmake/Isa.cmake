# The instruction sets the core is compiled for. A new one is a row here and a row in cpp/bindings/cpu.hpp.
#
# One extension module per set: with two sets in one shared object the linker would keep one copy of Eigen's inline
# functions, and an old processor would run the new one's instructions.

if(MSVC)
  set(KELMAN_FLAGS_baseline "")
  set(KELMAN_FLAGS_avx2 /arch:AVX2)
  set(KELMAN_FLAGS_avx512 /arch:AVX512)
else()
  set(KELMAN_FLAGS_baseline -march=x86-64-v2)
  set(KELMAN_FLAGS_avx2 -march=x86-64-v3)
  set(KELMAN_FLAGS_avx512 -march=x86-64-v4)
endif()

set(kelman_target "${CMAKE_SYSTEM_PROCESSOR}")
if(CMAKE_OSX_ARCHITECTURES)
  set(kelman_target "${CMAKE_OSX_ARCHITECTURES}")
endif()
if(kelman_target MATCHES "^(x86_64|AMD64|amd64)$")
  set(KELMAN_ALL_ISAS baseline avx2 avx512)
else()
  set(KELMAN_ALL_ISAS baseline)
  set(KELMAN_FLAGS_baseline "")
endif()

# The best set that this machine runs, in the words of cpp/bindings/cpu.hpp.
set(KELMAN_HOST_ISA baseline)
if(NOT CMAKE_CROSSCOMPILING)
  try_run(
    kelman_probe_exit
    kelman_probe_compiled
    "${CMAKE_BINARY_DIR}/isa"
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/host_isa.cpp"
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${CMAKE_CURRENT_SOURCE_DIR}/cpp"
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    COMPILE_OUTPUT_VARIABLE kelman_probe_log
    RUN_OUTPUT_VARIABLE kelman_probe_output
  )
  if(kelman_probe_compiled AND kelman_probe_exit EQUAL 0)
    string(STRIP "${kelman_probe_output}" KELMAN_HOST_ISA)
  else()
    message(WARNING "could not tell what this machine runs; building the baseline\n${kelman_probe_log}")
  endif()
endif()

if(KELMAN_ISA_LIST STREQUAL "all")
  set(KELMAN_ISAS ${KELMAN_ALL_ISAS})
elseif(KELMAN_ISA_LIST STREQUAL "native")
  set(KELMAN_ISAS ${KELMAN_HOST_ISA})
elseif(KELMAN_ISA_LIST STREQUAL "default")
  set(KELMAN_ISAS baseline ${KELMAN_HOST_ISA})
  list(REMOVE_DUPLICATES KELMAN_ISAS)
else()
  set(KELMAN_ISAS ${KELMAN_ISA_LIST})
endif()
foreach(isa IN LISTS KELMAN_ISAS)
  if(NOT isa IN_LIST KELMAN_ALL_ISAS)
    message(FATAL_ERROR "KELMAN_ISA_LIST: expected default, native, all or names among ${KELMAN_ALL_ISAS}; got ${isa}")
  endif()
endforeach()
message(STATUS "Instruction sets: ${KELMAN_ISAS} (this machine: ${KELMAN_HOST_ISA})")

# kelman_isa_flags(<target> <isa>): compile a target for one set.
function(kelman_isa_flags target isa)
  target_compile_options(${target} PRIVATE ${KELMAN_FLAGS_${isa}})
  if(NOT MSVC)
    # a*b + c in one rounding. ISO mode turns it off in GCC, whose "on" means off; Clang's "fast" reaches from one
    # expression into the next, for a pack not as for a number, and a lane would not be the number alone.
    target_compile_options(${target} PRIVATE -ffp-contract=$<IF:$<CXX_COMPILER_ID:Clang,AppleClang>,on,fast>)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fno-gnu-unique) # no symbol is shared between two loaded variants
  elseif(MSVC)
    target_compile_options(${target} PRIVATE /bigobj)
  endif()
endfunction()

# kelman_export_only_init(<target>): the module shows the interpreter its entry point and nothing else.
function(kelman_export_only_init target)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set(script "${CMAKE_CURRENT_SOURCE_DIR}/cmake/exports.map")
    target_link_options(${target} PRIVATE "-Wl,--version-script=${script}")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${script}")
  elseif(APPLE)
    target_link_options(${target} PRIVATE "-Wl,-exported_symbol,_PyInit_*")
  endif()
endfunction()
