# kelman_warnings(<target>): the warnings every file of ours is held to; errors with KELMAN_WERROR.
function(kelman_warnings target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4 /permissive- $<$<BOOL:${KELMAN_WERROR}>:/WX>)
  else()
    # GCC before 14 takes the undefined operands of its own AVX-512 intrinsics for uninitialised (its bug 105593).
    set(
      false_alarms
      $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,14>>:-Wno-maybe-uninitialized>
    )
    # It also warns of the remainder of an unrolled loop over n values where n is known and there is none.
    list(APPEND false_alarms $<$<CXX_COMPILER_ID:GNU>:-Wno-aggressive-loop-optimizations>)
    # Clang says so where a loop that is asked to be unrolled already was, or is too long: a matter of speed alone.
    list(APPEND false_alarms $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>)
    target_compile_options(
      ${target}
      PRIVATE
        -Wall
        -Wextra
        -Wpedantic
        -Wconversion
        -Wshadow
        -Wno-psabi
        ${false_alarms}
        $<$<BOOL:${KELMAN_WERROR}>:-Werror>
    )
  endif()
endfunction()
