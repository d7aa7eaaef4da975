# kelman_warnings(<target>): the warnings every file of ours is held to; errors with KELMAN_WERROR.
function(kelman_warnings target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4 /permissive- $<$<BOOL:${KELMAN_WERROR}>:/WX>)
  else()
    target_compile_options(
      ${target}
      PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-psabi $<$<BOOL:${KELMAN_WERROR}>:-Werror>
    )
  endif()
endfunction()
