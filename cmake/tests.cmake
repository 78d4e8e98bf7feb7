# Test programs, all registered with ctest: unit_<folder>, replay_<target> (fuzz targets on their corpus; the fuzz preset
# builds fuzz_<target> instead), sim_<name>; and faultproxy, which the integration tests use.
enable_testing()

function(weir_test_program name folder) # SOURCE ...
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit ${CMAKE_SOURCE_DIR}/tests/sim)
    target_compile_options(${name} PRIVATE ${WEIR_MAP}=${CMAKE_BINARY_DIR}/include/=include/)
    target_link_options(${name} PRIVATE -fno-lto)
    target_link_libraries(${name} PRIVATE $<$<BOOL:${JANSSON}>:${JANSSON}>) # where it is used
    if(folder IN_LIST WEIR_LAYERS)
        weir_use_layers(${name} ${folder})
    endif()
endfunction()

function(weir_add_test name label) # ARGUMENT ...
    add_test(NAME ${name} COMMAND ${name} ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 900)
endfunction()

foreach(folder harness ${WEIR_LAYERS})
    file(GLOB sources CONFIGURE_DEPENDS tests/unit/${folder}/*.c)
    if(sources)
        weir_test_program(unit_${folder} ${folder} ${sources} tests/unit/test.c)
        weir_add_test(unit_${folder} unit)
    endif()
endforeach()

file(GLOB targets CONFIGURE_DEPENDS tests/fuzz/*.c)
set(outside_json_index $<$<BOOL:${JANSSON}>:${CMAKE_SOURCE_DIR}/tests/fuzz/outside/jansson.c>)
list(REMOVE_ITEM targets ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
foreach(source IN LISTS targets)
    get_filename_component(name ${source} NAME_WE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} includes REGEX "^#include \"[a-z]+/")
    set(folder base) # the lowest folder that it includes from decides what it is linked with
    foreach(layer IN LISTS WEIR_LAYERS)
        if(includes MATCHES "\"${layer}/")
            set(folder ${layer})
        endif()
    endforeach()
    if(WEIR_FLAVOUR STREQUAL "fuzz")
        weir_test_program(fuzz_${name} ${folder} ${source} ${outside_${name}})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        weir_test_program(replay_${name} ${folder} ${source} ${outside_${name}} tests/fuzz/replay.c)
        weir_add_test(replay_${name} replay tests/fuzz/corpus/${name})
    endif()
endforeach()

file(GLOB simulations CONFIGURE_DEPENDS tests/sim/*.c)
file(GLOB support CONFIGURE_DEPENDS tests/sim/support/*.c)
foreach(source IN LISTS simulations)
    get_filename_component(name ${source} NAME_WE)
    weir_test_program(sim_${name} cli ${source} ${support})
    weir_add_test(sim_${name} sim --seeds 200)
endforeach()
file(GLOB sources CONFIGURE_DEPENDS tests/faultproxy/*.c)
weir_test_program(faultproxy tests ${sources})
