# Compiler and linker flags by flavour. CMAKE_BUILD_TYPE stays empty: it would add -O3 and -DNDEBUG, and asserts stay on.
include(CheckCCompilerFlag)

macro(weir_probe list) # appends the flags that this compiler takes
    foreach(flag ${ARGN})
        string(MAKE_C_IDENTIFIER "HAS${flag}" name)
        check_c_compiler_flag(${flag} ${name})
        if(${name})
            list(APPEND ${list} ${flag})
        endif()
    endforeach()
endmacro()

set(CMAKE_C_STANDARD 17)
add_compile_definitions(_GNU_SOURCE WEIR_VERSION="${PROJECT_VERSION}")

# File names in asserts, and those in the release build's debug information, are relative to the checkout.
set(WEIR_MAP -f$<IF:$<STREQUAL:${WEIR_FLAVOUR},release>,file,macro>-prefix-map)
set(common -g -fno-strict-aliasing -fno-omit-frame-pointer -fPIE -ffunction-sections -fdata-sections
    ${WEIR_MAP}=${CMAKE_SOURCE_DIR}/=)
weir_probe(common -fcf-protection=branch -fno-plt)
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections)

# Hardening of the release build, without two flags of the usual list: -ftrivial-auto-var-init=zero clears the buffers that the
# hot path keeps on the stack, once per request; -fexceptions is for cancelled threads, and no thread is ever cancelled.
set(hardening -fno-strict-overflow -fno-delete-null-pointer-checks)
weir_probe(hardening -fstack-clash-protection -fstack-protector-strong -fstrict-flex-arrays=3)

set(warnings -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
    -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion -Werror=format-security)
weir_probe(warnings -Wimplicit-fallthrough -Wtrampolines -Wbidi-chars=any)
if(WEIR_WERROR OR (CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION MATCHES "^12\\."))
    list(APPEND warnings -Werror)
endif()
set(small_frames $<$<AND:$<COMPILE_LANGUAGE:C>,$<IN_LIST:${WEIR_FLAVOUR},release$<SEMICOLON>debug>>:-Wframe-larger-than=2048>)
set(WEIR_STRICT $<$<COMPILE_LANGUAGE:C>:-Wconversion> ${small_frames}) # src/ only: tests are spared, and so are their fibers' stacks

set(link_asan -fsanitize=address,undefined -fno-sanitize-recover=all)
set(link_tsan -fsanitize=thread)
set(link_fuzz ${link_asan})
set(for_release -O2 ${hardening} -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
set(for_debug -Og)
set(for_asan -O1 ${link_asan})
set(for_tsan -O1 ${link_tsan})
set(for_fuzz -O1 -fsanitize=fuzzer-no-link ${link_fuzz})
if(NOT for_${WEIR_FLAVOUR})
    message(FATAL_ERROR "WEIR_FLAVOUR is '${WEIR_FLAVOUR}'; it is one of release, debug, asan, tsan, fuzz")
endif()
list(APPEND common ${for_${WEIR_FLAVOUR}})
add_link_options(${link_${WEIR_FLAVOUR}})
# The release program is optimised across files: a tenth fewer instructions for a request. Its objects hold plain code as well,
# which the test programs are linked from (-fno-lto), for that is quicker.
if(WEIR_FLAVOUR STREQUAL "release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND WEIR_STRICT $<$<COMPILE_LANGUAGE:C>:-flto=auto> $<$<COMPILE_LANGUAGE:C>:-ffat-lto-objects>)
endif()
if(NOT WEIR_FLAVOUR STREQUAL "release")
    weir_probe(warnings -Wno-error=maybe-uninitialized) # less optimised code is full of false "maybe"s
endif()
add_compile_options(${common} "$<$<COMPILE_LANGUAGE:C>:${warnings}>")

# The commit, for `weir version`. Only the few folders that show it are compiled again when it changes.
set(WEIR_COMMIT unknown)
if(EXISTS ${CMAKE_SOURCE_DIR}/.git)
    execute_process(COMMAND git rev-parse --git-path logs/HEAD --short=12 HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
        OUTPUT_VARIABLE out ERROR_QUIET RESULT_VARIABLE failed)
    if(failed EQUAL 0 AND out MATCHES "^([^\n]+)\n([0-9a-f]+)")
        set(WEIR_COMMIT ${CMAKE_MATCH_2})
        file(GLOB log ${CMAKE_MATCH_1} ${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_1})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${log})
    endif()
endif()
